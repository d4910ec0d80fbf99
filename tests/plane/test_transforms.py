"""Every protocol and mode between two planes: AH and ESP, in tunnel and in transport mode (RFC 4302, RFC 4303, RFC 3948).

In tunnel mode the hosts behind the gateways talk; in transport mode the gateways do, by the addresses that they have on
the wire.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from caponier._plane import PlaneError, Sealer
from caponier.demo.capture import Tap
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, WIRE, Site
from caponier.demo.traffic import ping, transfer
from tests.plane.suites import GCM, Suite
from tests.plane.tunnel import (
    CARRIERS,
    POLICY,
    RAW4,
    RAW6,
    UDP4,
    UDP6,
    Carrier,
    End,
    Selector,
    Tunnel,
    eventually,
    of,
    routed_into,
    whole,
)

pytestmark = pytest.mark.privileged

AH_SHA = Suite("ah-sha256", 0, 0, 0, 12, 32, 0, 1, 16, ("NULL", "SHA2-256-128"))
AH_GMAC = Suite("ah-aes128gmac", 0, 0, 0, 9, 20, 8, 1, 16, ("NULL", None))
MARKER = b"covered from end to end, and from edge to edge"
OCTETS = 300_000  #: of a TCP transfer
CE, ECT0 = 3, 2
ROUTER_ALERT = bytes((148, 4, 0, 0))  #: an IPv4 option (RFC 2113)
PADDING = bytes((0, 0, 1, 4, 0, 0, 0, 0))  #: an extension header of IPv6 with PadN (RFC 8200 section 4.2)


@dataclass(frozen=True)
class Kind:
    """How packets are protected, and how they travel."""

    protocol: str
    mode: str
    carrier: Carrier
    suite: Suite

    @property
    def name(self) -> str:
        return f"{self.suite.name}-{self.mode}-{self.carrier.name}"

    @property
    def number(self) -> int:
        """The protocol behind the outer IP header."""
        return 51 if self.protocol == "ah" else 17 if self.carrier.encapsulated else 50

    def ends(self, here: Site, there: Site) -> dict[str, Any]:
        return {"protocol": self.protocol, "mode": self.mode, **self.carrier.ends(here, there)}

    def selectors(self, site: Site) -> list[Selector]:
        return of(site) if self.mode == "tunnel" else whole(self.carrier.address(site))


AH = [Kind("ah", mode, carrier, AH_SHA) for mode in ("tunnel", "transport") for carrier in (RAW4, RAW6)]
ESP_TRANSPORT = [Kind("esp", "transport", carrier, GCM) for carrier in CARRIERS]
TRANSPORT = [*AH[2:], *ESP_TRANSPORT]
ESP_TUNNEL = [Kind("esp", "tunnel", carrier, GCM) for carrier in CARRIERS]
KINDS = [*AH, Kind("ah", "transport", RAW4, AH_GMAC), *ESP_TRANSPORT]


def each(kinds: list[Kind]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)


def install_inbound(end: End, kind: Kind, **changes: Any) -> None:
    arguments = {
        "spi": end.spi_in,
        "protocol": kind.protocol,
        "mode": kind.mode,
        **kind.suite.keys(end.receives),
        "esn": True,
        "replay_window": 1024,
        "local": kind.selectors(end.here),
        "remote": kind.selectors(end.there),
        "local_address": kind.carrier.address(end.here),
        "remote_address": kind.carrier.address(end.there),
    }
    end.plane.install_inbound(**{**arguments, **changes})


def install_outbound(end: End, kind: Kind, **changes: Any) -> None:
    arguments = {"spi": end.spi_out, **kind.suite.keys(end.sends), "esn": True, **kind.ends(end.here, end.there)}
    end.handle = end.plane.install_outbound(**{**arguments, **changes})
    end.plane.install_policy(
        policy=POLICY,
        order=1,
        local=kind.selectors(end.here),
        remote=kind.selectors(end.there),
        action="protect",
        outbound=end.handle,
    )


def gateway(pair: Tunnel, end: End) -> Namespace:
    return pair.world.gw1 if end is pair.left else pair.world.gw2


def renumber(pair: Tunnel) -> None:
    """SPIs that no earlier SA had."""
    for end in pair.ends:
        end.generation += 1


@contextmanager
def protected(pair: Tunnel, kind: Kind, **outbound: Any) -> Iterator[None]:
    """Both SAs of both planes, and the routes that transport mode wants."""
    renumber(pair)
    with ExitStack() as undo:
        for end in pair.ends:
            install_inbound(end, kind)
            undo.callback(end.plane.remove_inbound, end.spi_in, kind.protocol)
            install_outbound(end, kind, **outbound)
            undo.callback(end.plane.remove_outbound, end.handle)
            undo.callback(end.plane.remove_policy, POLICY)
            if kind.mode == "transport":
                ours, theirs = kind.carrier.address(end.here), kind.carrier.address(end.there)
                undo.enter_context(routed_into(gateway(pair, end), end.plane.interface, ours, theirs))
        yield


def talkers(pair: Tunnel, kind: Kind) -> tuple[Namespace, Namespace, list[str]]:
    """Who talks to whom, and by which addresses."""
    world = pair.world
    if kind.mode == "tunnel":
        return world.alice, world.bob, [RIGHT.host, RIGHT.host6]
    return world.gw1, world.gw2, [kind.carrier.address(RIGHT)]


def agree(pair: Tunnel, kind: Kind) -> bool:
    """Whether both ends counted the same, and dropped nothing."""
    (left, right) = pair.ends
    opened = [end.plane.inbound_counters(end.spi_in, kind.protocol) for end in (right, left)]
    sealed = [left.outbound(), right.outbound()]
    return opened == sealed and not any(drops for *_, drops in opened)


def outer_headers(tap: Tap, number: int) -> list[bytes]:
    """The packets on the wire of this protocol, from the IP header on."""
    packets = [frame.octets[14:] for frame in tap.stop().frames]
    return [octets for octets in packets if octets[9 if octets[0] >> 4 == 4 else 6] == number]


def sent_by(source: str, packets: list[bytes]) -> list[bytes]:
    """Those from this address; whoever hears them may answer, by ICMP if by nothing else."""
    address = ip_address(source).packed
    at = 12 if len(address) == 4 else 8
    return [packet for packet in packets if packet[at : at + len(address)] == address]


def traffic_class(packet: bytes) -> int:
    return packet[1] if packet[0] >> 4 == 4 else int.from_bytes(packet[:2]) >> 4 & 0xFF


# --- traffic ---


@each(KINDS)
def test_everything_arrives_and_is_counted_once(pair: Tunnel, kind: Kind) -> None:
    """RFC 4301 section 5: echo requests and TCP, in one packet and in many; both sides count the same."""
    source, sink, addresses = talkers(pair, kind)
    with protected(pair, kind):
        for address in addresses:
            assert ping(source, address, count=3, payload=MARKER).received == 3
            assert transfer(source, sink, address, octets=OCTETS, filling=MARKER).intact
        assert eventually(lambda: agree(pair, kind)), [
            (end.outbound(), end.plane.inbound_counters(end.spi_in, kind.protocol)) for end in pair.ends
        ]
        assert pair.left.outbound()[1] > OCTETS


@each(KINDS)
def test_the_wire_shows_the_protocol_alone(pair: Tunnel, kind: Kind) -> None:
    """RFC 4303 section 3.1, RFC 4302 section 3.1, RFC 3948 section 2.1: all that leaves is protected."""
    source, _, addresses = talkers(pair, kind)
    with protected(pair, kind), Tap(pair.world.gw1, WIRE) as tap:
        for address in addresses:
            assert ping(source, address, count=3, payload=MARKER).received == 3
        capture = tap.stop()
    packets = [frame.octets[14:] for frame in capture.frames if not frame.is_housekeeping]
    found = {octets[9] if octets[0] >> 4 == 4 else octets[6] for octets in packets}
    assert found == {kind.number}
    assert capture.contains(MARKER) == (kind.protocol == "ah")


# --- what transport mode keeps ---


@contextmanager
def datagrams(pair: Tunnel, carrier: Carrier) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A UDP socket of each gateway; the first is connected to the second."""
    with pair.world.gw1.inside():
        source = socket.socket(carrier.family, socket.SOCK_DGRAM)
    with pair.world.gw2.inside():
        sink = socket.socket(carrier.family, socket.SOCK_DGRAM)
    with source, sink:
        sink.bind((carrier.address(RIGHT), 0))
        sink.settimeout(5)
        source.connect(sink.getsockname()[:2])
        yield source, sink


