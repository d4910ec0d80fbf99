"""Whatever arrives: the daemons stay, the tunnel carries on, what was dropped is counted with its reason.

RFC 7296 section 2.4: "An endpoint MUST NOT conclude that the other endpoint has failed based on any routing
information (e.g., ICMP messages) or IKE messages that arrive without cryptographic protection".
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from caponier.api.schema import ChildSa, Status
from caponier.demo.capture import Kind, Tap
from caponier.demo.topology import LEFT, RIGHT, WIRE
from caponier.demo.traffic import ping
from tests.daemon.intruder import ESP, MARKER, UDP, Intruder, Packet, read
from tests.daemon.site import FILLING, Pair, eventually, left, right

pytestmark = pytest.mark.privileged

BURST = 50  #: datagrams that a socket's buffer surely holds
STRANGER = {4: "192.0.2.77", 6: "2001:db8::77"}  #: an address on the link that is nobody's
MOST_LINES = 600  #: of a daemon's log in all tests of this file together
MOST_GROWTH = 4 << 20  #: octets of a daemon's memory by a flood that is not the first


@dataclass
class Attack:
    """An established tunnel, what it took to make it, and somebody who sends.

    Attributes:
        pair: the gateways.
        intruder: on the link.
        family: of the outer addresses.
        ike: the IKE messages that made the tunnel, in order, without the non-ESP marker.
        esp: ESP packets that the tunnel carried.
        children: both ends of the Child SA.
        rng: seeded.
    """

    pair: Pair
    intruder: Intruder
    family: int
    ike: list[Packet]
    esp: list[Packet]
    children: tuple[ChildSa, ChildSa]
    rng: random.Random

    @property
    def ours(self) -> str:
        return LEFT.outer if self.family == 4 else LEFT.outer6

    @property
    def theirs(self) -> str:
        return RIGHT.outer if self.family == 4 else RIGHT.outer6

    @property
    def sources(self) -> tuple[str, str]:
        """The peer's address, and one that is nobody's."""
        return self.theirs, STRANGER[self.family]

    def to_500(self, content: bytes) -> Packet:
        return Packet(self.theirs, self.ours, UDP, content, 500, 500)

    def to_4500(self, content: bytes) -> Packet:
        return Packet(self.theirs, self.ours, UDP, content, 4500, 4500)

    def towards_us(self, packets: Sequence[Packet]) -> list[Packet]:
        return [packet for packet in packets if packet.destination == self.ours]

    def send(self, packets: Sequence[Packet]) -> None:
        """Send everything, never more at a time than the daemon's sockets hold."""
        for start in range(0, len(packets), BURST):
            for packet in packets[start : start + BURST]:
                self.intruder.send(packet)
            self.pair.status("gw1")  # answered after what came before: one loop reads all sockets

    def drops(self) -> Counter[str]:
        """Everything that gw1 counts as dropped, by reason."""
        return dropped(self.pair.status("gw1"))

    def dropped_of(self, packets: Sequence[Packet]) -> Counter[str]:
        """By which reasons ``packets`` were dropped: all of them have to be."""
        before = self.drops()
        self.send(packets)
        assert eventually(lambda: (self.drops() - before).total() >= len(packets)), (
            len(packets),
            self.drops() - before,
        )
        found = self.drops() - before
        assert found.total() == len(packets)
        return found

    def require_unharmed(self) -> None:
        """The same tunnel still carries everything, and nobody told of a bug."""
        assert (self.pair.child("gw1"), self.pair.child("gw2")) == self.children or self.same_spis()
        self.pair.carries(octets=1 << 18)
        for name in ("gw1", "gw2"):
            self.pair.require_no_bug(name)
            assert dropped(self.pair.status(name))["internal-error"] == 0

    def same_spis(self) -> bool:
        now = self.pair.child("gw1"), self.pair.child("gw2")
        return all(
            new is not None and (new.spi_in, new.spi_out) == (old.spi_in, old.spi_out)
            for new, old in zip(now, self.children, strict=True)
        )


def dropped(status: Status) -> Counter[str]:
    found = Counter(status.drops) + Counter(status.plane_drops)
    found.pop("no-policy", None)  # the hosts' own neighbour discovery
    for refusals in ("send-failed", "answer-budget"):  # to where nothing can be sent, and more than is good
        found.pop(refusals, None)
    for sa in status.ike_sas:
        for child in sa.children:
            assert child.inbound is not None
            found += Counter(child.inbound.dropped)
    return found


