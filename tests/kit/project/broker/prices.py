"""A team's own package of this name too, and without an `__init__.py`."""

PRICES = {"tea": 3}
