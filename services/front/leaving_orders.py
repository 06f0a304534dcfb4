"""Orders to leave, for whoever was on the way in when they were carried out.

A handler says that a client may come in, or into a channel; before it is there, it is ordered to
leave. It is not among those who are there, so the order does not find it: it finds the order.

Rules
- Who begins to come in takes a mark, and asks before it is in whether an order since then meant it.
- So many orders are remembered. Who waited for longer than they go back is not let in now.

Not here: carrying out orders (`ordering`).
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from services.orders import DisconnectOrder, UnsubscribeOrder
from services.wire.errors import Disconnect, Ending, ErrorCode, find_ending, may_resubscribe

REMEMBERED_AT_MOST: Final = 1_000

_Leaving = DisconnectOrder | UnsubscribeOrder


class LeavingOrders:
    """The latest orders to leave."""

    def __init__(self) -> None:
        self._orders: deque[_Leaving] = deque(maxlen=REMEMBERED_AT_MOST)
        self.mark = 0
        """How many there were so far."""

    def note(self, order: _Leaving) -> None:
        """Remember an order that is carried out."""
        self._orders.append(order)
        self.mark += 1

    def ending_since(self, mark: int, user: str, client: str) -> Ending | None:
        """How a client that began to come in at a mark is to end; None: it may come in."""
        if self._has_forgotten(mark):
            return Disconnect.INTERNAL
        for order in self._since(mark, user, client):
            if isinstance(order, DisconnectOrder):
                return find_ending(order.code, order.reason)
        return None

    def denial_since(self, mark: int, user: str, client: str, channel: str) -> ErrorCode | None:
        """Why a client that asked for a channel at a mark may not have it; None: it may."""
        if self._has_forgotten(mark):
            return ErrorCode.INTERNAL
        for order in self._since(mark, user, client):
            if isinstance(order, UnsubscribeOrder) and order.channel in ("", channel):
                # An SDK that is to subscribe again tries again.
                is_temporary = may_resubscribe(order.code)
                return ErrorCode.INTERNAL if is_temporary else ErrorCode.PERMISSION_DENIED
        return None

    def _has_forgotten(self, mark: int) -> bool:
        return self.mark - mark > len(self._orders)

    def _since(self, mark: int, user: str, client: str) -> Iterator[_Leaving]:
        for order in islice(reversed(self._orders), self.mark - mark):
            if order.user in ("", user) and order.client in ("", client):
                yield order
