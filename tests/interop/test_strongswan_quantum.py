"""Post-quantum protection with strongSwan 5.9, which has no ML-KEM and no IKE_INTERMEDIATE (RFC 9370)."""

from __future__ import annotations

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
