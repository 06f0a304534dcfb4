"""Which worker is to have which partition; who knows the same workers gives the same answer.

Rendezvous hashing ranks the workers of each partition; in the order of the partitions each goes to
the best-ranked worker that still has room. Room is what makes it even: with P partitions and N
workers everybody gets P // N, and P % N of them one more. Plain rendezvous hashing leaves one of
three workers idle in nine draws of a hundred over eight partitions; and a bound of ceil(P / N)
alone can leave the last one with nothing, as nine partitions among four do with three each.

Rules: pure; nothing but the names decides.
"""

from collections.abc import Collection, Iterable
from hashlib import blake2b

from broker.partition import Partition


def assign(partitions: Iterable[Partition], workers: Collection[str]) -> dict[Partition, str]:
    """Give each partition an owner, no worker having two more than another.

    Gives nothing if there are no workers.
    """
    wanted = list(partitions)
    if not workers:
        return {}
    least, with_one_more = divmod(len(wanted), len(workers))
    counts = dict.fromkeys(workers, 0)
    owners: dict[Partition, str] = {}
    for partition in wanted:
        fuller = sum(count > least for count in counts.values())
        limit = least + 1 if fuller < with_one_more else least
        roomy = [worker for worker, count in counts.items() if count < limit]
        owner = max(roomy, key=lambda worker: (_rank(worker, partition), worker))
        counts[owner] += 1
        owners[partition] = owner
    return owners


def _rank(worker: str, partition: Partition) -> bytes:
    return blake2b(f"{worker} {partition.name}".encode(), digest_size=8).digest()
