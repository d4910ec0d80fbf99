"""A running plane, and on the other side of the wire nothing but scapy (RFC 4303, RFC 3948, RFC 4301 section 5.2).

Alice's echo requests arrive here as ESP, are opened by scapy, answered by hand, sealed by scapy and sent back. What
scapy sends can be anything, so this is also where bad packets meet a plane that has work to do: each is counted under
its name, and the next echo passes as if nothing had happened.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Packet, Raw

from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Topology
from tests.plane.reference import IPV4, IPV6, NO_NEXT_HEADER, Reference, counting, inner_packet
from tests.plane.suites import CBC, GCM, SUITES, Suite
from tests.plane.tunnel import (
    CARRIERS,
    MTU,
    PATIENCE,
    PORT,
    RAW4,
    RAW6,
    UDP4,
    UDP6,
    Carrier,
    End,
    esp_socket,
    eventually,
    running_plane,
)

pytestmark = pytest.mark.privileged

every_carrier = pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
SOL_UDP, UDP_SEGMENT = 17, 103


class Alice:
    """A host's sockets for echo requests, so that request and reply can be handled one by one."""

    def __init__(self, host: Namespace) -> None:
        with host.inside():
            self._v4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            self._v6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        for each in (self._v4, self._v6):
            each.settimeout(PATIENCE)

    def close(self) -> None:
        self._v4.close()
        self._v6.close()

    def ask(self, version: int, number: int, data: bytes) -> None:
        """Send an echo request to Bob (RFC 792, RFC 4443 section 4.1)."""
        if version == 4:
            self._v4.sendto(bytes(ICMP(type=8, id=77, seq=number) / Raw(data)), (RIGHT.host, 0))
        else:
            self._v6.sendto(bytes(ICMPv6EchoRequest(id=77, seq=number, cksum=0) / Raw(data)), (RIGHT.host6, 0))

    def hear(self, version: int, number: int) -> bytes:
        """Wait for the reply with this number; what it carries."""
        while True:
            octets = self._v4.recv(65_535)[20:] if version == 4 else self._v6.recv(65_535)
            if octets[:1] == (b"\x00" if version == 4 else b"\x81") and octets[4:8] == bytes((0, 77, 0, number)):
                return octets[8:]


class Peer:
    """gw2's end of the wire, in scapy's hands."""

    def __init__(self, gateway: Namespace) -> None:
        self._sockets = {carrier: esp_socket(gateway, carrier) for carrier in CARRIERS}
        for each in self._sockets.values():
            each.settimeout(PATIENCE)

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()

    def send(self, carrier: Carrier, esp: bytes) -> None:
        port = PORT if carrier.encapsulated else 0
        self._sockets[carrier].sendto(esp, (carrier.address(LEFT), port))

    def send_train(self, carrier: Carrier, packets: list[bytes]) -> None:
        """Packets of one size in one send, which the plane receives in one (UDP_SEGMENT, UDP_GRO)."""
        control = [(SOL_UDP, UDP_SEGMENT, len(packets[0]).to_bytes(2, "little"))]
        to = (carrier.address(LEFT), PORT)
        self._sockets[carrier].sendmsg([b"".join(packets)], control, 0, to)

    def receive(self, carrier: Carrier) -> bytes:
        octets = self._sockets[carrier].recv(65_535)
        return octets[20:] if carrier == RAW4 else octets  # a raw IPv4 socket gives the header too

    def drain(self) -> None:
        """Forget what came for an earlier SA."""
        for each in self._sockets.values():
            while select.select([each], [], [], 0)[0]:
                each.recv(65_535)


@dataclass
class Scene:
    """A plane on gw1, a scripted peer on gw2, Alice behind the plane."""

    end: End
    peer: Peer
    alice: Alice
    number: int = 0  #: of the last echo

    def associate(self, suite: Suite, carrier: Carrier, **selectors: object) -> Association:
        self.peer.drain()
        self.end.generation += 1
        self.end.install_inbound(suite, carrier, **selectors)  # type: ignore[arg-type]
        self.end.install_outbound(suite, carrier)
        self.end.install_policy()
        return Association(self, carrier, Reference(suite, self.end.receives, self.end.spi_in), suite)


