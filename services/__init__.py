"""The processes of Forebay: the front, the worker, and what both need."""