def memory(pair: Pair, name: str) -> int:
    """Octets that a daemon holds."""
    lines = Path(f"/proc/{pair.process(name).pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


@pytest.fixture(scope="module", params=[4, 6], ids=["IPv4 in UDP", "IPv6 bare"])
def attack(gateways: Pair, request: pytest.FixtureRequest) -> Iterator[Attack]:
    """A tunnel of each kind, and at the end a look at logs and memory."""
    family = request.param
    lines = 'encapsulation = "forced"' if family == 4 else ""
    gateways.begin()
    gateways.configure(left(lines=lines, family=family), right(lines=lines, family=family))
    gateways.start("gw1", "gw2", impatient=False)
    with Tap(gateways.world.gw1, WIRE) as tap, Intruder(gateways.world.gw2) as intruder:
        gateways.up("gw2")  # so that gw1, which is attacked, is the responder of captured requests
        assert ping(gateways.world.alice, RIGHT.host, count=5, payload=FILLING).received >= 4
        frames = [read(frame) for frame in tap.stop().frames if frame.kind is not Kind.OTHER]
        ike, esp = sort_out(frames)
        # three exchanges; the request of the one for ML-KEM comes in two fragments
        assert [len(packet.content) > 28 for packet in ike] == [True] * 7
        ends = gateways.child("gw1"), gateways.child("gw2")
        assert ends[0] is not None
        assert ends[1] is not None
        yield Attack(gateways, intruder, family, ike, esp, (ends[0], ends[1]), random.Random(family))
    for name in ("gw1", "gw2"):
        assert gateways.log(name).count("\n") < MOST_LINES
    gateways.rest()


def sort_out(frames: Sequence[Packet]) -> tuple[list[Packet], list[Packet]]:
    """IKE without its marker, and ESP."""
    ike = [
        packet.holding(packet.content.removeprefix(MARKER)) if packet.is_marked else packet
        for packet in frames
        if packet.protocol == UDP and (not packet.is_marked or packet.content.startswith(MARKER))
    ]
    esp = [packet for packet in frames if packet.protocol == ESP or not packet.content.startswith(MARKER)]
    return ike, [packet for packet in esp if packet.protocol == ESP or packet.is_marked]


def marked(packet: Packet) -> Packet:
    """As it goes over the wire."""
    return packet.holding(MARKER + packet.content) if packet.is_marked else packet


def test_truncated_ike(attack: Attack) -> None:
    """RFC 7296 section 3.1: each length that an IKE message can be cut to."""
    packets = [
        marked(message.holding(message.content[:length])).sent_from(source)
        for message in attack.towards_us(attack.ike)
        for length in range(len(message.content))
        for source in attack.sources
    ]
    assert len(packets) > 500
    found = attack.dropped_of(packets)
    assert found["wire-error"] > 400
    attack.require_unharmed()


def test_truncated_esp(attack: Attack) -> None:
    """RFC 4303 section 2: each length that an ESP packet can be cut to."""
    packet = attack.towards_us(attack.esp)[0]
    packets = [
        body.holding(body.content[:length]).sent_from(source)
        for body in (packet, packet.holding(unseen(packet.content)))
        for length in range(4 if packet.protocol == UDP else 1, len(packet.content))
        for source in attack.sources
    ]
    found = attack.dropped_of(packets)
    assert set(found) <= {"truncated", "bad-icv", "replayed", "too-old"}
    assert found["truncated"] > 50
    assert found["bad-icv"] > 30  # of lengths that fit the alignment
    attack.require_unharmed()


def unseen(esp: bytes) -> bytes:
    """An ESP packet with a sequence number that is to come: so the replay window lets it pass to the verification."""
    return esp[:4] + (0x4000_0000).to_bytes(4) + esp[8:]


def test_mutated_esp(attack: Attack) -> None:
    """RFC 4303 section 3.4.4: every octet is protected, save the SPI, which finds no SA."""
    packet = attack.towards_us(attack.esp)[-1]
    packets = []
    for at in range(len(packet.content)):
        mutated = bytearray(unseen(packet.content))
        mutated[at] ^= attack.rng.randrange(1, 256)
        packets.append(packet.holding(bytes(mutated)))
    found = attack.dropped_of(packets)
    assert found == Counter({"unknown-spi": 4, "bad-icv": len(packets) - 4})
    attack.require_unharmed()


def test_replayed_esp(attack: Attack) -> None:
    """RFC 4303 section 3.4.3: a packet that was taken is not taken again, in whatever order.

    With extended numbers one that is left of the window is taken for one of the next 2^32, whose ICV it has not (appendix
    A2.2).
    """
    packets = attack.towards_us(attack.esp)
    assert len(packets) >= 4
    found = attack.dropped_of([*packets, *reversed(packets), *packets])
    assert set(found) <= {"replayed", "too-old", "bad-icv"}
    attack.require_unharmed()


def test_esp_that_belongs_to_nobody(attack: Attack) -> None:
    """RFC 4303 section 3.4.2; SPIs 1 to 255 are reserved (section 2.1), 0 is for nobody."""
    spis = [*range(1, 256, 17), *(attack.rng.randrange(256, 1 << 32) for _ in range(100)), (1 << 32) - 1]
    bodies = [spi.to_bytes(4) + attack.rng.randbytes(attack.rng.randrange(4, 200)) for spi in spis]
    bare = [Packet(source, attack.ours, ESP, body) for body in bodies for source in attack.sources]
    wrapped = [attack.to_4500(body).sent_from(source) for body in bodies for source in attack.sources]
    assert attack.dropped_of(bare) == Counter({"unknown-spi": len(bare)})
    assert attack.dropped_of(wrapped) == Counter({"unknown-spi": len(wrapped)})
    attack.require_unharmed()


def test_replayed_ike(attack: Attack) -> None:
    """RFC 7296 section 2.1: a captured IKE_SA_INIT may begin a new IKE SA, a captured IKE_AUTH never finishes one."""
    packets = [marked(packet) for packet in attack.ike]
    before = attack.drops()
    for order in (packets, packets[::-1], packets):
        attack.send(order)
        attack.send([packet.answered() for packet in order])
        attack.send([packet.sent_from(STRANGER[attack.family]) for packet in order])
    assert (attack.drops() - before).total() > 10
    assert len([sa for sa in attack.pair.status("gw1").ike_sas if sa.phase == "established"]) == 1
    attack.require_unharmed()


def headers(message: bytes) -> Iterator[bytes]:
    """An IKE message with each field of its header (RFC 7296 section 3.1) set to everything interesting."""

    def at(position: int, octets: bytes) -> bytes:
        return message[:position] + octets + message[position + len(octets) :]

    for spi in (bytes(8), b"\xff" * 8, message[8:16], message[:8][::-1]):
        yield at(0, spi)
        yield at(8, spi)
    for value in range(256):
        yield at(16, bytes([value]))  # next payload
        yield at(17, bytes([value]))  # version
        yield at(18, bytes([value]))  # exchange type
        yield at(19, bytes([value]))  # flags
    for message_id in (1, 2, 0x7FFFFFFF, 0xFFFFFFFF):
        yield at(20, message_id.to_bytes(4))
    for length in (0, 1, 27, 28, 29, len(message) - 1, len(message) + 1, 0xFFFF, 0xFFFFFFFF):
        yield at(24, length.to_bytes(4))


def payload_lengths(message: bytes) -> Iterator[bytes]:
    """With each two octets set to lengths that overrun, and to none."""
    for position in range(28, len(message) - 1):
        for length in (0, 1, 3, 4, 0xFFFF):
            yield message[:position] + length.to_bytes(2) + message[position + 2 :]


def test_ike_with_wrong_headers(attack: Attack) -> None:
    """RFC 7296 sections 2.5, 2.21 and 3.1: other versions, flags, exchanges, SPIs, next payloads, lengths."""
    for message in attack.towards_us(attack.ike):
        attack.send([marked(message.holding(each)) for each in headers(message.content)])
        attack.send([attack.to_500(each).sent_from(STRANGER[attack.family]) for each in headers(message.content)])
    assert attack.drops()["invalid-major-version"] > 100
    assert attack.drops()["invalid-ike-spi"] > 10
    attack.require_unharmed()


def test_ike_with_wrong_lengths_inside(attack: Attack) -> None:
    """RFC 7296 section 3.2: a payload's length is a stranger's word."""
    first = attack.towards_us(attack.ike)[0]
    bodies = list(payload_lengths(first.content))
    chosen = attack.rng.sample(bodies, 1200)
    attack.send([first.holding(each).sent_from(attack.rng.choice(attack.sources)) for each in chosen])
    assert attack.drops()["wire-error"] > 100
    attack.require_unharmed()


def test_ike_with_each_octet_changed(attack: Attack) -> None:
    """RFC 7296 section 3.14: what is encrypted is protected as a whole; what is not, is a stranger's."""
    packets = []
    for message in attack.towards_us(attack.ike):
        for position in range(len(message.content)):
            mutated = bytearray(message.content)
            mutated[position] ^= attack.rng.randrange(1, 256)
            packets.append(marked(message.holding(bytes(mutated))).sent_from(attack.rng.choice(attack.sources)))
    before = attack.drops()
    attack.send(packets)
    assert eventually(lambda: (attack.drops() - before).total() > len(packets) // 2)
    attack.require_unharmed()


def test_junk(attack: Attack) -> None:
    """On every port, of every length, with and without the non-ESP marker."""
    packets = []
    for _ in range(1500):
        octets = attack.rng.randbytes(attack.rng.choice((0, 1, 2, 3, 4, 5, 27, 28, 29, attack.rng.randrange(1400))))
        packet = attack.rng.choice((attack.to_500, attack.to_4500))(octets)
        if packet.is_marked and attack.rng.random() < 0.5:
            packet = packet.holding(MARKER + octets)
        ports = replace(packet, source_port=attack.rng.choice((0, packet.destination_port, 65535)))
        packets.append(ports.sent_from(attack.rng.choice(attack.sources)))
    found = attack.dropped_of(packets)
    assert {"wire-error", "unknown-spi", "not-ike"} <= set(found)
    attack.require_unharmed()


def test_keepalives_are_no_junk(attack: Attack) -> None:
    """RFC 3948 section 2.3: "The receiver SHOULD ignore a received NAT-keepalive packet"."""
    packets = [attack.to_4500(b"\xff").sent_from(source) for source in attack.sources for _ in range(20)]
    assert attack.dropped_of(packets) == Counter(keepalive=len(packets))
    attack.require_unharmed()


def test_the_longest_datagrams(attack: Attack) -> None:
    """65507 octets are the most that UDP over IPv4 carries; the kernel puts their fragments together."""
    most = 65507
    long_header = attack.ike[0].content[:24] + most.to_bytes(4)
    bodies = [
        attack.rng.randbytes(most),
        (long_header + attack.rng.randbytes(most))[:most],
        (MARKER + long_header + bytes(most))[:most],
        (attack.esp[0].content[:8] + attack.rng.randbytes(most))[:most],
    ]
    before = attack.drops()
    for body in bodies:
        for packet in (attack.to_500(body), attack.to_4500(body)):
            attack.intruder.send_fragmented(packet)
            attack.pair.status("gw1")
    assert eventually(lambda: (attack.drops() - before).total() == 2 * len(bodies)), attack.drops() - before
    attack.require_unharmed()


def test_a_crowd_of_strangers_is_bounded(attack: Attack) -> None:
    """RFC 7296 section 2.6: half-open IKE SAs are limited, and many of them make cookies a must: long before an address has
    all the places that it may have, and whoever does not bring its cookie takes none."""
    first = attack.towards_us(attack.ike)[0]
    fresh = [first.holding(attack.rng.randbytes(8) + first.content[8:]) for _ in range(400)]
    network = "192.0.2." if attack.family == 4 else "2001:db8:{:x}::"
    many = [packet.sent_from(f"{network.format(100 + at % 100)}{100 + at % 100}") for at, packet in enumerate(fresh)]
    attack.send([*fresh, *many])
    status = attack.pair.status("gw1")
    assert 1 <= status.half_open <= 50
    attack.require_unharmed()


def test_memory_is_bounded(attack: Attack) -> None:
    """The same flood again does not make the daemon grow as the first one did."""
    first = attack.towards_us(attack.ike)[0]

    def flood() -> None:
        packets = [
            first.holding(attack.rng.randbytes(8) + first.content[8 : attack.rng.randrange(8, len(first.content))])
            for _ in range(1000)
        ]
        attack.send(packets)

    flood()
    before = memory(attack.pair, "gw1")
    for _ in range(2):
        flood()
    assert memory(attack.pair, "gw1") - before < MOST_GROWTH
    attack.require_unharmed()
