"""A TCP proxy that reads along, so that a fault can strike at a chosen moment of a batch's way."""
