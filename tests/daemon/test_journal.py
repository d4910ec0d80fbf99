"""What is kept and told of what happens, and how much of it."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_address

import pytest

from caponier.daemon.config import Place
from caponier.daemon.journal import BACKLOG, HISTORY, STRANGERS, Happening, Journal
from caponier.daemon.throttle import Throttle
from caponier.errors import NoProposalChosen, PeerError, Silent
from caponier.protocols.ike.events import ChildSaInstalled, ChildSaStatus, IkeSaId, NegotiationFailed, Role
from caponier.protocols.ike.path import Path

PATH = Path(ip_address("192.0.2.1"), 500, ip_address("192.0.2.9"), 500)
ID = IkeSaId(bytes(8), bytes(8))


def no_place(connection: str | None, setting: str | None) -> Place | None:
    del connection, setting
    return None


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# -- the throttle


def test_a_burst_passes_and_then_one_in_a_while() -> None:
    clock = Clock()
    throttle = Throttle(clock, burst=3, seconds=10)
    assert [throttle.admit("a") for _ in range(6)] == [0, 0, 0, None, None, None]
    clock.now += 10
    assert [throttle.admit("a") for _ in range(2)] == [3, None]
    clock.now += 1000
    assert [throttle.admit("a") for _ in range(4)] == [1, 0, 0, None]


def test_kinds_do_not_take_from_each_other() -> None:
    throttle = Throttle(Clock(), burst=1)
    assert throttle.admit("a") == throttle.admit("b") == 0
    assert throttle.admit("a") is throttle.admit("b") is None


# -- the journal


def failed(connection: str | None, error: PeerError | Silent, role: Role = Role.RESPONDER) -> NegotiationFailed:
    return NegotiationFailed(connection, None, role, PATH, error)


def test_strangers_fill_neither_the_log_nor_the_history(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    journal = Journal(no_place)
    journal.note("reloaded", None, "before the flood")
    for number in range(10_000):
        journal.take(failed(None, NoProposalChosen(f"stranger {number}")))
    journal.take(failed("office", NoProposalChosen("of the connection")))
    assert len(caplog.records) < 200
    told = [happening.text for happening in history(journal)]
    assert told[0] == "before the flood"
    assert told[-1] == "of the connection"
    assert len(journal.troubles) == STRANGERS + 1
    assert journal.troubles[-2].error.message == "stranger 9999"


def test_how_many_were_not_told_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    journal, clock = Journal(no_place), Clock()
    journal._throttle = Throttle(clock, burst=2, seconds=1)
    for _ in range(5):
        journal.take(failed(None, NoProposalChosen("no")))
    clock.now += 1
    journal.take(failed(None, NoProposalChosen("no")))
    assert caplog.records[-1].getMessage().endswith("no (3 more of these were not told)")


def test_who_only_knocks_is_no_trouble_of_the_connection() -> None:
    """RFC 7296 section 2.21.1: an unauthenticated peer says nothing that can be believed, not even by its silence."""
    journal = Journal(no_place)
    journal.take(failed("office", NoProposalChosen("the reason"), Role.INITIATOR))
    journal.take(failed("office", Silent("somebody began and went", attempts=0)))
    assert [(each.connection, each.error.message) for each in journal.troubles] == [
        ("office", "the reason"),
        (None, "somebody began and went"),
    ]
    journal.take(failed("office", Silent("the peer does not answer us", attempts=7), Role.INITIATOR))
    assert journal.troubles[-1].connection == "office"


def test_a_trouble_is_over_when_the_child_is_there() -> None:
    journal = Journal(no_place)
    journal.take(NegotiationFailed("office", "lan", Role.INITIATOR, PATH, NoProposalChosen("no")))
    status = ChildSaStatus("lan", "esp", "tunnel", 256, 257, "aes256gcm16", (), (), False, 0.0)
    before = journal.troubles
    journal.take(ChildSaInstalled(ID, "office", status))
    assert [len(before), len(journal.troubles)] == [1, 0]


def test_troubles_of_a_connection_that_is_gone_are_forgotten() -> None:
    journal = Journal(no_place)
    for name in ("office", "branch"):
        journal.take(failed(name, NoProposalChosen(name)))
    journal.forget("office")
    assert [each.connection for each in journal.troubles] == ["branch"]


def history(journal: Journal) -> list[Happening]:
    """Everything that a watcher is given; the journal is at its end."""
    journal.close()

    async def watch() -> list[Happening]:
        return [happening async for happening in journal.watch()]

    return asyncio.run(watch())


def test_the_history_is_bounded() -> None:
    journal = Journal(no_place)
    for number in range(2 * HISTORY):
        journal.note(f"kind-{number}", None, "")
    assert [happening.kind for happening in history(journal)] == [
        f"kind-{number}" for number in range(HISTORY, 2 * HISTORY)
    ]


def test_a_slow_watcher_misses_the_oldest_and_still_sees_the_end() -> None:
    journal = Journal(no_place)

    async def watch() -> list[str]:
        watcher = journal.watch()
        journal.note("first", None, "")
        seen = [(await anext(watcher)).kind]
        for number in range(BACKLOG + 10):
            journal.note(f"kind-{number}", None, "")
        journal.close()
        return seen + [happening.kind async for happening in watcher]

    seen = asyncio.run(watch())
    assert seen[0] == "first"
    assert len(seen) <= BACKLOG
    assert seen[-1] == f"kind-{BACKLOG + 9}"