@each([kind for kind in TRANSPORT if kind.carrier == RAW4])
def test_ipv4_options_go_along(pair: Tunnel, kind: Kind) -> None:
    """RFC 4303 section 3.1.1, RFC 4302 section 3.1.1: behind the IPv4 header and any options that it contains."""
    with protected(pair, kind), datagrams(pair, RAW4) as (source, sink), Tap(pair.world.gw1, WIRE) as tap:
        source.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, ROUTER_ALERT)
        source.send(MARKER)
        assert sink.recv(2000) == MARKER
        (packet,) = outer_headers(tap, kind.number)
        assert (packet[0], packet[20:24]) == (0x46, ROUTER_ALERT)


@pytest.mark.parametrize("option", [socket.IPV6_DSTOPTS, socket.IPV6_HOPOPTS], ids=["destination", "hop-by-hop"])
@each([kind for kind in TRANSPORT if kind.carrier == RAW6])
def test_ipv6_extension_headers_go_along(pair: Tunnel, kind: Kind, option: int) -> None:
    """RFC 4303 section 3.1.1: hop-by-hop options in front, destination options protected.

    What stands in front of AH a raw socket of IPv6 does not show (ipv6(7)): such packets fail their integrity check.
    """
    with protected(pair, kind), datagrams(pair, RAW6) as (source, sink), Tap(pair.world.gw1, WIRE) as tap:
        source.setsockopt(socket.IPPROTO_IPV6, option, PADDING)
        source.send(MARKER)
        if kind.protocol == "ah" and option == socket.IPV6_HOPOPTS:
            right = pair.right
            dropped = {"bad-icv": 1}
            assert eventually(lambda: right.plane.inbound_counters(right.spi_in, "ah")[2] == dropped)
            return
        assert sink.recv(2000) == MARKER
        packets = [frame.octets[14:] for frame in tap.stop().frames if not frame.is_housekeeping]
        first = kind.number if option == socket.IPV6_DSTOPTS else 0
        assert {packet[6] for packet in packets} == {first}


