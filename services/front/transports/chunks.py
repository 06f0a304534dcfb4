"""Chunks of HTTP/1.1's chunked transfer coding, built once for everybody (RFC 9112 §7.1).

Not here: the last chunk, which aiohttp writes when a response ends.
"""


def frame_chunk(payload: bytes) -> bytes:
    """A chunk; of nothing it would be the last one, so there is none."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
