"""The engine: whatever carries the packets of Child SAs. Nothing above knows which one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from caponier.doi.ikev2 import ProtocolId
from caponier.mechanisms.negotiation.selectors import TrafficSelector
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


@dataclass(frozen=True, slots=True)
class Acquire:
    """A packet wanted a Child SA that is not there (RFC 4301 section 5.1)."""

    connection: str
    child: str


@dataclass(frozen=True, slots=True)
class SequenceExhausted:
    """An outbound SA used up its sequence numbers and carries nothing more (RFC 4303 section 3.3.3)."""

    spi_in: int


EngineEvent = Acquire | SequenceExhausted


class Engine(Protocol):
    """Carries packets. All methods return at once; an :class:`~caponier.errors.EngineError` says why not."""

    @property
    def interface(self) -> str:
        """Name of the network interface into which protected traffic is routed."""

    def allocate_spi(self, protocol: ProtocolId) -> int:
        """Reserve an inbound SPI, 256 to 2**32 - 1, unpredictable."""

    def release_spi(self, protocol: ProtocolId, spi: int) -> None: ...

    def install(self, child: ChildSa) -> None:
        """Install both directions and the policy of ``child``."""

    def retire(self, protocol: ProtocolId, spi_in: int) -> None:
        """Send nothing more on a Child SA that another one has replaced; go on receiving until :meth:`remove`."""

    def remove(self, protocol: ProtocolId, spi_in: int) -> None:
        """Remove both directions; the policy too when no other Child SA serves it."""

    def move(self, protocol: ProtocolId, spi_in: int, path: Path) -> None:
        """Send along another path from now on."""

    def trap(
        self, connection: str, child: str, local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]
    ) -> None:
        """Install a policy without an SA: the first packet reports :class:`Acquire`."""

    def untrap(self, connection: str, child: str) -> None: ...

    def counters(self, spi_in: int) -> SaTraffic: ...

    def drops(self) -> Mapping[str, int]:
        """Packets dropped outside of any SA, by reason."""

    def event_fd(self) -> int:
        """A descriptor that is readable when :meth:`events` has something."""

    def events(self) -> list[EngineEvent]: ...

    def close(self) -> None:
        """Stop carrying; forget all keys. May be called twice."""
