"""A connection that is to be up comes back, whatever it lacks: its IKE SA, one Child SA, or only what the system gives it.

Theory of operation. There is one rule and no matrix of actions: while something is missing that is wanted, it is asked for
again, after a pause. Each pause is twice as long as the one before, and at most a minute; a connection that was whole for longer than its
pause begins with the shortest again. So a peer that deletes what was just made is not asked a hundred times a minute,
and one that was away for a week is back within a minute.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0  #: seconds


class Healing:
    """Brings one connection back.

    Args:
        missing: names of the Child SAs that it has not; empty where nothing is missing.
        is_coming: whether an attempt is under way already.
        mend: asks for what is missing.
        is_wanted: whether it is to be up.
    """

    def __init__(
        self,
        missing: Callable[[], set[str]],
        is_coming: Callable[[], bool],
        mend: Callable[[set[str]], None],
        *,
        is_wanted: bool,
    ) -> None:
        self._missing = missing
        self._is_coming = is_coming
        self._mend = mend
        self._is_wanted = is_wanted
        self._unwanted: set[str] = set()  # Child SAs that a person brought down
        self._pause = FIRST_PAUSE
        self._attempt: asyncio.TimerHandle | None = None
        self._whole_since: float | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether it is to be up."""
        return self._is_wanted

    def wants(self, child: str) -> bool:
        """Whether a Child SA of it is to be up."""
        return self._is_wanted and child not in self._unwanted

    def want(self, child: str | None = None, *, always: bool) -> None:
        """A person brings it up, or one Child SA of it.

        Args:
            child: its name; None for all.
            always: whether it is to stay up.
        """
        self._is_wanted = always
        self._unwanted = set() if child is None else self._unwanted - {child}

    def give_up(self, child: str | None = None) -> None:
        """A person brings it down, or one Child SA of it; it stays down."""
        if child is not None:
            self._unwanted.add(child)
            return
        self._is_wanted = False
        self._cancel()

    def look(self) -> None:
        """Something has happened: if something is missing, see to it after a pause."""
        now = asyncio.get_running_loop().time()
        if not self._lacks():
            self._whole_since = now if self._whole_since is None else self._whole_since
            self._cancel()
            return
        if self._whole_since is not None and now - self._whole_since > self._pause:
            self._pause = FIRST_PAUSE
        self._whole_since = None
        if self._is_wanted and self._attempt is None and not self._is_coming():
            self._wait()

    def _lacks(self) -> set[str]:
        return self._missing() - self._unwanted

    def _wait(self) -> None:
        """The two sides, and many connections, do not try in step."""
        pause = self._pause * (1 + secrets.randbelow(1000) / 4000)
        self._pause = min(2 * self._pause, LAST_PAUSE)
        self._attempt = asyncio.get_running_loop().call_later(pause, self._try)

    def _try(self) -> None:
        self._attempt = None
        lacks = self._lacks()
        if self._is_wanted and lacks and not self._is_coming():
            self._mend(lacks)
        if self._lacks():
            self.look()  # what cannot even be begun is tried again too

    def _cancel(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None
