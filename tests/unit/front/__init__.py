"""The front without a network: real parts over the embedded broker, and clients that are values."""
