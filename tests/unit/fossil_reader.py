"""Reads fossil deltas by their grammar, without a look at how they were made."""

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"


class Reader:
    """Reads a delta by its grammar, and believes nothing that it does not check."""

    def __init__(self, delta: bytes) -> None:
        self.delta = delta
        self.at = 0

    def number(self) -> int:
        number, start = 0, self.at
        while chr(self.delta[self.at]) in DIGITS:
            number = number * 64 + DIGITS.index(chr(self.delta[self.at]))
            self.at += 1
        assert self.at > start
        return number

    def take(self, count: int) -> bytes:
        taken = self.delta[self.at : self.at + count]
        assert len(taken) == count
        self.at += count
        return taken


def decode_delta(source: bytes, delta: bytes) -> bytes:
    reader, target = Reader(delta), b""
    size = reader.number()
    assert reader.take(1) == b"\n"
    while True:
        number, operator = reader.number(), reader.take(1)
        if operator == b"@":
            offset = reader.number()
            assert reader.take(1) == b","
            assert offset + number <= len(source)
            target += source[offset : offset + number]
        elif operator == b":":
            target += reader.take(number)
        else:
            assert operator == b";"
            assert number == checksum(target)
            assert reader.at == len(delta)
            assert len(target) == size
            return target


def checksum(target: bytes) -> int:
    padded = target + bytes(-len(target) % 4)
    words = [int.from_bytes(padded[at : at + 4], "big") for at in range(0, len(padded), 4)]
    return sum(words) % 2**32
