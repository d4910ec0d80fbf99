"""The engine: whatever carries the packets of Child SAs. Nothing above knows which one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from caponier.doi.ikev2 import ProtocolId
from caponier.mechanisms.negotiation.selectors import IpAddress, TrafficSelector
from caponier.mechanisms.negotiation.spd import SpdEntry
from caponier.protocols.ike.effects import ChildSa
from caponier.protocols.ike.path import Path


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of one direction of one Child SA since its installation."""

    packets: int
    octets: int  #: of the inner packets
    dropped: Mapping[str, int]  #: by reason


@dataclass(frozen=True, slots=True)
class SaTraffic:
    """Counters of a Child SA, by direction."""

    inbound: Traffic
    outbound: Traffic


class Direction(Enum):
    """Of a packet, or of one half of a Child SA."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Acquire:
    """A packet wanted a Child SA that is not there (RFC 4301 section 5.1)."""

    connection: str
    child: str


@dataclass(frozen=True, slots=True)
class SequenceExhausted:
    """An outbound SA used up its sequence numbers and carries nothing more (RFC 4303 section 3.3.3)."""

    spi_in: int


@dataclass(frozen=True, slots=True)
class LifetimeReached:
    """A Child SA carried as much as it may (RFC 4301 section 4.4.2.1).

    Attributes:
        protocol: ESP or AH.
        spi_in: of the Child SA.
        direction: that reached its limit.
        is_hard: whether it is to end now; else it is to be replaced soon.
    """

    protocol: ProtocolId
    spi_in: int
    direction: Direction
    is_hard: bool


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """An authenticated packet in UDP came from elsewhere than before (RFC 7296 section 2.23)."""

    protocol: ProtocolId
    spi_in: int
    address: IpAddress
    port: int


@dataclass(frozen=True, slots=True)
class PacketDropped:
    """An auditable event: a packet was dropped (RFC 4301 section 9; RFC 4303 and RFC 4302, sections 3.3.3, 3.4 and 4).

    Each kind is told once for each SA until :meth:`Engine.look_again`. What is not known of the packet is None.

    Attributes:
        direction: whether it came or was to go.
        reason: the drop counter's name: ``replayed``.
        protocol: ESP or AH.
        spi: that the packet has, or was to have.
        spi_in: of the Child SA; None where it is of none of ours.
        source: the header's of what came, or was to be sealed.
        destination: the same.
        sequence: number of the packet.
        inner: source and destination of what came out, where that is at fault.
    """

    direction: Direction
    reason: str
    protocol: ProtocolId | None = None
    spi: int | None = None
    spi_in: int | None = None
    source: str | None = None
    destination: str | None = None
    sequence: int | None = None
    inner: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PortFailed:
    """A socket or an interface failed for good; the SAs stay, and the other ones go on.

    Attributes:
        interface: its name; None for a socket.
        errno: the system's error number.
    """

    interface: str | None
    errno: int


EngineEvent = Acquire | SequenceExhausted | LifetimeReached | PeerMoved | PacketDropped | PortFailed


class Engine(Protocol):
    """Carries packets. All methods return at once; an :class:`~caponier.errors.EngineError` says why not."""

    @property
    def interface(self) -> str:
        """Name of the network interface into which protected traffic is routed."""

    def allocate_spi(self, protocol: ProtocolId) -> int:
        """Reserve an inbound SPI, 256 to 2**32 - 1, unpredictable."""

    def release_spi(self, protocol: ProtocolId, spi: int) -> None: ...

    def install(self, child: ChildSa, interface: str | None = None) -> None:
        """Install both directions and the policy of ``child``.

        ``interface``: as given to :meth:`open_interface`; None for the one that all share.
        """

    def retire(self, protocol: ProtocolId, spi_in: int) -> None:
        """Send nothing more on a Child SA that another one has replaced; go on receiving until :meth:`remove`."""

    def remove(self, protocol: ProtocolId, spi_in: int) -> None:
        """Remove both directions; the policy too when no other Child SA serves it."""

    def move(self, protocol: ProtocolId, spi_in: int, path: Path) -> None:
        """Send along another path from now on."""

    def trap(
        self,
        connection: str,
        child: str,
        local: Sequence[TrafficSelector],
        remote: Sequence[TrafficSelector],
        interface: str | None = None,
    ) -> None:
        """Install a policy without an SA: the first packet reports :class:`Acquire`."""

    def untrap(self, connection: str, child: str) -> None: ...

    def put_first(self, entries: Sequence[SpdEntry]) -> None:
        """The BYPASS and DISCARD entries of the SPD, before all Child SAs, in this order; they replace those before."""

    def open_interface(self, name: str) -> None:
        """Make a further interface, whose packets only the policies on it are asked about."""

    def close_interface(self, name: str) -> None: ...

    def look_again(self) -> None:
        """Tell of drops again that were told, and see whether paths carry larger or smaller packets than they did.

        Of very many paths some have their turn each time.
        """

    def counters(self, spi_in: int) -> SaTraffic: ...

    def drops(self) -> Mapping[str, int]:
        """Packets dropped outside of any SA, by reason."""

    def event_fd(self) -> int:
        """A descriptor that is readable when :meth:`events` has something."""

    def events(self) -> list[EngineEvent]: ...

    def close(self) -> None:
        """Stop carrying; forget all keys. May be called twice."""
