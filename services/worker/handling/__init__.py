"""The team's own handlers, as a worker has them: in app processes of their own, asked in batches.

    interface     what the rest of the worker asks and hears
    crew          all the processes: opened, asked, reloaded
    slot          one place for a process: keeps one in it
    lines, asked  order, tries, and who is to blame; pure
    answers       whether an answer can be meant; pure
    hanging       whether a process goes on; pure
    process       a running one: its page, its memory, its end
    conversation  frames on its socket
    starting      what it runs first
    alarm         the next time at which there is something to give
    telling       failed tries, in the log
    changes       when the team's code changes
    command_line  the options by which an app is named

Rules: nothing of the team's code runs in the worker's process, and nothing that it does (hang,
leak, crash, answer nonsense) costs more than the entry that it was asked about.
"""