@dataclass
class Association:
    """A pair of SAs between the plane and scapy."""

    scene: Scene
    carrier: Carrier
    inbound: Reference  #: what scapy seals with
    suite: Suite
    sequence: int = 0  #: the last that scapy used

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.scene.end.remove()

    @property
    def outbound(self) -> Reference:
        """What scapy opens with."""
        return Reference(self.suite, self.scene.end.sends, self.scene.end.spi_out)

    def seal(self, payload: bytes, *, sequence: int | None = None, **changes: object) -> bytes:
        """Sealed under the next sequence number, or another one."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        return self.inbound.seal(payload, sequence, **changes)  # type: ignore[arg-type]

    def send(self, esp: bytes) -> None:
        self.scene.peer.send(self.carrier, esp)

    def echo(self, version: int, data: bytes = b"an echo") -> Packet:
        """One echo by way of scapy, there and back; the inner request as it left the plane."""
        request = self.request(version, data)
        self.send(self.seal(bytes(reply_to(request))))
        assert self.scene.alice.hear(version, self.scene.number) == data
        return request

    def request(self, version: int, data: bytes) -> Packet:
        """An echo request of Alice's, as it left the plane."""
        scene = self.scene
        scene.number = scene.number % 200 + 1
        scene.alice.ask(version, scene.number, data)
        plain = self.outbound.open(scene.peer.receive(self.carrier))
        assert plain.next_header == (IPV4 if version == 4 else IPV6)
        assert plain.padding == counting(len(plain.padding))
        return (IP if version == 4 else IPv6)(plain.payload)

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """What was dropped: under the SA, and outside of any."""
        drops = self.scene.end.plane.drops()
        drops.pop("no-policy", None)  # the interface's own router solicitations
        return self.scene.end.inbound()[2], drops


def reply_to(request: Packet) -> Packet:
    """What Bob would answer."""
    if request.version == 4:
        assert (request[ICMP].type, request.src, request.dst) == (8, LEFT.host, RIGHT.host)
        echo = ICMP(type=0, id=request[ICMP].id, seq=request[ICMP].seq)
        return IP(src=request.dst, dst=request.src) / echo / Raw(bytes(request[ICMP].payload))
    assert (request.src, request.dst) == (LEFT.host6, RIGHT.host6)
    echo = request[ICMPv6EchoRequest]
    return IPv6(src=request.dst, dst=request.src) / ICMPv6EchoReply(id=echo.id, seq=echo.seq, data=echo.data)


@pytest.fixture(scope="module")
def scene(world: Topology) -> Iterator[Scene]:
    with ExitStack() as stack:
        plane = stack.enter_context(running_plane(world.gw1, RIGHT))
        peer, alice = Peer(world.gw2), Alice(world.alice)
        stack.callback(peer.close)
        stack.callback(alice.close)
        yield Scene(End(plane, LEFT, RIGHT, sends=1, receives=2), peer, alice)


# --- good packets ---


@every_carrier
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_an_echo_by_way_of_scapy(scene: Scene, suite: Suite, carrier: Carrier) -> None:
    """RFC 4303 in tunnel mode, RFC 3948 section 2.1: IPv4 and IPv6 inside of either, in UDP and without."""
    with scene.associate(suite, carrier) as sa:
        for version in (4, 6):
            request = sa.echo(version)
            # RFC 4301 section 5.1.2: of the inner header only the TTL changes, by the forwarding.
            assert (request.ttl if version == 4 else request.hlim) == 63
        octets = 2 * len(b"an echo") + 28 + 48
        assert scene.end.outbound() == (2, octets, {})
        assert scene.end.inbound() == (2, octets, {})


@pytest.mark.parametrize("length", [0, 1, 55, 56, 57, 1300, MTU - 48])
def test_echoes_of_many_lengths(scene: Scene, length: int) -> None:
    """RFC 4303 section 2.4: padded to whole words, and cut to the old length again."""
    with scene.associate(GCM, UDP4) as sa:
        for version in (4, 6):
            sa.echo(version, bytes(length))


