"""Where clients connect: sessions, what they ask, and what they are sent.

    app listening processes   the HTTP application, its sockets, several processes on one port
    transports/               bytes of one kind of connection <-> a session
    session receiving         one client's presence, and its commands
    connecting subscribing publishing reading attending     the commands, by family
    outbox timers             what leaves for a client, and when something is due
    hub fanout sessions       who is subscribed here, and how publications reach them
    neighbours presence movements     the other fronts: who is in a channel, comes and goes
    view following            what this front knows of the channels, read from the logs

Rules: nobody here waits for a client. aiohttp stays in `app`, `health`, `listening` and
`transports/`.
"""
