"""Two planes and a host behind each: traffic, counters, changes while it flows (RFC 4301 section 5, RFC 4303)."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from caponier._plane import PlaneError
from caponier.demo.capture import Kind, Tap
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, WIRE, Topology
from caponier.demo.traffic import ping, transfer
from tests.plane.suites import GCM, SUITES, Suite
from tests.plane.tunnel import (
    CARRIERS,
    MTU,
    POLICY,
    RAW4,
    UDP4,
    UDP6,
    Carrier,
    Tunnel,
    error_of,
    eventually,
    of,
    told,
)

pytestmark = pytest.mark.privileged

MARKER = b"in clear text for everybody to read"
OCTETS = 300_000  #: of a TCP transfer
IP_MTU, IPV6_MTU = 14, 24
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2

every_carrier = pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)


def answers(world: Topology, count: int = 3, payload: bytes = MARKER) -> int:
    """Echo replies that Alice gets from Bob, by IPv4 and IPv6."""
    return sum(ping(world.alice, bob, count=count, payload=payload).received for bob in (RIGHT.host, RIGHT.host6))


def silent(world: Topology) -> bool:
    """Whether Bob cannot be reached; by one request each, since the answers are waited for."""
    return not any(ping(world.alice, bob, count=1, seconds=0.2).received for bob in (RIGHT.host, RIGHT.host6))


# --- traffic ---


@every_carrier
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_everything_arrives_and_is_counted_once(pair: Tunnel, suite: Suite, carrier: Carrier) -> None:
    """RFC 4301 section 5: IPv4 and IPv6 inside, in one packet and in many; both sides count the same."""
    with pair.protected(suite, carrier):
        assert answers(pair.world) == 6
        bob = RIGHT.host if carrier.outer == 6 else RIGHT.host6
        sent = transfer(pair.world.alice, pair.world.bob, bob, octets=OCTETS, filling=MARKER)
        assert sent.intact
        assert eventually(pair.agrees), [(end.outbound(), end.inbound()) for end in pair.ends]
        packets, octets, _ = pair.left.outbound()
        assert packets > 6 + OCTETS // MTU
        assert octets > OCTETS + 6 * len(MARKER)


@every_carrier
def test_nothing_is_in_clear_on_the_wire(pair: Tunnel, carrier: Carrier) -> None:
    """RFC 4303 section 1: what leaves is ESP, and nothing else leaves."""
    with pair.protected(GCM, carrier), Tap(pair.world.gw1, WIRE) as tap:
        assert answers(pair.world) == 6
        assert transfer(pair.world.bob, pair.world.alice, LEFT.host, octets=OCTETS, filling=MARKER).intact
        seen = tap.stop()
    assert seen.strangers == 0
    assert seen.counts[Kind.ESP] > 12
    assert not seen.contains(MARKER)
    protocol = 17 if carrier.encapsulated else 50
    esp = [frame.octets for frame in seen.frames if frame.kind is Kind.ESP]
    assert {octets[23] if carrier.outer == 4 else octets[20] for octets in esp} == {protocol}


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_of_inner_packets_arrive(pair: Tunnel, version: int) -> None:
    """RFC 4301 section 7: a tunnel-mode SA for any port carries fragments, the later ones too."""
    family, bob = (socket.AF_INET, RIGHT.host) if version == 4 else (socket.AF_INET6, RIGHT.host6)
    with pair.world.bob.inside():
        sink = socket.socket(family, socket.SOCK_DGRAM)
    with pair.world.alice.inside():
        source = socket.socket(family, socket.SOCK_DGRAM)
    with sink, source, pair.protected(GCM, UDP4):
        sink.bind((bob, 0))
        sink.settimeout(10)
        source.sendto(MARKER * 150, sink.getsockname()[:2])
        if version == 6:  # the gateway may not fragment: the first one is lost, and teaches Alice the path's MTU
            assert eventually(lambda: path_mtu(pair.world.alice, version, bob) == MTU)
            source.sendto(MARKER * 150, sink.getsockname()[:2])
        assert sink.recv(65_535) == MARKER * 150
        assert eventually(pair.agrees)
        assert pair.left.outbound()[0] >= 4


# --- changes ---


def test_an_outbound_sa_can_be_moved(pair: Tunnel) -> None:
    """RFC 7296 section 2.23: the peer's NAT gave it another address; RFC 3948: and ESP left UDP, or came into it."""
    second = "192.0.2.77"
    with additional_address(pair.world.gw2, second), pair.protected(GCM, UDP4):
        assert answers(pair.world) == 6
        there = {**UDP4.ends(LEFT, RIGHT), "remote_address": second}
        pair.left.plane.move_outbound(pair.left.handle, **there)  # type: ignore[arg-type]
        assert outer_headers(pair) == {(17, LEFT.outer, second), (17, RIGHT.outer, LEFT.outer)}
        pair.left.plane.move_outbound(pair.left.handle, **RAW4.ends(LEFT, RIGHT))
        assert outer_headers(pair) == {(50, LEFT.outer, RIGHT.outer), (17, RIGHT.outer, LEFT.outer)}
        pair.left.plane.move_outbound(pair.left.handle, **UDP4.ends(LEFT, RIGHT))
        assert outer_headers(pair) == {(17, LEFT.outer, RIGHT.outer), (17, RIGHT.outer, LEFT.outer)}
        assert pair.left.outbound()[0] == 24  # one SA all the time: its sequence numbers went on
        assert eventually(pair.agrees)


