"""Dead letters as operators have them: which are meant, how they look, what to do with them.

    wanted      which of them a command is about
    lines       how one looks
    plan        what of them can be done again, where and in what order
    replay      doing it

Rules: a letter that does not come from a worker of ours, or from one of another version, is shown
as it is, and never done again.
"""
