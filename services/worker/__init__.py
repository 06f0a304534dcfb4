"""The worker: takes batches from the pool, decides about each entry, appends outcomes to the log.

    partition   one partition: wait, claim, settle, leave
    claim       the right to append, and whether what was appended counts
    deciding    what becomes of an entry
    record      decided entries to a record, with each publication's offset
    snapshots   what the log adds up to, written now and then
    settling    deliveries whose outcomes were read back
    sharing     who has which partition, and `assignment`, by what rule
    app         all partitions of the configured lanes

Rules: a worker never trusts that a partition is its own because it gets its deliveries; only what
it reads back from the log tells.
"""
