"""How long Child SAs last (RFC 4301 section 4.4.2.1): what they carry is counted by the engine, their time here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from caponier.daemon.engines.base import Direction, LifetimeReached
from caponier.protocols.ike.effects import ChildSa


class Lifetimes:
    """The time that is left to each Child SA.

    Args:
        tell: takes each limit that is reached.
    """

    def __init__(self, tell: Callable[[LifetimeReached], None]) -> None:
        self._tell = tell
        self._timers: dict[int, tuple[asyncio.TimerHandle, ...]] = {}  # by inbound SPI

    def begin(self, child: ChildSa) -> None:
        """A Child SA was installed."""
        loop = asyncio.get_running_loop()
        early = 1 - secrets.randbelow(1000) / 10_000  # so that the two sides seldom want it at once
        limits = ((child.lifetime.soft_seconds * early, False), (child.lifetime.hard_seconds, True))
        self._timers[child.spi_in] = tuple(
            loop.call_later(seconds, self._tell, LifetimeReached(child.protocol, child.spi_in, Direction.OUT, is_hard))
            for seconds, is_hard in limits
            if seconds > 0
        )

    def end(self, spi_in: int) -> None:
        """A Child SA was removed."""
        for timer in self._timers.pop(spi_in, ()):
            timer.cancel()
