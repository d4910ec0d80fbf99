"""What is wanted comes back: how soon, how often, and what a person brought down does not (in a loop whose clock the test turns)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, cast

from caponier.daemon.healing import FIRST_PAUSE, LAST_PAUSE, Healing


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


class Patient:
    """A connection that lacks what the test says."""

    def __init__(self, *children: str, is_wanted: bool = True) -> None:
        self.lacks = set(children)
        self.is_coming = False
        self.attempts: list[tuple[float, set[str]]] = []
        self.heals = False
        self.healing = Healing(lambda: set(self.lacks), lambda: self.is_coming, self._mend, is_wanted=is_wanted)

    def _mend(self, lacks: set[str]) -> None:
        self.attempts.append((asyncio.get_running_loop().time(), lacks))
        if self.heals:
            self.lacks.clear()

    @property
    def pauses(self) -> list[float]:
        instants = [0.0, *(at for at, _ in self.attempts)]
        return [after - before for before, after in itertools.pairwise(instants)]


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(story())


def test_the_pauses_grow_up_to_a_minute() -> None:
    async def story() -> None:
        patient = Patient("lan")
        patient.healing.look()
        await asyncio.sleep(1000)
        expected = FIRST_PAUSE
        for pause in patient.pauses:
            assert expected <= pause <= 1.25 * expected
            expected = min(2 * expected, LAST_PAUSE)
        assert len(patient.pauses) > 15

    run(story)


def test_only_what_is_missing_is_asked_for() -> None:
    async def story() -> None:
        patient = Patient("lan", "voice")
        patient.healing.give_up("voice")
        patient.heals = True
        patient.healing.look()
        await asyncio.sleep(100)
        assert [lacks for _, lacks in patient.attempts] == [{"lan"}]
        patient.lacks = {"voice"}
        patient.healing.look()
        await asyncio.sleep(100)
        assert len(patient.attempts) == 1
        assert not patient.healing.wants("voice")
        patient.healing.want("voice", always=True)
        patient.healing.look()
        await asyncio.sleep(100)
        assert patient.attempts[1][1] == {"voice"}

    run(story)


def test_who_was_whole_for_long_begins_with_a_short_pause_and_who_flaps_does_not() -> None:
    async def story() -> None:
        patient = Patient()
        patient.heals = True
        for _ in range(6):  # what comes is lost at once
            patient.lacks = {"lan"}
            patient.healing.look()
            while patient.lacks:  # noqa: ASYNC110 - the clock is the test's
                await asyncio.sleep(0.1)
            patient.healing.look()
        assert patient.pauses[-1] > 16
        await asyncio.sleep(3600)
        patient.lacks = {"lan"}
        patient.healing.look()
        lost = asyncio.get_running_loop().time()
        await asyncio.sleep(100)
        assert patient.attempts[-1][0] - lost <= 1.25 * FIRST_PAUSE

    run(story)


def test_nobody_who_is_on_the_way_is_asked_twice() -> None:
    async def story() -> None:
        patient = Patient("lan")
        patient.is_coming = True
        patient.healing.look()
        await asyncio.sleep(100)
        assert not patient.attempts

    run(story)


def test_what_is_not_wanted_stays_down() -> None:
    async def story() -> None:
        idle = Patient("lan", is_wanted=False)
        idle.healing.look()
        given_up = Patient("lan")
        given_up.healing.look()
        given_up.healing.give_up()
        await asyncio.sleep(100)
        assert not idle.attempts
        assert not given_up.attempts

    run(story)


def test_what_comes_by_itself_needs_no_attempt() -> None:
    async def story() -> None:
        patient = Patient("lan")
        patient.healing.look()
        patient.lacks.clear()
        patient.healing.look()
        await asyncio.sleep(100)
        assert not patient.attempts

    run(story)
