"""The protocol as a client sees it: bytes in, replies and close codes out, over real sockets."""
