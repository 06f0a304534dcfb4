"""Forebay's tests: from pure ones in milliseconds to those that kill processes."""
