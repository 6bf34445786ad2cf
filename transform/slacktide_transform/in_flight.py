"""The limit of requests in flight at the engine."""

import asyncio
import heapq
from itertools import count


class InFlight:
    """At most `limit` requests at the engine, over all payloads; a free place goes to the oldest payload.

    Oldest first, not turn by turn: payloads that share the engine evenly would end together and leave it idle, whereas
    so the slow last requests of one payload overlap the first of the next.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._arrivals = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    async def enter(self, payload: int) -> None:
        """Wait for a place; `payload` is the payload's number, in the order of arrival."""
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (payload, next(self._arrivals), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # the place was handed over in the same moment
                self.leave()
            raise

    def leave(self) -> None:
        """Hand the place to the oldest payload that waits, or free it."""
        while self._waiting:
            _, _, place = heapq.heappop(self._waiting)
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
