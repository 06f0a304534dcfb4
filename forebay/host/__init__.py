"""The app process: holds a team's App and answers what the worker asks.

Started by a worker as `python -m forebay.host`, with one end of a socket pair and a page of memory
that both share (`forebay.link`).

Rules
- Whatever a handler does costs its own entry: what others have been answered is written, and what
  they are asked is gone on with.
- One thread. A plain function holds up all others of its process; what waits is to be a coroutine.

    __main__    the command: starts, serves, leaves      loading     the App that is meant
    lines       who is called when, and for how long     answering   what is said of it, and when
    speaking    frames on the socket                     failing     what is said of a failure
"""