def outer_headers(pair: Tunnel) -> set[tuple[int, str, str]]:
    """Protocol, source and destination of what crosses the wire while Alice pings Bob."""
    with Tap(pair.world.gw1, WIRE) as tap:
        assert answers(pair.world) == 6
        frames = tap.stop().frames
    packets = [frame.octets[14:] for frame in frames if frame.kind is Kind.ESP]
    return {(octets[9], socket.inet_ntoa(octets[12:16]), socket.inet_ntoa(octets[16:20])) for octets in packets}


@contextmanager
def additional_address(namespace: Namespace, address: str) -> Iterator[None]:
    with namespace.netlink() as netlink:
        index = netlink.link_lookup(ifname=WIRE)[0]
        netlink.addr("add", index=index, address=address, prefixlen=24)
        try:
            yield
        finally:
            netlink.addr("del", index=index, address=address, prefixlen=24)


@pytest.mark.parametrize(
    "there",
    [
        {"remote_address": RIGHT.outer6},  # of two families
        {"remote_port": 0},  # one port, not the other
        {"remote_address": "nowhere"},
    ],
)
def test_an_outbound_sa_is_not_moved_to_nonsense(pair: Tunnel, there: dict[str, object]) -> None:
    with pair.protected(GCM, UDP4):
        with pytest.raises(PlaneError):
            pair.left.plane.move_outbound(pair.left.handle, **{**UDP4.ends(LEFT, RIGHT), **there})  # type: ignore[arg-type]
        assert answers(pair.world) == 6


@pytest.mark.parametrize("there", [{"local_port": 4999}, {"remote_address": "203.0.113.1"}], ids=["port", "route"])
def test_what_the_system_does_not_send_is_counted(pair: Tunnel, there: dict[str, object]) -> None:
    """RFC 4301 section 8: an SA whose way out is gone loses packets, and says so: no socket, or no route."""
    plane = pair.left.plane
    with pair.protected(GCM, UDP4):
        before = plane.drops().get("send-failed", 0)
        plane.move_outbound(pair.left.handle, **{**UDP4.ends(LEFT, RIGHT), **there})  # type: ignore[arg-type]
        assert silent(pair.world)
        assert eventually(lambda: plane.drops().get("send-failed", 0) == before + 2)
        plane.move_outbound(pair.left.handle, **UDP4.ends(LEFT, RIGHT))
        assert answers(pair.world) == 6


