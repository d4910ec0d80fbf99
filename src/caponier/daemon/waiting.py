"""Those who wait for something of a connection: they are told that it is there, or why it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from caponier.errors import CaponierError


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    child: str | None
    is_there: Callable[[], bool]
    told: asyncio.Future[None]


class Waiting:
    """All who wait for something of one connection."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []

    async def until(
        self, is_there: Callable[[], bool], begin: Callable[[], None], seconds: float, child: str | None = None
    ) -> None:
        """Wait until something is there.

        Args:
            is_there: whether it is.
            begin: sets about it, once its failures are heard.
            seconds: how long at most.
            child: the Child SA that it is about, None where it is about all of them.

        Raises:
            TimeoutError: neither yes nor no in time.
            CaponierError: why it will not be.
        """
        waiter = _Waiter(child, is_there, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            begin()
            self.look()
            async with asyncio.timeout(seconds):
                await waiter.told
        finally:
            self._waiters.remove(waiter)

    def look(self) -> None:
        """Something has happened: tell those who have what they wait for."""
        for waiter in self._waiters:
            if not waiter.told.done() and waiter.is_there():
                waiter.told.set_result(None)

    def fail(self, error: CaponierError, child: str | None = None) -> None:
        """Tell those who wait for a Child SA, or everybody, that it will not be."""
        for waiter in self._waiters:
            if not waiter.told.done() and (child is None or waiter.child in (None, child)):
                waiter.told.set_exception(error)
