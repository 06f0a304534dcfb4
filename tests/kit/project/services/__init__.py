"""A team's own package of this name."""