def test_a_removed_inbound_sa_opens_nothing(pair: Tunnel) -> None:
    """RFC 4303 section 3.4.2: without an SA the packet is discarded, and that is to be audited."""
    with pair.protected(GCM, UDP4):
        before = pair.right.plane.drops().get("unknown-spi", 0)
        pair.right.plane.remove_inbound(pair.right.spi_in)
        assert silent(pair.world)
        assert eventually(lambda: pair.right.plane.drops().get("unknown-spi", 0) >= before + 2)
        with pytest.raises(PlaneError, match="no inbound SA"):
            pair.right.inbound()
        with pytest.raises(PlaneError, match="no inbound SA"):
            pair.right.plane.remove_inbound(pair.right.spi_in)
        pair.right.install_inbound(GCM, UDP4)
        assert answers(pair.world) == 6
        assert pair.right.inbound()[0] == 6


def test_a_removed_outbound_sa_leaves_a_policy_that_asks_for_one(pair: Tunnel) -> None:
    """RFC 4301 section 5.1: PROTECT without an SA asks key management for one, and does not let the packet out."""
    with pair.protected(GCM, UDP4), Tap(pair.world.gw1, WIRE) as tap:
        pair.left.plane.remove_outbound(pair.left.handle)
        for call in (pair.left.outbound, lambda: pair.left.plane.remove_outbound(pair.left.handle)):
            with pytest.raises(PlaneError, match="no outbound SA"):
                call()
        assert_acquires(pair)
        assert tap.stop().counts[Kind.ESP] == 0
        gone = pair.left.handle
        pair.left.install_outbound(GCM, UDP4)
        assert pair.left.handle != gone  # a handle is never used again: an old policy must not find a new SA
        assert silent(pair.world)
        assert told(pair.left.plane) == [("acquire", POLICY, {})]
        pair.left.install_policy()
        # The new SA begins with sequence number 1, which the old one had not used. What waited for it goes first.
        assert eventually(lambda: pair.left.outbound()[0] == 6)
        assert answers(pair.world) == 6


def test_a_trap_asks_once_until_it_is_heard(pair: Tunnel) -> None:
    """RFC 4301 section 4.4.1 and 5.1: a policy that protects, and no SA yet."""
    pair.left.install_policy(outbound=False)
    try:
        assert_acquires(pair)
    finally:
        pair.left.plane.remove_policy(POLICY)


def assert_acquires(pair: Tunnel) -> None:
    """Packets without an SA wait for it; one event tells of all of them until it is taken, then another one may."""
    plane = pair.left.plane
    before = plane.drops().get("no-sa", 0)
    for _ in range(2):
        assert told(plane) == []
        assert not is_readable(plane.event_fd())
        assert silent(pair.world)
        assert is_readable(plane.event_fd())
        assert told(plane) == [("acquire", POLICY, {})]
    assert plane.drops().get("no-sa", 0) == before


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_a_discard_policy_discards(pair: Tunnel) -> None:
    """RFC 4301 section 4.4.1: DISCARD; the policy of lowest order decides."""
    plane = pair.left.plane
    with pair.protected(GCM, UDP4):
        before = plane.drops().get("discard-policy", 0)
        arguments = {"local": of(LEFT), "remote": of(RIGHT), "action": "discard", "outbound": None}
        plane.install_policy(policy=2, order=2, **arguments)  # type: ignore[arg-type]
        assert answers(pair.world) == 6
        plane.install_policy(policy=2, order=0, **arguments)  # type: ignore[arg-type]
        assert silent(pair.world)
        assert eventually(lambda: plane.drops().get("discard-policy", 0) == before + 2)
        plane.remove_policy(2)
        assert answers(pair.world) == 6
        assert pair.left.outbound()[0] == 12


def test_without_a_policy_nothing_leaves(pair: Tunnel) -> None:
    """RFC 4301 section 5.1, step 2: no matching entry means discard."""
    plane = pair.left.plane
    before = plane.drops().get("no-policy", 0)
    with Tap(pair.world.gw1, WIRE) as tap:
        assert silent(pair.world)
        # The interface's own router solicitations have no policy either.
        assert eventually(lambda: plane.drops().get("no-policy", 0) >= before + 2)
        seen = tap.stop()
    assert (seen.counts[Kind.ESP], seen.strangers) == (0, 0)
    with pytest.raises(PlaneError, match="no policy"):
        plane.remove_policy(POLICY)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"action": "tap"}, "no action"),
        ({"action": "protect", "outbound": 999_999}, "no outbound SA"),
        ({"local": [(0, 0, 65_535, "10.0.0.2", "10.0.0.1")]}, "not a range"),
        ({"remote": [(0, 0, 65_535, "10.0.0.1", "fd00::1")]}, "not a range"),
        ({"remote": [(0, 0, 65_535, "10.0.0.0/8", "10.0.0.1")]}, "no IP address"),
    ],
)
def test_policies_that_make_no_sense_are_refused(pair: Tunnel, changes: dict[str, object], told: str) -> None:
    arguments = {"policy": 7, "order": 1, "local": of(LEFT), "remote": of(RIGHT), "action": "discard", "outbound": None}
    with pytest.raises(PlaneError, match=told):
        pair.left.plane.install_policy(**{**arguments, **changes})  # type: ignore[arg-type]
    with pytest.raises(PlaneError, match="no policy"):
        pair.left.plane.remove_policy(7)


