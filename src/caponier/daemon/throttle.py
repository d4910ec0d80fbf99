"""How often the same thing is told: strangers can make anything happen, but they must not fill a disk with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

BURST = 50  #: times that are told at once
SECONDS = 2.0  #: until one more is told


@dataclass(slots=True)
class _Bucket:
    """What is left for one kind of thing."""

    left: float
    filled: float
    untold: int = 0


class Throttle:
    """Lets a burst of each kind pass, and then one in a while.

    Args:
        clock: monotonic, seconds.
        burst: how many pass at once.
        seconds: until one more may.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, burst: int = BURST, seconds: float = SECONDS
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._seconds = seconds
        self._buckets: dict[Hashable, _Bucket] = {}

    def admit(self, kind: Hashable) -> int | None:
        """Whether one more of this kind is told.

        Args:
            kind: one of a bounded set of names.

        Returns:
            How many were not told since the last one that was; None when this one is not told either.
        """
        now = self._clock()
        bucket = self._buckets.setdefault(kind, _Bucket(self._burst, now))
        bucket.left = min(self._burst, bucket.left + (now - bucket.filled) / self._seconds)
        bucket.filled = now
        if bucket.left < 1:
            bucket.untold += 1
            return None
        bucket.left -= 1
        untold, bucket.untold = bucket.untold, 0
        return untold
