"""What a partition's log adds up to: pure folds from records to state.

    ledger      which records count, and the log's epoch and time
    tops        each channel's position
    settled     which entries have their outcome (workers)
    history     the last publications of each channel (fronts)
    partition   the ledger and the tops folded together: what every reader of a log keeps
    snapshot    that state, and the settled numbers, as records of the `tops` stream

Rules: nothing here awaits, reads a clock, draws a random number or logs. Whatever two processes
fold from the same records is the same, so none of them has to ask another.
"""
