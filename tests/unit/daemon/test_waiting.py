"""Those who wait for something of a connection."""

from __future__ import annotations

import asyncio

import pytest

from caponier.daemon.waiting import Waiting
from caponier.errors import EngineError


def waits(waiting: Waiting, there: list[str], name: str, child: str | None = None) -> asyncio.Task[None]:
    return asyncio.create_task(waiting.until(lambda: name in there, lambda: None, 10, child))


def test_each_is_told_when_it_has_what_it_waits_for() -> None:
    """One that is there does not answer for another: the first of two new keys is not both of them."""

    async def scene() -> None:
        waiting, there = Waiting(), list[str]()
        first, second = waits(waiting, there, "first"), waits(waiting, there, "second")
        await asyncio.sleep(0)
        there.append("first")
        waiting.look()
        await first
        assert not second.done()
        waiting.fail(EngineError("no second"))
        with pytest.raises(EngineError, match="no second"):
            await second

    asyncio.run(scene())


def test_a_failure_is_told_to_those_whom_it_concerns() -> None:
    async def scene() -> None:
        waiting, there = Waiting(), list[str]()
        lan, voice, everything = (waits(waiting, there, "x", child) for child in ("lan", "voice", None))
        await asyncio.sleep(0)
        waiting.fail(EngineError("no voice"), "voice")
        for told in (voice, everything):
            with pytest.raises(EngineError, match="no voice"):
                await told
        assert not lan.done()
        there.append("x")
        waiting.look()
        await lan

    asyncio.run(scene())


def test_what_fails_at_once_and_what_is_there_at_once() -> None:
    async def scene() -> None:
        waiting = Waiting()
        with pytest.raises(EngineError):
            await waiting.until(lambda: False, lambda: waiting.fail(EngineError("at once")), 10)
        await waiting.until(lambda: True, lambda: None, 10)
        with pytest.raises(TimeoutError):
            await waiting.until(lambda: False, lambda: None, 0.01)
        waiting.fail(EngineError("nobody is left"))

    asyncio.run(scene())