@each([kind for kind in TRANSPORT if not kind.carrier.encapsulated])
def test_ttl_and_df_are_the_packets_own(pair: Tunnel, kind: Kind) -> None:
    """RFC 4301 section 4.1: transport mode leaves the IP header as it is."""
    is_v4 = kind.carrier.outer == 4
    limit = (socket.IPPROTO_IP, socket.IP_TTL) if is_v4 else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    with protected(pair, kind), datagrams(pair, kind.carrier) as (source, sink), Tap(pair.world.gw1, WIRE) as tap:
        source.setsockopt(*limit, 17)
        source.send(MARKER)
        assert sink.recv(2000) == MARKER
        (packet,) = outer_headers(tap, kind.number)
        assert packet[8 if is_v4 else 7] == 17
        assert not is_v4 or packet[6] == 0x40


@each(TRANSPORT)
def test_fragments_are_refused(pair: Tunnel, kind: Kind) -> None:
    """RFC 4303 section 3.3.4, RFC 4302 section 3.3.4: transport mode is for whole datagrams."""
    with protected(pair, kind), datagrams(pair, kind.carrier) as (source, _):
        source.send(bytes(3000))
        assert eventually(lambda: pair.left.outbound()[2].get("fragment", 0) >= 2)


@each(TRANSPORT)
def test_other_addresses_do_not_go_in(pair: Tunnel, kind: Kind) -> None:
    """RFC 4301 section 4.1: the packet's own addresses are those of the SA, whatever the policy lets through."""
    with protected(pair, kind):
        pair.left.plane.install_policy(
            policy=POLICY, order=1, local=of(LEFT), remote=of(RIGHT), action="protect", outbound=pair.left.handle
        )
        before = pair.left.plane.drops().get("selector-mismatch", 0)
        assert ping(pair.world.alice, RIGHT.host, count=1, seconds=0.1).received == 0
        assert eventually(lambda: pair.left.plane.drops().get("selector-mismatch", 0) == before + 1)


# --- DSCP and ECN ---


