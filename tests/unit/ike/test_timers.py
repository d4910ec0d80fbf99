"""Timers and the agenda over them, against a plain dictionary as the oracle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from caponier.protocols.ike.v2.timers import Agenda, Timer, TimerTable

INSTANTS = st.one_of(st.none(), st.integers(0, 50))


def test_a_table() -> None:
    table = TimerTable()
    assert table.next() is None
    table.set(Timer.LIVENESS, 30)
    table.set(Timer.RETRANSMIT, 10)
    table.set(Timer.RETRANSMIT, 20)
    assert table.next() == 20
    assert table.expired(19) == []
    assert table.expired(30) == [Timer.RETRANSMIT, Timer.LIVENESS]
    assert table.next() is None
    table.set(Timer.LINGER, 1)
    table.stop(Timer.LINGER)
    table.stop(Timer.LINGER)
    assert Timer.LINGER not in table
    assert len(table) == 0


@given(st.lists(st.tuples(st.integers(0, 9), INSTANTS), max_size=200), st.integers(0, 50))
def test_an_agenda_gives_what_is_due_in_order_and_each_key_once(
    entries: list[tuple[int, int | None]], now: int
) -> None:
    agenda: Agenda[int] = Agenda()
    oracle: dict[int, int] = {}
    for key, at in entries:
        agenda.enter(key, at)
        oracle.pop(key, None)
        if at is not None:
            oracle[key] = at
    assert len(agenda) == len(oracle)
    assert agenda.next() == min(oracle.values(), default=None)
    due = []
    while (key := agenda.pop_due(now)) is not None:  # type: ignore[assignment]
        due.append(key)
    assert sorted(due) == sorted(key for key, at in oracle.items() if at <= now)
    assert [oracle[key] for key in due] == sorted(oracle[key] for key in due)


def test_an_agenda_stays_as_small_as_its_keys() -> None:
    agenda: Agenda[int] = Agenda()
    for round_ in range(1000):
        for key in range(10):
            agenda.enter(key, float(round_ + key))
    assert len(agenda._heap) <= 2 * 10 + 65
