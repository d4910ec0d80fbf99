"""MOBIKE with strongSwan: either side moves, and the tunnel with it (RFC 4555)."""

from __future__ import annotations

from pathlib import Path

import pytest

from caponier.api.schema import IkeSa
from caponier.demo.gateways import Gateway
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, WIRE, Topology
from caponier.demo.traffic import ping
from tests.daemon.site import eventually
from tests.interop.charon import Charon
from tests.interop.peers import Scenario, pair

pytestmark = [pytest.mark.privileged, pytest.mark.peer("strongswan"), pytest.mark.usefixtures("strongswan")]

OUR_NEXT, THEIR_NEXT = "192.0.2.77", "192.0.2.88"
MOVING = Scenario(
    our_addresses="[]", our_remote="", their_lines="mobike = yes\nlocal_addrs = %any\nremote_addrs = %any"
)
CALLING = Scenario(their_lines="mobike = yes\nlocal_addrs = %any")


def moves(namespace: Namespace, old: str, new: str) -> None:
    with namespace.netlink() as netlink:
        index = netlink.link_lookup(ifname=WIRE)[0]
        netlink.addr("del", index=index, address=old, prefixlen=24)
        netlink.addr("add", index=index, address=new, prefixlen=24)


def ike_sa(ours: Gateway) -> IkeSa:
    with ours.client() as client:
        (sa,) = client.status().ike_sas
    return sa


def story(ours: Gateway, charon: Charon) -> str:
    return f"{ours.log.read_text()[-4000:]}\n{charon.tail()}"


def test_caponier_moves(world: Topology, directory: Path) -> None:
    """Sections 3.5 and 3.8: we initiated, our address changes; strongSwan follows."""
    with pair(world, directory, MOVING) as (ours, charon):
        with ours.client() as client:
            client.up("office")
        before = ike_sa(ours)
        assert before.movable
        assert ping(world.alice, RIGHT.host, count=3).received >= 2
        moves(world.gw1, LEFT.outer, OUR_NEXT)
        assert eventually(lambda: OUR_NEXT in charon.swanctl("--list-sas")), story(ours, charon)
        assert eventually(lambda: ping(world.alice, RIGHT.host, count=1).received == 1), story(ours, charon)
        assert ping(world.bob, LEFT.host, count=3).received >= 2, story(ours, charon)
        after = ike_sa(ours)
        assert (after.spi_i, after.local_address) == (before.spi_i, OUR_NEXT)


def test_strongswan_moves(world: Topology, directory: Path) -> None:
    """Sections 3.5 and 3.7: strongSwan initiated and moves; we check that it receives there, and follow."""
    with pair(world, directory, CALLING) as (ours, charon):
        charon.swanctl("--initiate", "--child", "lan", "--timeout", "15")
        before = ike_sa(ours)
        assert before.movable
        assert ping(world.bob, LEFT.host, count=3).received >= 2
        moves(world.gw2, RIGHT.outer, THEIR_NEXT)
        assert eventually(lambda: ike_sa(ours).remote_address == THEIR_NEXT), story(ours, charon)
        assert eventually(lambda: ping(world.bob, LEFT.host, count=1).received == 1), story(ours, charon)
        assert ping(world.alice, RIGHT.host, count=3).received >= 2, story(ours, charon)
        assert ike_sa(ours).spi_i == before.spi_i


def test_strongswan_tells_its_further_address(world: Topology, directory: Path) -> None:
    """Section 3.4: ADDITIONAL_IP4_ADDRESS within IKE_AUTH; strongSwan tells all that it has."""
    with world.gw2.netlink() as netlink:
        netlink.addr("add", index=netlink.link_lookup(ifname=WIRE)[0], address=THEIR_NEXT, prefixlen=24)
    with pair(world, directory, MOVING) as (ours, _):
        with ours.client() as client:
            client.up("office")
        assert THEIR_NEXT in ike_sa(ours).peer_addresses
