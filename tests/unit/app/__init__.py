"""Unit tests of what teams import of `forebay`."""