@pytest.mark.parametrize(
    ("marking", "expected"),
    [({}, 0xBA), ({"dscp": 0}, 0x02), ({"dscp": 63, "ecn": False}, 0xFC), ({"ecn": False}, 0xB8)],
    ids=["copied", "hidden", "fixed", "compatible"],
)
@each([*ESP_TUNNEL, *AH[:2]])
def test_the_outer_header_is_marked(pair: Tunnel, kind: Kind, marking: dict[str, Any], expected: int) -> None:
    """RFC 4301 section 5.1.2.1, RFC 2983, RFC 6040 section 4.1: DSCP copied or fixed, ECN copied or cleared."""
    classes = {}
    with protected(pair, kind, **marking):
        for host, level, option in (
            (RIGHT.host, socket.IPPROTO_IP, socket.IP_TOS),
            (RIGHT.host6, socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
        ):
            with pair.world.alice.inside():
                sender = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            with sender, Tap(pair.world.gw1, WIRE) as tap:
                sender.setsockopt(level, option, 0xBA)
                sent = pair.left.outbound()[0]
                sender.sendto(MARKER, (host, 9))
                assert eventually(lambda sent=sent: pair.right.inbound_of(kind.protocol)[0] > sent)  # type: ignore[misc]
                (ours,) = sent_by(kind.carrier.address(LEFT), outer_headers(tap, kind.number))
                classes[host] = traffic_class(ours)
    assert set(classes.values()) == {expected}


@each(ESP_TRANSPORT)
def test_transport_mode_keeps_the_marks(pair: Tunnel, kind: Kind) -> None:
    """RFC 4301 section 4.1: transport mode leaves the IP header as it is, also where the socket writes it anew."""
    level, option, tell = (
        (socket.IPPROTO_IP, socket.IP_TOS, socket.IP_RECVTOS)
        if kind.carrier.outer == 4
        else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, socket.IPV6_RECVTCLASS)
    )
    with protected(pair, kind), datagrams(pair, kind.carrier) as (source, sink), Tap(pair.world.gw1, WIRE) as tap:
        source.setsockopt(level, option, 0xBA)
        sink.setsockopt(level, tell, 1)
        source.send(MARKER)
        octets, ((_, _, told),), _, _ = sink.recvmsg(2000, 100)
        assert (octets, told[0]) == (MARKER, 0xBA)
        assert traffic_class(outer_headers(tap, kind.number)[0]) == 0xBA


@contextmanager
def stranger(pair: Tunnel, carrier: Carrier, tos: int) -> Iterator[socket.socket]:
    """A socket of the right gateway that sends ESP or AH with this traffic class."""
    kind, protocol = (socket.SOCK_DGRAM, 0) if carrier.encapsulated else (socket.SOCK_RAW, 50)
    with pair.world.gw2.inside():
        made = socket.socket(carrier.family, kind, protocol)
    with made:
        if carrier.outer == 4:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
        made.connect((carrier.address(LEFT), 4500 if carrier.encapsulated else 0))
        yield made


@each(ESP_TUNNEL)
def test_congestion_is_taken_over(pair: Tunnel, kind: Kind) -> None:
    """RFC 6040 figure 4: CE outside makes CE inside; where the inner sender knows no ECN, the packet is dropped."""
    left = pair.left
    with pair.world.alice.inside():
        alice = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with alice, protected(pair, kind), stranger(pair, kind.carrier, CE) as router:
        alice.bind((LEFT.host, 0))
        alice.settimeout(5)
        alice.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sealer = Sealer(spi=left.spi_in, **kind.suite.keys(left.receives), esn=True)
        header = UDP(sport=9, dport=alice.getsockname()[1]) / Raw(MARKER)
        for class_of_inner in (0xB8 | ECT0, 0xB8):
            router.send(sealer.seal(bytes(IP(src=RIGHT.host, dst=LEFT.host, tos=class_of_inner) / header)))
        octets, ((_, _, told),), _, _ = alice.recvmsg(2000, 100)
        assert (octets, told[0]) == (MARKER, 0xB8 | CE)
        assert eventually(lambda: left.inbound() == (1, 28 + len(MARKER), {"congestion": 1}))
        left.plane.remove_inbound(left.spi_in)
        install_inbound(left, kind, ecn=False)
        router.send(sealer.seal(bytes(IP(src=RIGHT.host, dst=LEFT.host, tos=0xB8) / header)))
        octets, ((_, _, told),), _, _ = alice.recvmsg(2000, 100)
        assert (octets, told[0]) == (MARKER, 0xB8)


# --- transport mode through NAT ---


@pytest.mark.parametrize("carrier", [UDP4, UDP6], ids=lambda carrier: carrier.name)
def test_checksums_are_corrected_behind_a_nat(pair: Tunnel, carrier: Carrier) -> None:
    """RFC 3948 section 3.1.2: the peer's checksum counts the address that it had before the NAT."""
    left, kind = pair.left, Kind("esp", "transport", carrier, GCM)
    private = "10.99.0.7" if carrier.outer == 4 else "fd99::7"
    header, skip = (IP, 20) if carrier.outer == 4 else (IPv6, 40)
    with datagrams(pair, carrier) as (alice, _), stranger(pair, carrier, 0) as peer:
        alice.settimeout(5)
        source_port = alice.getpeername()[1]
        renumber(pair)
        install_inbound(left, kind, nat=(private, carrier.address(LEFT)))
        try:
            sealer = Sealer(spi=left.spi_in, mode="transport", **kind.suite.keys(left.receives), esn=True)
            datagram = UDP(sport=source_port, dport=alice.getsockname()[1]) / Raw(MARKER)
            sealed = sealer.seal(bytes(header(src=private, dst=carrier.address(LEFT)) / datagram))
            peer.send(sealed[skip:])  # the IP header is the wire's
            assert alice.recv(2000) == MARKER
            assert left.inbound()[0] == 1
        finally:
            left.plane.remove_inbound(left.spi_in)


