"""Carries strikes out: waits for the phase, does the deed, and mends what it broke."""
