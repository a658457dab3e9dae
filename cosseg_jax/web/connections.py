"""HTTP connections that cannot keep others out: bounded in number, and closed when they stall.

Uvicorn alone waits for ever for a request's header, for the next part of its body, and for a
client that does not read its answer.
"""

import itertools
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 512  # connections
MOST_OF_ADDRESS = 256
CHECK_S = 10.0  # seconds between two looks at a connection
LEAST_BYTES = 20_000  # that have to move between two looks while the client is to act
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 63\r\n\r\n"
    b'{"error": "Too many connections; try again in a few seconds."}\n'
)
_numbers = itertools.count()


class _Waiting(NamedTuple):
    """What a connection waits for its client to do, and how many bytes have moved so far."""

    action: Hashable
    moved: int


class BoundedProtocol(H11Protocol):
    """Uvicorn's protocol with limits on the number of connections and on the client's time.

    A new connection beyond the limits takes the place of one without a request; if there is none,
    it is answered with status 503.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.number = next(_numbers)
        self._received = self._pauses = 0
        self._sending = False
        self._waiting: _Waiting | None = None
        self._timer = self.loop.call_later(CHECK_S, self._check)
        if not self._found_place():
            transport.write(BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    def pause_writing(self) -> None:
        self._sending = True
        self._pauses += 1
        super().pause_writing()

    def resume_writing(self) -> None:
        self._sending = False
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered; the header of one may be on its way."""
        return self._is_answered and not self.transport.get_write_buffer_size()

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _found_place(self) -> bool:
        open = [each for each in self.connections if not each.transport.is_closing()]  # type: ignore
        others = [each for each in open if each is not self]
        same = [each for each in others if _client_address(each) == _client_address(self)]
        if len(same) >= MOST_OF_ADDRESS:
            return _closed_one(same)
        return len(others) < MOST or _closed_one(others)

    def _check(self) -> None:
        """Closes the connection if its client has done too little since the last look."""
        before, now = self._waiting, self._waits_for()
        self._waiting = now
        if (
            before
            and now
            and before.action == now.action
            and now.moved < before.moved + LEAST_BYTES
        ):
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(CHECK_S, self._check)

    def _waits_for(self) -> _Waiting | None:
        """What the client is to do next; None while it is the server's turn."""
        unsent = self.transport.get_write_buffer_size()
        if self._sending or (self._is_answered and unsent):
            return _Waiting(("read the answer", self.cycle, self._pauses), -unsent)
        if self._is_answered:
            return _Waiting(("send a header", self.cycle), 0)
        asked_to_wait = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if self.cycle.more_body and not asked_to_wait:
            return _Waiting(("send the body", self.cycle), self._received)
        return None


def _client_address(connection: Any) -> str | None:
    return connection.client and connection.client[0]


def _closed_one(connections: Iterable[Any]) -> bool:
    """Closes the oldest connection without a request; False if there is none."""
    idle = [each for each in connections if each.is_idle]
    if idle:
        min(idle, key=lambda each: each.number).transport.abort()
    return bool(idle)
