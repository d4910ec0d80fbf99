"""Two planes with static keys, generation after generation of SAs, and the counters of each when its time is over."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from caponier._plane import Plane
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Site, Topology
from soak.weather import ROUGH_LEFT, ROUGH_RIGHT, Weather
from tests.plane.suites import CBC, CHACHA, EVERY_AH, GCM, Suite
from tests.plane.tunnel import AH, CARRIERS, MARK, RAW4, RAW6, UDP4, UDP6, Carrier, esp_socket, of, raw_socket, route

BUFFER = 16 << 20  #: octets that may wait in a socket of a plane
DRAIN_SECONDS = 5.0  #: until what is on the way has arrived
POLICY = 1
#: What a link may cause that loses, doubles and delays; a good one causes nothing.
OF_BAD_WEATHER = frozenset({"replayed", "too-old"})

_SUITES = {suite.name: suite for suite in EVERY_AH}


@dataclass(frozen=True)
class Kind:
    """How a generation protects."""

    name: str
    protocol: str
    suite: Suite
    carrier: Carrier


KINDS = (
    Kind("AES-128-GCM in UDP", "esp", GCM, UDP4),
    Kind("AH, HMAC-SHA2-256, IPv6", "ah", _SUITES["sha256"], RAW6),
    Kind("ChaCha20-Poly1305 in UDP, IPv6", "esp", CHACHA, UDP6),
    Kind("AES-128-GCM", "esp", GCM, RAW4),
    Kind("AES-CBC-128 HMAC-SHA2-256 in UDP", "esp", CBC, UDP4),
    Kind("AH, AES-GMAC", "ah", _SUITES["aes128gmac"], RAW4),
    Kind("AES-128-GCM, IPv6", "esp", GCM, RAW6),
)


@dataclass(frozen=True)
class Row:
    """One SA at both ends.

    Attributes:
        name: what protects, and which way.
        is_rough: whether its link had bad weather.
        sealed: packets and octets at one end.
        opened: packets and octets at the other.
        dropped: packets at the other end, by reason; and at the first.
        lost: on the way, by bad weather.
        doubled: on the way.
    """

    name: str
    is_rough: bool
    sealed: tuple[int, int]
    opened: tuple[int, int]
    dropped: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0

    @property
    def missing(self) -> int:
        """Packets of which nobody knows what became; negative for packets that nobody sent."""
        return self.sealed[0] - self.lost + self.doubled - self.opened[0] - sum(self.dropped.values())

    @property
    def fault(self) -> str | None:
        """What differs that must not; None where both ends agree."""
        if self.missing:
            return f"{self.missing} packets are missing" if self.missing > 0 else f"{-self.missing} packets too many"
        unexpected = set(self.dropped) - (OF_BAD_WEATHER if self.is_rough else frozenset())
        if unexpected:
            return f"dropped without reason: {', '.join(sorted(unexpected))}"
        if not self.lost and not self.dropped and self.sealed[1] != self.opened[1]:
            return f"{self.sealed[1]} octets were sealed, {self.opened[1]} opened"
        return None


@dataclass
class End:
    """A plane, and where it is."""

    plane: Plane
    direction: int  #: whose keys it seals with

    def site(self, *, is_rough: bool) -> tuple[Site, Site]:
        """Its own, and the peer's."""
        sites = (ROUGH_LEFT, ROUGH_RIGHT) if is_rough else (LEFT, RIGHT)
        return sites if self.direction == 1 else sites[::-1]


@dataclass
class Generation:
    """The SAs of both directions, installed at both ends.

    Attributes:
        kind: how they protect.
        number: counts the generations.
        is_rough: whether they use the link with bad weather.
        handles: of the outbound SAs, left and right.
    """

    kind: Kind
    number: int
    is_rough: bool
    handles: list[int] = field(default_factory=list)

    def spi(self, direction: int) -> int:
        return 0x10000 + 2 * self.number + direction


