"""What happened: the last trouble of each connection, a bounded history, and whoever watches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from caponier.daemon.config import Place
from caponier.daemon.throttle import Throttle
from caponier.errors import CaponierError, Silent
from caponier.protocols.ike.events import (
    ChildSaAged,
    ChildSaInstalled,
    ChildSaRemoved,
    DatagramDropped,
    Event,
    IkeSaClosed,
    IkeSaEstablished,
    IkeSaMoved,
    NegotiationFailed,
    Role,
)
from caponier.protocols.ike.path import Path

HISTORY = 500  #: happenings kept for whoever begins to watch
STRANGERS = 32  #: troubles with nobody that we know
BACKLOG = 1000  #: happenings that a slow watcher may lag behind; then it misses the oldest

log = logging.getLogger("caponier")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something did not come to be, or is no more.

    Attributes:
        when: UTC.
        connection: whose; None for a stranger's.
        child: which Child SA; None for the IKE SA.
        peer: the other side's address.
        error: what, why, and how to mend it.
        place: the line of the configuration to look at; None where there is none.
    """

    when: datetime
    connection: str | None
    child: str | None
    peer: str
    error: CaponierError
    place: Place | None


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the history.

    Attributes:
        when: UTC.
        kind: a fixed name: ``ike-sa-established``.
        connection: whose; None for a stranger's.
        text: for people.
        trouble: where it is one.
    """

    when: datetime
    kind: str
    connection: str | None
    text: str
    trouble: Trouble | None = None


class Journal:
    """Keeps what happened.

    Args:
        place: finds the line of a connection's setting.
    """

    def __init__(self, place: Callable[[str | None, str | None], Place | None]) -> None:
        self._place = place
        self._troubles: dict[tuple[str, str | None], Trouble] = {}
        self._strangers: deque[Trouble] = deque(maxlen=STRANGERS)
        self._history: deque[Happening] = deque(maxlen=HISTORY)
        self._watchers: set[asyncio.Queue[Happening | None]] = set()
        self._throttle = Throttle()
        self._is_closed = False

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """The last of each connection and Child SA, then those with strangers; the oldest first."""
        return tuple(sorted((*self._troubles.values(), *self._strangers), key=lambda trouble: trouble.when))

    def forget(self, connection: str) -> None:
        """The connection was changed or removed: its troubles are old stories."""
        for key in [key for key in self._troubles if key[0] == connection]:
            del self._troubles[key]

    def take(self, event: Event) -> None:
        """Keep an event of the core, log it, tell the watchers."""
        match event:
            case IkeSaEstablished(sa):
                self._troubles.pop((sa.connection, None), None)
                text = f"with {sa.remote_id} at {sa.path.remote} by {sa.suite}, we proved ourselves by {sa.local_auth}, the peer by {sa.remote_auth}"
                self._tell("ike-sa-established", sa.connection, text)
            case IkeSaMoved(_, connection, former, path):
                text = f"{_ends(former)} before, {_ends(path)} now"
                self._tell("ike-sa-moved", connection, text)
            case ChildSaInstalled(_, connection, child):
                self._troubles.pop((connection, child.name), None)
                text = f"{child.name}: {', '.join(child.local)} to {', '.join(child.remote)} by {child.suite}"
                self._tell(
                    "child-sa-installed", connection, f"{text}, SPIs {child.spi_in:08x} in, {child.spi_out:08x} out"
                )
            case ChildSaRemoved(_, connection, name, spi_in, reason):
                self._tell("child-sa-removed", connection, f"{name}, SPI {spi_in:08x} in: {reason}")
            case ChildSaAged(_, connection, name, spi_in, is_hard):
                what = "its lifetime is reached" if is_hard else "its time to be replaced is reached"
                self._tell("expired" if is_hard else "expiring", connection, f"{name}, SPI {spi_in:08x} in: {what}")
            case _:
                self._take_end(event)

    def _take_end(self, event: Event) -> None:
        """The same for what ended, or did not come to be."""
        match event:
            case IkeSaClosed(_, connection, reason, None):
                self._tell("ike-sa-closed", connection or None, reason)
            case IkeSaClosed(_, connection, _, error) if error is not None:
                self.trouble(connection or None, None, "", error, kind="ike-sa-closed")
            case NegotiationFailed(_, None, Role.RESPONDER, path, Silent() as error):
                self.trouble(None, None, str(path.remote), error)  # who knocked and went is nobody's trouble yet
            case NegotiationFailed(connection, child, _, path, error):
                self.trouble(connection, child, str(path.remote), error)
            case DatagramDropped(path, reason, detail):
                log.debug("dropped peer=%s reason=%s detail=%r", path.remote, reason, detail)
            case _:
                log.error("unknown event %s", type(event).__name__)

    def trouble(
        self, connection: str | None, child: str | None, peer: str, error: CaponierError, kind: str = "failed"
    ) -> None:
        """Keep why something did not work."""
        told = Trouble(datetime.now(UTC), connection, child, peer, error, self._place(connection, error.setting))
        if connection is None:
            self._strangers.append(told)
        else:
            self._troubles[connection, child] = told
        self._tell(kind, connection, error.message, told)

    def note(self, kind: str, connection: str | None, text: str) -> None:
        """Keep something that the daemon itself did."""
        self._tell(kind, connection, text)

    async def watch(self) -> AsyncIterator[Happening]:
        """The history, then everything that happens; ends when the watcher goes, or with :meth:`close`."""
        queue: asyncio.Queue[Happening | None] = asyncio.Queue(BACKLOG)
        for happening in (*self._history, *([None] * self._is_closed)):
            queue.put_nowait(happening)
        self._watchers.add(queue)
        try:
            while (next_one := await queue.get()) is not None:
                yield next_one
        finally:
            self._watchers.discard(queue)

    def _tell(self, kind: str, connection: str | None, text: str, trouble: Trouble | None = None) -> None:
        untold = self._throttle.admit((kind, connection))
        if untold is None:
            return
        if untold:
            text = f"{text} ({untold} more of these were not told)"
        happening = Happening(datetime.now(UTC), kind, connection, text, trouble)
        self._history.append(happening)
        log.log(logging.WARNING if trouble else logging.INFO, "%s connection=%s %s", kind, connection or "-", text)
        self._pass_on(happening)

    def close(self) -> None:
        """Nothing more will happen: let the watchers go."""
        self._is_closed = True
        self._pass_on(None)

    def _pass_on(self, happening: Happening | None) -> None:
        for queue in self._watchers:
            if queue.full():
                with contextlib.suppress(asyncio.QueueEmpty):
                    queue.get_nowait()
            queue.put_nowait(happening)


def _ends(path: Path) -> str:
    return f"{path.local} port {path.local_port} to {path.remote} port {path.remote_port}"
