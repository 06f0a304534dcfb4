"""The README keeps its word: its blocks run, its commands exist, its links lead somewhere."""
