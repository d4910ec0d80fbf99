"""IKE fragmentation with strongSwan, both ways, with certificates that no datagram holds (RFC 7383)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caponier.demo.topology import Topology
from tests.interop.peers import Scenario, pair
from tests.interop.pki import ecdsa_pair
from tests.interop.test_strongswan import carries_traffic, comes_up

pytestmark = [pytest.mark.privileged, pytest.mark.peer("strongswan"), pytest.mark.usefixtures("strongswan")]

NAMES = 80  #: of each certificate: some 3 500 octets


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
@pytest.mark.parametrize("ike", ["aes256gcm16-prfsha384-ecp384", "aes128-sha256-modp2048"])
def test_long_certificates(world: Topology, directory: Path, initiator: str, ike: str) -> None:
    """Section 2.5: both IKE_AUTH messages come in parts, and the other side puts them together."""
    scenario = Scenario(ike=ike, auth="certificate", certificates=ecdsa_pair(NAMES))
    with pair(world, directory, scenario) as (ours, charon):
        comes_up(ours, charon, initiator)
        with ours.client() as client:
            (sa,) = client.status().ike_sas
        assert sa.fragment_size == 1280
        log = charon.log.read_text()
        assert "generating IKE_AUTH" in log
        assert "EF(1/4)" in log
        assert "splitting IKE message" in log
        assert re.search(r"received fragment #\d of 4, reassembled fragmented IKE message", log)
        carries_traffic(world)


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
@pytest.mark.parametrize(("ours", "theirs"), [("off", "yes"), ("auto", "no")])
def test_one_side_that_does_not_want_it(
    world: Topology, directory: Path, initiator: str, ours: str, theirs: str
) -> None:
    """Section 2.4: then the messages are whole, and IP has to cut them."""
    scenario = Scenario(
        auth="certificate",
        certificates=ecdsa_pair(NAMES),
        our_lines=f'fragmentation = "{ours}"',
        their_lines=f"fragmentation = {theirs}",
    )
    with pair(world, directory, scenario) as (gateway, charon):
        comes_up(gateway, charon, initiator)
        with gateway.client() as client:
            (sa,) = client.status().ike_sas
        assert sa.fragment_size is None
        assert "EF(" not in charon.log.read_text()


def test_a_narrow_path(world: Topology, directory: Path) -> None:
    """Section 2.5.2: what is too long for the path is swallowed, and so we cut smaller; strongSwan starts over with us."""
    scenario = Scenario(auth="certificate", certificates=ecdsa_pair(NAMES))
    with pair(world, directory, scenario) as (ours, charon):
        for rule in (
            "add table ip narrow",
            "add chain ip narrow input { type filter hook prerouting priority -500 ; }",
            "add rule ip narrow input meta length > 1000 drop",
        ):
            world.gw2.run(["nft", rule])
        comes_up(ours, charon, "caponier")
        with ours.client() as client:
            (sa,) = client.status().ike_sas
        assert sa.fragment_size == 576
        assert "received fragment #1 of" in charon.log.read_text()
