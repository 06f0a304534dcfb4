"""Processes are killed under load; a checker that sees only clients' logs says what came of it."""
