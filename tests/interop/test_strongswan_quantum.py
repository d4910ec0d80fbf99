"""Post-quantum protection with strongSwan 5.9, which has no ML-KEM and no IKE_INTERMEDIATE (RFC 9370)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from caponier.demo.topology import Topology
from tests.interop.peers import Scenario, pair
from tests.interop.test_strongswan import carries_traffic, comes_up, refusal

pytestmark = [pytest.mark.privileged, pytest.mark.peer("strongswan"), pytest.mark.usefixtures("strongswan")]

HYBRID, CLASSICAL = "aes256gcm16-prfsha384-ecp384-ke1_mlkem768", "aes256gcm16-prfsha384-ecp384"


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_a_peer_without_ml_kem_gets_the_next_proposal(world: Topology, directory: Path, initiator: str) -> None:
    """RFC 7296 section 3.3.6: it passes the proposal with an unknown transform type over; the status says what came of it."""
    with pair(world, directory, Scenario(our_ike=(HYBRID, CLASSICAL))) as (ours, charon):
        comes_up(ours, charon, initiator)
        with ours.client() as client:
            (sa,) = client.status().ike_sas
        assert sa.suite == CLASSICAL
        assert sa.quantum_safe == []
        assert sa.children[0].quantum_safe == []
        carries_traffic(world)


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_a_peer_without_ml_kem_is_refused_where_it_is_required(
    world: Topology, directory: Path, initiator: str
) -> None:
    scenario = Scenario(our_ike=(HYBRID,), our_lines='quantum_safe = "required"')
    with pair(world, directory, scenario) as (ours, charon):
        _, setting, _, told = refusal(ours, charon, initiator)
    assert setting == "proposals"
    assert "ke1_mlkem768" in told


# -- postquantum preshared keys (RFC 8784)

PPK = "32 octets or more, all of them random"


def with_ppk(*, ours: bool | None, theirs: bool | None, secret: str = PPK, name: str = "office-2026") -> Scenario:
    """Both sides with a PPK: required, optional, or None for none."""
    our_lines = their_lines = their_secrets = ""
    if ours is not None:
        our_lines = f'ppk = {{ id = "office-2026", secret = "env:OFFICE_PPK", required = {str(ours).lower()} }}'
    if theirs is not None:
        their_lines = f"ppk_id = {name}\n ppk_required = {'yes' if theirs else 'no'}"
        their_secrets = f'secrets {{ ppk-office {{ id = {name}\n secret = "{secret}" }} }}'
    return Scenario(our_lines=our_lines, their_lines=their_lines, their_secrets=their_secrets)


@pytest.fixture(autouse=True)
def _our_ppk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFICE_PPK", PPK)


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
@pytest.mark.parametrize(("ours", "theirs"), [(True, True), (False, False), (True, False), (False, True)])
def test_a_ppk_of_both(world: Topology, directory: Path, initiator: str, ours: bool, theirs: bool) -> None:  # noqa: FBT001
    """Section 3: it is used, mandatory or not; the Child SA's keys come of it, or nothing would pass."""
    with pair(world, directory, with_ppk(ours=ours, theirs=theirs)) as (gateway, charon):
        comes_up(gateway, charon, initiator)
        with gateway.client() as client:
            (sa,) = client.status().ike_sas
            assert sa.quantum_safe == []
            assert sa.children[0].quantum_safe == ["PPK"]
        carries_traffic(world)
        with gateway.client() as client:
            client.rekey("office", ike=True)
            client.rekey("office")
            assert [each.quantum_safe for each in client.status().ike_sas if each.phase == "established"] == [["PPK"]]
        carries_traffic(world)


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
@pytest.mark.parametrize(("ours", "theirs", "name"), [(False, None, ""), (None, False, ""), (False, False, "another")])
def test_an_optional_ppk_that_only_one_has(
    world: Topology,
    directory: Path,
    initiator: str,
    ours: bool | None,  # noqa: FBT001
    theirs: bool | None,  # noqa: FBT001
    name: str,
) -> None:
    """Section 3: without USE_PPK of both, or by NO_PPK_AUTH where the names differ, the tunnel comes up without it."""
    scenario = with_ppk(ours=ours, theirs=theirs, name=name or "office-2026")
    if (
        initiator == "caponier" and name
    ):  # a responder with a ppk_id refuses all others; without one it knows its secrets
        scenario = replace(scenario, their_lines="")
    with pair(world, directory, scenario) as (gateway, charon):
        comes_up(gateway, charon, initiator)
        with gateway.client() as client:
            assert client.status().ike_sas[0].children[0].quantum_safe == []
        carries_traffic(world)


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
@pytest.mark.parametrize(("theirs", "secret"), [(None, PPK), (True, "another secret of no less than 32 octets")])
def test_a_required_ppk_that_the_peer_has_not(
    world: Topology,
    directory: Path,
    initiator: str,
    theirs: bool | None,  # noqa: FBT001
    secret: str,
) -> None:
    """Section 3, table 1: "Abort negotiation"; our status says that it is about the PPK."""
    with pair(world, directory, with_ppk(ours=True, theirs=theirs, secret=secret)) as (gateway, charon):
        refusal(gateway, charon, initiator)
        with gateway.client() as client:
            problem = client.status().troubles[-1].problem
            assert not client.status().ike_sas
    assert "PPK" in f"{problem.message} {problem.hint} {problem.setting}"
