"""The client protocol's encodings, as fan-out uses them: one module each."""
