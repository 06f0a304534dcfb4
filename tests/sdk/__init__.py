"""Unmodified client libraries against real processes."""
