"""Nothing in clear: what a policy protects is never sent unprotected, and never taken (RFC 4301 sections 5.1 and 5.2)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from caponier.daemon.guard import Guard
from caponier.demo.capture import Capture, Tap
from caponier.demo.topology import LEFT, RIGHT, WIRE
from caponier.demo.traffic import ping
from caponier.mechanisms.negotiation.selectors import parse_selector
from caponier.protocols.ike.policy import Ports
from tests.daemon.kernel import routes
from tests.daemon.site import FILLING, Pair, eventually, left, right

pytestmark = pytest.mark.privileged

TABLE = 220


@contextmanager
def open_country(pair: Pair) -> Iterator[None]:
    """Both gateways know the way to the other's network, in clear: as if all of it were one site's."""
    ways = (
        (pair.world.gw1, RIGHT.network, RIGHT.outer),
        (pair.world.gw1, RIGHT.network6, RIGHT.outer6),
        (pair.world.gw2, LEFT.network, LEFT.outer),
        (pair.world.gw2, LEFT.network6, LEFT.outer6),
    )
    for gateway, network, via in ways:
        with gateway.netlink() as netlink:
            netlink.route("add", dst=network, gateway=via)
    try:
        yield
    finally:
        for gateway, network, via in ways:
            with gateway.netlink() as netlink:
                netlink.route("del", dst=network, gateway=via)


def pings(pair: Pair) -> tuple[int, Capture]:
    """How many of Alice's echo requests Bob answers, in both families, and what was seen on the way."""
    with Tap(pair.world.gw1, WIRE) as tap:
        found = [
            ping(pair.world.alice, host, count=3, seconds=0.3, payload=FILLING).received
            for host in (RIGHT.host, RIGHT.host6)
        ]
        return sum(found), tap.stop()


def test_a_connection_that_is_wanted_and_not_up_sends_nothing_in_clear(pair: Pair) -> None:
    """Section 5.1: PROTECT without an SA is no BYPASS. The peer's daemon does not even run."""
    with open_country(pair):
        assert eventually(lambda: pings(pair)[0] == 6)
        pair.configure(left(lines='start = "boot"'))
        pair.start("gw1")
        answered, seen = pings(pair)
        assert answered == 0
        assert not seen.contains(FILLING)
        ping(pair.world.alice, RIGHT.host, count=24, seconds=0.02)  # more than wait for the SA
        assert eventually(lambda: pair.status("gw1").plane_drops.get("no-sa", 0) >= 6)
        pair.stop("gw1")
        assert pings(pair)[0] == 6


def test_what_a_tunnel_carries_is_not_taken_in_clear(pair: Pair) -> None:
    """Section 5.2: gw2 knows nothing of a tunnel and sends in clear; gw1, which does, drops it."""
    with open_country(pair):
        pair.configure(left(lines='start = "boot"'))
        pair.start("gw1")
        for target in (LEFT.host, LEFT.gateway_inner, LEFT.host6):
            assert ping(pair.world.bob, target, count=2, seconds=0.3).received == 0
        assert ping(pair.world.bob, LEFT.outer, count=2, seconds=0.3).received == 0  # Bob's address has no way back
        assert ping(pair.world.gw2, LEFT.outer, count=2, seconds=0.3).received == 2  # no policy names gw2


@pytest.mark.parametrize("port", [500, 4500, 5000])
def test_no_port_is_a_way_around(pair: Pair, port: int) -> None:
    """Section 5.2: IKE and ESP in clear are for this machine; to a host behind it they are packets like all others."""
    with open_country(pair):
        pair.configure(left(lines='start = "boot"'))
        with pair.world.alice.inside():
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with pair.world.bob.inside():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with listener, sender:
            listener.bind(("", port))
            listener.settimeout(0.3)
            sender.sendto(b"before", (LEFT.host, port))
            assert listener.recv(100) == b"before"
            pair.start("gw1")
            sender.sendto(b"after", (LEFT.host, port))
            with pytest.raises(TimeoutError):
                listener.recv(100)


def test_by_hand_a_person_decides_when(pair: Pair) -> None:
    """``start = "manual"`` lets packets pass until somebody brings the connection up, and again after that."""
    with open_country(pair):
        pair.configure(left(), right())
        pair.start("gw1", "gw2")
        assert pings(pair)[0] == 6
        with pair.client("gw1") as client:
            client.up("office")
            answered, seen = pings(pair)
            assert answered == 6
            assert not seen.contains(FILLING)
            client.down("office")
        assert eventually(lambda: not routes(pair.world.gw2, TABLE))
        assert pings(pair)[0] == 6


def test_while_down_says_otherwise(pair: Pair) -> None:
    with open_country(pair):
        pair.configure(left(lines='start = "boot"\nwhile_down = "pass"'))
        pair.start("gw1")
        assert pings(pair)[0] == 6
        pair.configure(left(lines='start = "manual"\nwhile_down = "discard"'))
        with pair.client("gw1") as client:
            client.reload()
        assert pings(pair)[0] == 0


def test_a_tunnel_that_was_taken_down_holds_its_packets(pair: Pair) -> None:
    with open_country(pair):
        pair.configure(left(lines='start = "boot"'), right())
        pair.start("gw2", "gw1")
        with pair.client("gw1") as client:
            client.up("office")
            assert pings(pair)[0] == 6
            client.down("office")
            answered, seen = pings(pair)
            assert answered == 0
            assert not seen.contains(FILLING)


@pytest.mark.parametrize(
    ("local", "remote", "passes"),
    [
        (LEFT.network, RIGHT.network, False),
        (LEFT.network, "10.3.0.0/16", True),
        (f"{LEFT.network}[icmp]", f"{RIGHT.network}[icmp]", False),
        (f"{LEFT.network}[tcp/80]", f"{RIGHT.network}[tcp]", True),
        (LEFT.host, RIGHT.host, False),
        (LEFT.gateway_inner, RIGHT.host, True),
    ],
)
def test_the_guard_drops_what_its_selectors_name(pair: Pair, local: str, remote: str, *, passes: bool) -> None:
    with open_country(pair):
        with pair.world.gw1.inside():
            guard = Guard("cap0", Ports(), 0xCA90)
        try:
            guard.protect(("office", "lan"), (parse_selector(local),), (parse_selector(remote),))
            assert (ping(pair.world.bob, LEFT.host, count=2, seconds=0.3).received == 2) is passes
            assert (guard.dropped() == 0) is passes
            guard.protect(("office", "lan"), (parse_selector("10.77.0.0/16"),), (parse_selector(remote),))
            assert ping(pair.world.bob, LEFT.host, count=2, seconds=0.3).received == 2
            guard.protect(("office", "lan"), (parse_selector(local),), (parse_selector(remote),))
            guard.release(("office", "lan"))
            assert ping(pair.world.bob, LEFT.host, count=2, seconds=0.3).received == 2
        finally:
            guard.close()