def test_an_spi_is_installed_once(pair: Tunnel) -> None:
    """RFC 4301 section 4.4.2: the SPI alone finds the SA of a unicast packet."""
    with pair.protected(GCM, UDP4):
        with pytest.raises(PlaneError, match="already"):
            pair.left.install_inbound(GCM, UDP6)
        assert answers(pair.world) == 6


# --- sizes ---


def path_mtu(host: Namespace, version: int, destination: str) -> int:
    """What a host believes of the path."""
    family, level, option = (
        (socket.AF_INET, socket.IPPROTO_IP, IP_MTU)
        if version == 4
        else (socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_MTU)
    )
    with host.inside():
        probe = socket.socket(family, socket.SOCK_DGRAM)
    with probe:
        probe.connect((destination, 9))
        return probe.getsockopt(level, option)


@pytest.mark.parametrize("version", [4, 6])
def test_a_packet_too_large_for_the_tunnel_is_answered(pair: Tunnel, version: int) -> None:
    """RFC 4301 section 8.2.1, RFC 1191, RFC 8201: the sender of a DF packet learns the tunnel's MTU.

    Sent to somebody who is not there, since hosts remember what they learned of a path.
    """
    family, nobody = (socket.AF_INET, "10.2.0.99") if version == 4 else (socket.AF_INET6, "fd00:2::99")
    level, option = (socket.IPPROTO_IP, IP_MTU_DISCOVER) if version == 4 else (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER)
    headers = 28 if version == 4 else 48
    with pair.world.alice.inside():
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with sender, pair.protected(GCM, UDP4):
        sender.setsockopt(level, option, PMTUDISC_DO)
        sender.connect((nobody, 9))
        sender.send(bytes(1500 - headers))
        assert eventually(lambda: path_mtu(pair.world.alice, version, nobody) == MTU)
        assert pair.left.outbound()[0] == 0
        assert error_of(sender, bytes(MTU + 1 - headers)) == errno.EMSGSIZE
        assert error_of(sender, bytes(MTU - headers)) == 0
        assert eventually(lambda: pair.left.outbound()[:2] == (1, MTU))


@every_carrier
def test_esp_is_fragmented_after_it_is_sealed(pair: Tunnel, carrier: Carrier) -> None:
    """RFC 4303 section 3.3.4: fragmentation happens behind ESP, where the link is smaller than the tunnel.

    RFC 4301 section 8.1: if the policy clears DF; otherwise the hosts would be told.
    """
    with pair.protected(GCM, carrier, df="clear"), link_mtu(pair.world, 1320):
        large = bytes(MTU - 28)
        assert ping(pair.world.alice, RIGHT.host, count=3, payload=large).received == 3
        assert transfer(pair.world.alice, pair.world.bob, RIGHT.host, octets=OCTETS, filling=MARKER).intact
        assert eventually(pair.agrees), [(end.outbound(), end.inbound()) for end in pair.ends]


@contextmanager
def link_mtu(world: Topology, mtu: int) -> Iterator[None]:
    """Give the wire another MTU."""
    _set_mtu(world, mtu)
    try:
        yield
    finally:
        _set_mtu(world, 1500)


def _set_mtu(world: Topology, mtu: int) -> None:
    for gateway in (world.gw1, world.gw2):
        with gateway.netlink() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname=WIRE)[0], mtu=mtu)
