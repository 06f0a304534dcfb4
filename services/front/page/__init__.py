"""The demo page: a chat, and beside it the path that its messages take, live.

Rules
- Served only where `page.enabled` says so, which the development settings do.
- Everything on it comes from this package: no other origin, no build step.
- It is a client like any other; the figures beside the chat are all that it gets besides.

Not here: the server that it talks to as a client (`services.front.transports`).
"""
