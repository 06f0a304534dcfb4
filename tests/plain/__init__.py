"""Clients without a protocol against real processes: a tutorial's page, programs, two fronts."""