def test_sequence_numbers_on_the_wire_count_up(scene: Scene) -> None:
    """RFC 4303 section 3.3.3: the first packet has 1, each next one more."""
    with scene.associate(CBC, RAW4):
        numbers = []
        for number in range(1, 6):
            scene.alice.ask(4, number, b"")
            numbers.append(int.from_bytes(scene.peer.receive(RAW4)[4:8]))
        assert numbers == [1, 2, 3, 4, 5]


def test_a_peer_may_change_between_udp_and_raw(scene: Scene) -> None:
    """RFC 4301 section 4.1: the SPI alone finds a unicast SA; what ESP travelled in decides nothing."""
    with scene.associate(GCM, UDP4) as sa:
        sa.echo(4)
        sa.carrier = RAW4
        sa.send(sa.seal(inner_packet(4, b"")))
        assert eventually(lambda: scene.end.inbound()[0] == 2)
        sa.carrier = UDP4
        sa.echo(4)
        assert sa.counts()[0] == {}


@every_carrier
def test_tfc_padding_and_dummies_pass_unnoticed(scene: Scene, carrier: Carrier) -> None:
    """RFC 4303 sections 2.6 and 2.7: dummies are discarded, and no error; padding behind the packet is cut off."""
    with scene.associate(GCM, carrier) as sa:
        sa.echo(4)
        sa.send(sa.seal(b"nothing in particular", next_header=NO_NEXT_HEADER))
        sa.send(sa.seal(bytes(reply_to(sa.request(6, b"padded"))), tfc=bytes(500)))
        assert scene.alice.hear(6, scene.number) == b"padded"
        packets, octets, dropped = scene.end.inbound()
        assert (packets, octets, dropped) == (2, 28 + len(b"an echo") + 48 + len(b"padded"), {"dummy": 1})


def test_a_train_is_opened_packet_by_packet(scene: Scene) -> None:
    """RFC 4303 section 3.4: one bad packet of a train takes none of the others with it."""
    with scene.associate(GCM, UDP4) as sa:
        packets = [sa.seal(inner_packet(4, bytes(100))) for _ in range(20)]
        packets[7] = packets[7][:-1] + bytes((packets[7][-1] ^ 1,))
        packets[11] = packets[10]
        packets[19] = b"\xff" * 8 + packets[19][8:]
        before = sa.counts()[1].get("unknown-spi", 0)
        scene.peer.send_train(UDP4, packets)
        assert eventually(lambda: scene.end.inbound() == (17, 17 * 128, {"bad-icv": 1, "replayed": 1}))
        assert sa.counts()[1]["unknown-spi"] == before + 1
        sa.echo(4)


# --- bad packets ---