# --- databases ---


def test_both_protocols_may_have_one_spi(pair: Tunnel) -> None:
    """RFC 4301 section 4.1: an SA is found by its SPI and protocol."""
    left = pair.left
    renumber(pair)
    esp, ah = ESP_TUNNEL[0], AH[0]
    for kind in (esp, ah):
        install_inbound(left, kind)
        with pytest.raises(PlaneError, match="already"):
            install_inbound(left, kind)
    left.plane.remove_inbound(left.spi_in)
    assert left.plane.inbound_counters(left.spi_in, "ah") == (0, 0, {})
    left.plane.remove_inbound(left.spi_in, "ah")
    with pytest.raises(PlaneError, match="no inbound SA of AH"):
        left.plane.remove_inbound(left.spi_in, "ah")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"protocol": "esp2"}, "no protocol"),
        ({"mode": "beet"}, "no mode"),
        ({"df": "never"}, "df"),
        ({"dscp": 64}, "DSCP 64"),
        ({"tfc": 100}, "TFC"),
        ({"local_port": 4500, "remote_port": 4500}, "not carried in UDP"),
        ({"encryption": 20, "key_length": 128, "encryption_key": bytes(20)}, "AH has integrity only"),
    ],
)
def test_sas_that_make_no_sense_are_refused(pair: Tunnel, changes: dict[str, Any], told: str) -> None:
    kind, left = AH[0], pair.left
    arguments = {"spi": 0x2000, **kind.suite.keys(1), **kind.ends(LEFT, RIGHT)}
    with pytest.raises(PlaneError, match=told):
        left.plane.install_outbound(**{**arguments, **changes})


def test_transport_mode_stays_where_its_packets_are(pair: Tunnel) -> None:
    """RFC 4301 section 4.1: the addresses are the packets' own; in UDP they are the socket's, and a NAT may change them."""
    plane, ends = pair.left.plane, UDP4.ends(LEFT, RIGHT)
    kind = ESP_TRANSPORT[0]
    handle = plane.install_outbound(spi=0x2000, **kind.suite.keys(1), **kind.ends(LEFT, RIGHT))
    try:
        plane.move_outbound(handle, **{**ends, "remote_address": "192.0.2.77", "remote_port": 1234})  # type: ignore[arg-type]
        plane.move_outbound(handle, **RAW4.ends(LEFT, RIGHT))
        with pytest.raises(PlaneError, match="addresses of its own"):
            plane.move_outbound(handle, **{**RAW4.ends(LEFT, RIGHT), "remote_address": "192.0.2.77"})  # type: ignore[arg-type]
    finally:
        plane.remove_outbound(handle)


def test_a_single_octet_right_behind_ip_is_no_keepalive(pair: Tunnel) -> None:
    """RFC 3948 section 2.3: keepalives are UDP datagrams."""
    plane = pair.left.plane
    before = plane.drops()
    with stranger(pair, RAW4, 0) as made:
        made.send(b"\xff")
        assert eventually(lambda: plane.drops().get("truncated", 0) == before.get("truncated", 0) + 1)
        assert plane.drops().get("keepalive", 0) == before.get("keepalive", 0)


def test_other_raw_sockets_are_refused(pair: Tunnel) -> None:
    """Only of protocols 50 and 51, and of IPPROTO_RAW (raw(7))."""
    with pair.world.gw1.inside():
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with made, pytest.raises(PlaneError):
        pair.left.plane.attach_raw(made.fileno())


def spi_of(packet: bytes) -> int:
    """Of an IPv4 packet with AH."""
    (spi,) = struct.unpack_from("!I", packet, 24)
    return int(spi)


def test_identifications_are_never_zero(pair: Tunnel) -> None:
    """raw(7): the system replaces an identification of zero, which AH covers; Linux sends it with DF (RFC 6864)."""
    kind = AH[2]
    with protected(pair, kind), datagrams(pair, RAW4) as (source, sink), Tap(pair.world.gw1, WIRE) as tap:
        for _ in range(20):
            source.send(MARKER)
            assert sink.recv(2000) == MARKER
        packets = outer_headers(tap, 51)
        assert {spi_of(packet) for packet in packets} == {pair.left.spi_out}
        assert all(packet[4:6] != bytes(2) for packet in packets)
        assert eventually(lambda: agree(pair, kind))
