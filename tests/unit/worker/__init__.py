"""Unit tests of `services.worker`."""
