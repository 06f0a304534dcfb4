"""The client protocol, bytes to values and back. Pure: no await, clock, randomness or logging."""
