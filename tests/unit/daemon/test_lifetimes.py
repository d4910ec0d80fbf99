"""The time that Child SAs last (RFC 4301 section 4.4.2.1), in a loop whose clock the test turns."""

from __future__ import annotations

import asyncio
from typing import cast

from caponier.daemon.engines.base import Direction, LifetimeReached
from caponier.daemon.lifetimes import Lifetimes
from caponier.doi.ikev2 import ProtocolId
from caponier.protocols.ike.policy import Lifetime
from tests.unit.daemon.test_userspace import child_sa


class Clock(asyncio.SelectorEventLoop):
    """A loop that never waits: its time goes forward to whatever is due next."""

    instant = 0.0

    def time(self) -> float:
        return self.instant

    def _run_once(self) -> None:
        due = [each.when() for each in cast("list[asyncio.TimerHandle]", self._scheduled) if not each.cancelled()]  # type: ignore[attr-defined]
        if not self._ready and due:  # type: ignore[attr-defined]
            self.instant = max(self.instant, min(due))
        super()._run_once()  # type: ignore[misc]


def limits(lifetime: Lifetime, ends_at: float | None = None) -> list[tuple[float, LifetimeReached]]:
    """What is told of a Child SA within ten hours, and when; it may be removed before."""
    loop = Clock()
    told: list[tuple[float, LifetimeReached]] = []

    async def last() -> None:
        lifetimes = Lifetimes(lambda reached: told.append((loop.time(), reached)))
        lifetimes.begin(child_sa(lifetime=lifetime))
        if ends_at is not None:
            loop.call_later(ends_at, lifetimes.end, 0x1111)
        await asyncio.sleep(36_000)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(last())
    return told


def reached(*, is_hard: bool) -> LifetimeReached:
    return LifetimeReached(ProtocolId.ESP, 0x1111, Direction.OUT, is_hard)


def test_first_the_soft_limit_then_the_hard_one() -> None:
    """The soft one up to a tenth early, so that the two sides seldom want it at once; the hard one to the second."""
    (soft, first), (hard, second) = limits(Lifetime(soft_seconds=3000.0, hard_seconds=3600.0))
    assert 2700.0 <= soft <= 3000.0
    assert hard == 3600.0
    assert (first, second) == (reached(is_hard=False), reached(is_hard=True))


def test_zero_is_never() -> None:
    assert limits(Lifetime()) == []
    assert limits(Lifetime(hard_seconds=1.0)) == [(1.0, reached(is_hard=True))]


def test_what_is_removed_reaches_nothing_more() -> None:
    ((_, first),) = limits(Lifetime(soft_seconds=3000.0, hard_seconds=3600.0), 3300.0)
    assert first == reached(is_hard=False)
    assert limits(Lifetime(soft_seconds=3000.0), 10.0) == []
