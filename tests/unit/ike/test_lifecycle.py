"""The table of phases and exchanges (RFC 7296 sections 1.2, 2.8, 2.25)."""

from __future__ import annotations

from caponier.doi.ikev2 import ExchangeType
from caponier.protocols.ike.v2.lifecycle import (
    LIFECYCLE,
    TRANSITIONS,
    Phase,
    Verdict,
    render,
    verdict_on_ours,
    verdict_on_theirs,
)

KNOWN = (
    ExchangeType.IKE_SA_INIT,
    ExchangeType.IKE_INTERMEDIATE,
    ExchangeType.IKE_AUTH,
    ExchangeType.CREATE_CHILD_SA,
    ExchangeType.IKE_FOLLOWUP_KE,
    ExchangeType.INFORMATIONAL,
)


def test_every_phase_knows_every_exchange() -> None:
    assert set(LIFECYCLE) == {(phase, exchange) for phase in Phase for exchange in KNOWN}


def test_ours_are_never_answered_and_theirs_never_queued() -> None:
    for row in LIFECYCLE.values():
        assert row.ours is not Verdict.TEMPORARY_FAILURE
        assert row.theirs is not Verdict.QUEUE
        assert row.why


def test_before_authentication_only_the_initial_exchanges_run() -> None:
    """Section 1.2."""
    running = {exchange for exchange in KNOWN if verdict_on_theirs(Phase.CONNECTING, exchange) is Verdict.RUN}
    assert running == {ExchangeType.IKE_INTERMEDIATE, ExchangeType.IKE_AUTH}


def test_nothing_runs_on_a_closed_sa() -> None:
    for exchange in KNOWN:
        assert verdict_on_ours(Phase.CLOSED, exchange) is Verdict.IGNORE
        assert verdict_on_theirs(Phase.CLOSED, exchange) is Verdict.IGNORE


def test_an_unknown_exchange_is_ignored() -> None:
    for phase in Phase:
        assert verdict_on_theirs(phase, ExchangeType(240)) is Verdict.IGNORE


def test_every_phase_can_be_reached_and_left() -> None:
    reached = {Phase.CONNECTING}
    for _ in Phase:
        reached |= {end for start, end, _ in TRANSITIONS if start in reached}
    assert reached == set(Phase)
    assert {start for start, _, _ in TRANSITIONS} == set(Phase) - {Phase.CLOSED}


def test_the_picture_shows_all_of_it() -> None:
    drawn = render()
    for start, end, why in TRANSITIONS:
        assert f"{start.value} --> {end.value}: {why}" in drawn
    for (phase, exchange), row in LIFECYCLE.items():
        assert f"| {phase.value} | {exchange} | {row.ours.value} | {row.theirs.value} | {row.why} |" in drawn
