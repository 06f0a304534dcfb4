"""The ways a client can be connected, one module each."""