#: What an attacker without keys, or a broken peer with them, may send: its octets, and under which name they are counted.
BAD: dict[str, tuple[Callable[[Association], bytes], str]] = {
    "replayed": (lambda sa: sa.seal(inner_packet(4, b""), sequence=1), "replayed"),
    "number-0": (lambda sa: sa.seal(inner_packet(4, b""), sequence=0), "too-old"),
    "changed-icv": (lambda sa: _changed(sa.seal(inner_packet(4, b"")), -1), "bad-icv"),
    "changed-ciphertext": (lambda sa: _changed(sa.seal(inner_packet(4, b"")), 36), "bad-icv"),
    "changed-iv": (lambda sa: _changed(sa.seal(inner_packet(4, b"")), 8), "bad-icv"),
    "changed-number": (lambda sa: _changed(sa.seal(inner_packet(4, b"")), 6), "bad-icv"),
    "forged-with-a-high-number": (lambda sa: _whole_blocks(sa, sa.seal(b"")[:4] + b"\xff" * 100), "bad-icv"),
    "oversized-junk": (lambda sa: _whole_blocks(sa, sa.seal(b"")[:8] + bytes(65_000)), "bad-icv"),
    "one-octet-too-long": (lambda sa: sa.seal(inner_packet(4, b"")) + b"\x00", "truncated"),
    "wrong-padding": (
        lambda sa: sa.seal(bytes(sa.suite.block), padding=bytes((9,) * (sa.suite.block - 2)), next_header=IPV4),
        "bad-padding",
    ),
    "padding-beyond": (
        lambda sa: sa.seal(b"", padding=counting(sa.suite.block - 2), pad_length=250, next_header=IPV4),
        "bad-padding",
    ),
    "transport-mode-tcp": (lambda sa: sa.seal(bytes(TCP(dport=80)), next_header=6), "bad-next-header"),
    "esp-in-esp": (lambda sa: sa.seal(bytes(40), next_header=50), "bad-next-header"),
    "inner-nothing": (lambda sa: sa.seal(b"", next_header=IPV4), "malformed-inner"),
    "inner-junk": (lambda sa: sa.seal(bytes(range(200)), next_header=IPV4), "malformed-inner"),
    "inner-junk-v6": (lambda sa: sa.seal(b"\x60" + bytes(range(200)), next_header=IPV6), "malformed-inner"),
    "inner-cut-short": (lambda sa: sa.seal(inner_packet(4, b"cut")[:-2]), "malformed-inner"),
    "inner-family-lies": (lambda sa: sa.seal(inner_packet(6, b""), next_header=IPV4), "malformed-inner"),
    "from-elsewhere": (lambda sa: sa.seal(inner_packet(4, b"", source="10.9.0.1")), "selector-mismatch"),
    "from-our-own-network": (lambda sa: sa.seal(inner_packet(4, b"", source=LEFT.host)), "selector-mismatch"),
    "to-elsewhere": (lambda sa: sa.seal(inner_packet(4, b"", destination="10.9.0.1")), "selector-mismatch"),
    "to-the-gateway's-outer-address": (
        lambda sa: sa.seal(inner_packet(4, b"", destination=LEFT.outer)),
        "selector-mismatch",
    ),
    "from-elsewhere-v6": (lambda sa: sa.seal(inner_packet(6, b"", source="fd00:9::1")), "selector-mismatch"),
    "to-multicast": (lambda sa: sa.seal(inner_packet(6, b"", destination="ff02::1")), "selector-mismatch"),
    "neighbour-discovery": (
        lambda sa: sa.seal(
            bytes(IPv6(src="fe80::1", dst="ff02::1") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01"))
        ),
        "selector-mismatch",
    ),
}


def _changed(esp: bytes, position: int) -> bytes:
    octets = bytearray(esp)
    octets[position] ^= 0x01
    return bytes(octets)


def _whole_blocks(sa: Association, esp: bytes) -> bytes:
    """Cut to a length that the suite's packets may have."""
    while not sa.suite.may_be_a_packet(len(esp)):
        esp = esp[:-1]
    return esp


@pytest.mark.parametrize("suite", [GCM, CBC], ids=lambda suite: suite.name)
@pytest.mark.parametrize("name", BAD)
def test_bad_packets_are_counted_and_change_nothing(scene: Scene, suite: Suite, name: str) -> None:
    """RFC 4303 section 3.4, RFC 4301 section 5.2: each discard is an auditable event with its reason."""
    make, reason = BAD[name]
    for carrier in (UDP4, RAW6):
        with scene.associate(suite, carrier) as sa:
            sa.echo(4)
            outside = sa.counts()[1]
            for times in (1, 2):
                sa.send(make(sa))
                assert eventually(lambda times=times: sa.counts()[0] == {reason: times}), sa.counts()  # type: ignore[misc]
            sa.echo(4)
            sa.echo(6)
            assert sa.counts() == ({reason: 2}, outside)
            assert scene.end.inbound()[0] == 3


@every_carrier
@pytest.mark.parametrize("suite", [GCM, CBC], ids=lambda suite: suite.name)
def test_truncated_at_every_length(scene: Scene, suite: Suite, carrier: Carrier) -> None:
    """RFC 4303 section 3.4: below 8 octets there is no SPI to count under; above, the SA counts it."""
    with scene.associate(suite, carrier) as sa:
        sa.echo(4)
        outside = sa.counts()[1].get("truncated", 0)
        esp = sa.seal(inner_packet(4, bytes(60)))
        # A datagram of no octets is no packet at all, and counted nowhere; nothing behind IP is one.
        for length in range(61):
            sa.send(esp[:length])
        icv = sum(suite.may_be_a_packet(length) for length in range(8, 61))
        expected = {"truncated": 53 - icv, "bad-icv": icv}
        assert icv > 0
        assert eventually(lambda: sa.counts()[0] == expected), sa.counts()
        assert sa.counts()[1]["truncated"] == outside + (7 if carrier.encapsulated else 8)
        sa.echo(4)
        sa.send(esp)
        assert eventually(lambda: scene.end.inbound()[0] == 3)


@every_carrier
def test_other_spis_are_counted(scene: Scene, carrier: Carrier) -> None:
    """RFC 4303 section 3.4.2: no SA, discarded."""
    with scene.associate(GCM, carrier) as sa:
        before = sa.counts()[1].get("unknown-spi", 0)
        for spi in (0x100, scene.end.spi_in + 2, scene.end.spi_out, 0xFFFF_FFFF, 1, 255):
            sa.send(spi.to_bytes(4) + sa.seal(inner_packet(4, b""))[4:])
        assert eventually(lambda: sa.counts()[1]["unknown-spi"] == before + 6)
        sa.echo(4)
        assert sa.counts()[0] == {}


def test_keepalives_are_taken_for_what_they_are(scene: Scene) -> None:
    """RFC 3948 section 2.3: one octet 0xff; "the receiver SHOULD ignore" it."""
    for carrier in (UDP4, UDP6):
        with scene.associate(GCM, carrier) as sa:
            before = sa.counts()[1].get("keepalive", 0)
            sa.send(b"\xff")
            assert eventually(lambda before=before: sa.counts()[1].get("keepalive", 0) == before + 1)  # type: ignore[misc]
            sa.echo(4)


def test_the_other_outer_family_contradicts_the_sa(scene: Scene) -> None:
    """RFC 4301 section 4.4.2.1: the tunnel's addresses are the SA's."""
    with scene.associate(GCM, UDP4) as sa:
        sa.echo(4)
        for number, carrier in enumerate((UDP6, RAW6), 1):
            sa.carrier = carrier
            sa.send(sa.seal(inner_packet(4, b"")))
            assert eventually(lambda number=number: sa.counts()[0] == {"wrong-encapsulation": number})  # type: ignore[misc]
        sa.carrier = UDP4
        sa.echo(4)


def test_a_packet_behind_the_window_is_too_old(scene: Scene) -> None:
    """RFC 4303 section 3.4.3: with a window of 1024 packets."""
    with scene.associate(GCM, UDP4) as sa:
        sa.sequence = 5000
        sa.echo(4)
        top = sa.sequence
        for sequence, expected in (
            (top - 1023, (2, {})),
            (top - 1024, (2, {"too-old": 1})),
            (1, (2, {"too-old": 2})),
            (top - 1023, (2, {"too-old": 2, "replayed": 1})),
        ):
            sa.send(sa.seal(inner_packet(4, b""), sequence=sequence))
            assert eventually(lambda expected=expected: scene.end.inbound()[::2] == expected)  # type: ignore[misc]
        sa.echo(4)


@every_carrier
def test_the_largest_packets_pass(scene: Scene, carrier: Carrier) -> None:
    """RFC 791: an inner packet may have nearly 64 KiB; it comes in fragments of ESP and goes on in fragments of its own."""
    with scene.associate(GCM, carrier) as sa:
        scene.number = scene.number % 200 + 1
        data = bytes(range(256)) * 250
        reply = IP(src=RIGHT.host, dst=LEFT.host) / ICMP(type=0, id=77, seq=scene.number) / Raw(data)
        sa.send(sa.seal(bytes(reply)))
        assert scene.alice.hear(4, scene.number) == data
        sa.echo(4)
        assert sa.counts()[0] == {}


# --- selectors ---

_WEB = [(6, 443, 443, RIGHT.host, RIGHT.host), (58, 0x8100, 0x81FF, RIGHT.host6, RIGHT.host6)]
_HERE = [(0, 0, 65_535, LEFT.host, LEFT.host), (0, 0, 65_535, LEFT.host6, LEFT.host6)]
_OUT4, _OUT6 = IP(src=RIGHT.host, dst=LEFT.host), IPv6(src=RIGHT.host6, dst=LEFT.host6)

#: Inner packets against an SA for TCP from port 443, and for ICMPv6 echo replies.
SELECTED: dict[str, tuple[Packet, bool]] = {
    "the-port": (_OUT4 / TCP(sport=443, dport=5000), True),
    "another-port": (_OUT4 / TCP(sport=444, dport=5000), False),
    "another-protocol": (_OUT4 / UDP(sport=443, dport=5000), False),
    "another-host": (IP(src="10.2.0.11", dst=LEFT.host) / TCP(sport=443), False),
    "to-another-host": (IP(src=RIGHT.host, dst="10.1.0.11") / TCP(sport=443), False),
    "first-fragment": (IP(src=RIGHT.host, dst=LEFT.host, flags="MF") / TCP(sport=443) / bytes(4), True),
    "later-fragment": (IP(src=RIGHT.host, dst=LEFT.host, frag=5, proto=6) / Raw(bytes(TCP(sport=443))), False),
    "header-cut-short": (IP(src=RIGHT.host, dst=LEFT.host, proto=6) / Raw(b"\x01\xbb"), False),
    "ip-options": (IP(src=RIGHT.host, dst=LEFT.host, options=b"\x01" * 8) / TCP(sport=443), True),
    "icmp-of-ipv4": (_OUT4 / ICMP(type=0), False),
    "echo-reply": (_OUT6 / ICMPv6EchoReply(), True),
    "echo-request": (_OUT6 / ICMPv6EchoRequest(), False),
    "behind-hop-by-hop": (_OUT6 / IPv6ExtHdrHopByHop() / ICMPv6EchoReply(), True),
    "behind-destination-options": (_OUT6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / ICMPv6EchoReply(), True),
    "request-behind-options": (_OUT6 / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(), False),
    "first-fragment-v6": (_OUT6 / IPv6ExtHdrFragment(m=1, id=9) / ICMPv6EchoReply(), True),
    "later-fragment-v6": (_OUT6 / IPv6ExtHdrFragment(offset=9, nh=58) / Raw(bytes(16)), False),
    "web-over-ipv6": (_OUT6 / TCP(sport=443), False),
}


@pytest.mark.parametrize("name", SELECTED)
def test_inner_packets_must_fit_the_selectors(scene: Scene, name: str) -> None:
    """RFC 4301 section 5.2, step 4, and section 7: also where options, fragments or short packets hide the ports."""
    packet, admitted = SELECTED[name]
    with scene.associate(GCM, UDP4, local=_HERE, remote=_WEB) as sa:
        octets = bytes(packet)
        sa.send(sa.seal(octets))
        expected = (1, len(octets), {}) if admitted else (0, 0, {"selector-mismatch": 1})
        assert eventually(lambda: scene.end.inbound() != (0, 0, {}))
        assert scene.end.inbound() == expected


def test_packets_of_the_gateway_itself_need_a_policy_too(scene: Scene, world: Topology) -> None:
    """RFC 4301 section 5.1: what is routed into the tunnel from an address outside of the policies is discarded."""
    with scene.associate(GCM, UDP4) as sa:
        before = scene.end.plane.drops().get("no-policy", 0)
        with world.gw1.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((LEFT.outer, 0))
            for _ in range(3):
                stranger.sendto(b"not from the protected network", (RIGHT.host, 9))
        assert eventually(lambda: scene.end.plane.drops().get("no-policy", 0) >= before + 3)
        assert scene.end.outbound()[0] == 0
        sa.echo(4)
        assert scene.end.outbound()[0] == 1
