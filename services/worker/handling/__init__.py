"""The team's own handlers, as a worker has them: in app processes of their own, asked in batches.

    interface   what the rest of the worker asks and hears

Rules: nothing of the team's code runs in the worker's process, and nothing that it does (hang,
leak, crash, answer nonsense) costs more than the entry that it was asked about.
"""