@dataclass
class Pair:
    """Both planes."""

    left: End
    right: End
    weather: Weather

    @property
    def ends(self) -> tuple[End, End]:
        return self.left, self.right

    def install(self, generation: Generation) -> None:
        """Make before break: both ends can receive before either sends (RFC 7296 section 2.8)."""
        for end in self.ends:
            self._install_inbound(end, generation)
        for end in self.ends:
            self._install_outbound(end, generation)

    def _install_inbound(self, end: End, generation: Generation) -> None:
        here, there = end.site(is_rough=generation.is_rough)
        kind, direction = generation.kind, 3 - end.direction
        end.plane.install_inbound(
            spi=generation.spi(direction),
            protocol=kind.protocol,
            **kind.suite.keys(direction),
            esn=True,
            replay_window=4096,
            local=of(here),
            remote=of(there),
            local_address=kind.carrier.address(here),
            remote_address=kind.carrier.address(there),
        )

    def _install_outbound(self, end: End, generation: Generation) -> None:
        here, there = end.site(is_rough=generation.is_rough)
        kind, direction = generation.kind, end.direction
        handle = end.plane.install_outbound(
            spi=generation.spi(direction),
            protocol=kind.protocol,
            **kind.suite.keys(direction),
            esn=True,
            **kind.carrier.ends(here, there),
        )
        generation.handles.append(handle)
        end.plane.install_policy(
            policy=POLICY, order=1, local=of(here), remote=of(there), action="protect", outbound=handle
        )

    def retire(self, generation: Generation) -> list[Row]:
        """Wait until what is on the way has arrived, and remove the SAs; what they counted."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while any(row.missing for row in self.rows(generation)) and time.monotonic() < deadline:
            time.sleep(0.02)
        rows = self.rows(generation)
        for end, handle in zip(self.ends, generation.handles, strict=True):
            end.plane.remove_outbound(handle)
            end.plane.remove_inbound(generation.spi(3 - end.direction), generation.kind.protocol)
        return rows

    def rows(self, generation: Generation) -> list[Row]:
        """What both SAs have counted so far."""
        rows = []
        for sender, receiver, handle in (
            (self.left, self.right, generation.handles[0]),
            (self.right, self.left, generation.handles[1]),
        ):
            spi, protocol = generation.spi(sender.direction), generation.kind.protocol
            sealed, opened = sender.plane.outbound_counters(handle), receiver.plane.inbound_counters(spi, protocol)
            arrow = "left to right" if sender is self.left else "right to left"
            rows.append(
                Row(
                    f"{generation.kind.name}, {arrow}",
                    generation.is_rough,
                    sealed[:2],
                    opened[:2],
                    {**opened[2], **{f"{reason} (sender)": count for reason, count in sealed[2].items()}},
                    self.weather.lost[protocol, spi],
                    self.weather.doubled[protocol, spi],
                )
            )
        return rows

    def drops(self) -> dict[str, int]:
        """Packets dropped outside of any SA."""
        found: dict[str, int] = {}
        for end in self.ends:
            for reason, count in end.plane.drops().items():
                found[reason] = found.get(reason, 0) + count
        return found


@contextmanager
def pair(world: Topology, weather: Weather) -> Iterator[Pair]:
    """Both planes, running, without SAs."""
    with ExitStack() as undo:
        left = undo.enter_context(_running(world.gw1, RIGHT))
        right = undo.enter_context(_running(world.gw2, LEFT))
        yield Pair(End(left, 1), End(right, 2), weather)


@contextmanager
def _running(gateway: Namespace, other: Site) -> Iterator[Plane]:
    """A plane on every carrier, with room in its sockets for what is in flight."""
    with gateway.inside():
        plane = Plane(interface="cap%d", mark=MARK)
    try:
        for carrier in CARRIERS:
            _attach(plane, esp_socket(gateway, carrier), in_udp=carrier.encapsulated)
        for family in (socket.AF_INET, socket.AF_INET6):
            for protocol in (AH, socket.IPPROTO_RAW):
                _attach(plane, raw_socket(gateway, family, protocol), in_udp=False)
        plane.start()
        route(gateway, plane.interface, other)
        yield plane
    finally:
        plane.close()


def _attach(plane: Plane, made: socket.socket, *, in_udp: bool) -> None:
    with made:
        for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
            made.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        (plane.attach_udp if in_udp else plane.attach_raw)(made.fileno())


_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
