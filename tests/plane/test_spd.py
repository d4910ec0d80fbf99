"""What the SPD does beside sealing (RFC 4301 sections 4.4.1 and 5.1), and what is told of its work."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from caponier.demo.capture import Kind, Tap
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, WIRE, Site
from caponier.demo.traffic import Ping, ping, transfer
from tests.plane.suites import GCM
from tests.plane.tunnel import MARK, MTU, POLICY, PORT, UDP4, Tunnel, eventually, told

pytestmark = pytest.mark.privileged

TABLE = 100  #: of routes past the TUN


def waiting(pair: Tunnel, pool: ThreadPoolExecutor, addresses: tuple[str, ...]) -> list[Future[Ping]]:
    """Requests of Alice's, one to each address, that have come as far as the plane."""
    asked = [pool.submit(ping, pair.world.alice, address, count=1, seconds=5) for address in addresses]
    assert eventually(lambda: [kind for kind, *_ in told(pair.left.plane)] == ["acquire"])
    return asked


def test_the_first_packets_wait_for_their_sa(pair: Tunnel) -> None:
    """RFC 4301 section 5.1: nothing is lost while key management works, and nothing is counted as if it were."""
    before = pair.left.plane.drops().get("no-sa", 0)
    pair.left.install_policy(outbound=False)
    with ThreadPoolExecutor() as pool:
        asked = waiting(pair, pool, (RIGHT.host, RIGHT.host6))
        for end in (pair.right, pair.left):  # what waits is sent at once, to somebody who can open it
            end.install(GCM, UDP4)
        assert [each.result().received for each in asked] == [1, 1]
        assert pair.left.outbound()[0] == 2
        for end in pair.ends:
            end.remove()
    assert pair.left.plane.drops().get("no-sa", 0) == before


def test_what_waits_for_a_policy_that_goes_is_lost(pair: Tunnel) -> None:
    before = pair.left.plane.drops().get("no-sa", 0)
    pair.left.install_policy(outbound=False)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ping, pair.world.alice, RIGHT.host, count=1, seconds=0.3)
        assert asked.result().received == 0
    assert pair.left.plane.drops().get("no-sa", 0) == before
    pair.left.plane.remove_policy(POLICY)
    assert pair.left.plane.drops()["no-sa"] == before + 1


def test_a_drop_is_told_once_until_asked_again(pair: Tunnel) -> None:
    """RFC 4303 section 4, RFC 4301 section 9: what an audit log wants to know, and no flood of it."""
    left, right = pair.left, pair.right
    with pair.protected(GCM, UDP4):
        right.plane.remove_inbound(right.spi_in)
        for number in (1, 3):
            right.plane.audit_again()
            right.plane.events()
            assert ping(pair.world.alice, RIGHT.host, count=2, seconds=0.1).received == 0
            assert [each for each in right.plane.events() if each[1] == left.spi_out] == [
                (
                    "dropped",
                    left.spi_out,
                    {
                        "direction": "in",
                        "protocol": "esp",
                        "reason": "unknown-spi",
                        "source": LEFT.outer,
                        "destination": RIGHT.outer,
                        "sequence": number,
                    },
                )
            ]
        right.install_inbound(GCM, UDP4)


def test_a_peer_that_came_from_elsewhere_is_told(pair: Tunnel) -> None:
    """RFC 7296 section 2.23: an authenticated packet in UDP from another port than the SA's; its packets are carried on."""
    right = pair.right
    with pair.protected(GCM, UDP4):
        right.plane.remove_inbound(right.spi_in)
        right.install_inbound(GCM, UDP4, remote_port=PORT + 1)
        assert ping(pair.world.alice, RIGHT.host, count=2).received == 2
        here = {"protocol": "esp", "address": LEFT.outer, "port": PORT}
        assert told(right.plane) == [("peer-moved", right.spi_in, here)]
        right.plane.move_inbound(right.spi_in, remote_address=LEFT.outer, remote_port=PORT)
        assert ping(pair.world.alice, RIGHT.host, count=2).received == 2
        assert told(right.plane) == []


@contextmanager
def past_the_tunnel(gateway: Namespace, there: Site) -> Iterator[None]:
    """What the plane sends in clear text takes the wire to the other site, not the TUN again."""
    networks = (
        (socket.AF_INET, there.network, there.outer),
        (socket.AF_INET6, there.network6, there.outer6),
    )
    with gateway.netlink() as netlink:
        for family, network, way in networks:
            netlink.rule("add", family=family, fwmark=MARK, table=TABLE, priority=100)
            netlink.route("add", family=family, dst=network, gateway=way, table=TABLE)
        try:
            yield
        finally:
            for family, network, way in networks:
                netlink.rule("del", family=family, fwmark=MARK, table=TABLE, priority=100)
                netlink.route("del", family=family, dst=network, gateway=way, table=TABLE)


def test_bypassed_packets_are_what_they_were(pair: Tunnel) -> None:
    """RFC 4301 section 5.1, step 3a: by IPv4 and IPv6, small packets and super-packets, without IPsec on the wire."""
    world = pair.world
    with (
        past_the_tunnel(world.gw1, RIGHT),
        past_the_tunnel(world.gw2, LEFT),
        Tap(world.gw1, WIRE) as tap,
    ):
        for end in pair.ends:
            end.install_policy(action="bypass", outbound=False)
        try:
            for address in (RIGHT.host, RIGHT.host6):
                answer = ping(world.alice, address, count=3, payload=b"in clear text")
                assert answer.received == 3
                done = transfer(world.alice, world.bob, address, octets=500_000, filling=b"in clear text")
                assert done.intact
            assert eventually(pair.is_quiet)
        finally:
            for end in pair.ends:
                end.plane.remove_policy(POLICY)
        assert tap.stop().counts[Kind.ESP] == 0
    assert pair.left.plane.bypassed() > 1_000_000 // MTU
    assert pair.right.plane.bypassed() > 6
