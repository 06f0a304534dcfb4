"""The team's own handlers, as a worker has them: in app processes of their own, asked in batches.

    interface     what the rest of the worker asks and hears
    crew          the processes together; opens and ends them      slot       one place for a process
    lines, asked  order, tries and who is to blame, pure          answers    whether one can be meant
    process       a running one, its page and its memory          hanging    whether it goes on
    conversation  frames on a socket                              starting   what it runs first

Rules: nothing of the team's code runs in the worker's process, and nothing that it does (hang,
leak, crash, answer nonsense) costs more than the entry that it was asked about.
"""
