"""What the core reports: past tense, for the daemon to log, count and show.

Nothing in an event is secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from caponier.errors import CaponierError
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import IpAddress


class Role(Enum):
    """Roles of an IKE SA (RFC 7296 section 2.2)."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


@dataclass(frozen=True, slots=True)
class IkeSaId:
    """Both SPIs of an IKE SA, 8 octets each."""

    spi_i: bytes
    spi_r: bytes

    def __str__(self) -> str:
        return f"{self.spi_i.hex()}_{self.spi_r.hex()}"


@dataclass(frozen=True, slots=True)
class ChildSaStatus:
    """A Child SA as ``status`` shows it; numbers as in :class:`~caponier.protocols.ike.effects.ChildSa`."""

    name: str
    protocol: str
    mode: str
    spi_in: int
    spi_out: int
    suite: str  #: in the configuration's spelling: ``aes256gcm16``
    local: tuple[str, ...]
    remote: tuple[str, ...]
    encapsulated: bool
    since: float  #: instant of installation
    quantum_safe: tuple[str, ...] = ()  #: by what its keys withstand a quantum computer: ``ML-KEM-768``, ``PPK``


@dataclass(frozen=True, slots=True)
class IkeSaStatus:
    """An IKE SA as ``status`` shows it."""

    id: IkeSaId
    connection: str
    role: Role
    phase: str
    path: Path
    suite: str  #: in the configuration's spelling: ``aes256gcm16-prfsha384-ecp384``
    local_id: str
    remote_id: str
    local_auth: str  #: ``psk`` or a signature scheme: ``ecdsa-sha256``
    remote_auth: str
    nat_here: bool
    nat_there: bool
    fragment_size: int | None  #: octets of the longest IP datagram with an IKE message; None where it may be any
    since: float  #: instant of establishment
    last_heard: float  #: instant of the last authenticated message from the peer, as far as we looked
    transmissions: int  #: of our request that is out; 0 where none is
    is_movable: bool  #: whether both ends may change their addresses (MOBIKE, RFC 4555)
    peer_addresses: tuple[IpAddress, ...]  #: the peer's further ones, as it tells
    children: tuple[ChildSaStatus, ...]
    quantum_safe: tuple[str, ...] = ()  #: the same of its own messages; a PPK protects those only after a rekeying
    assigned: tuple[str, ...] = ()  #: internal addresses that the peer gave us
    lent: tuple[str, ...] = ()  #: internal addresses that we gave the peer


@dataclass(frozen=True, slots=True)
class IkeSaEstablished:
    """Both sides proved who they are."""

    sa: IkeSaStatus


@dataclass(frozen=True, slots=True)
class IkeSaClosed:
    """An established IKE SA is gone. ``error`` is None when one of the two sides asked for it."""

    id: IkeSaId
    connection: str
    reason: str
    error: CaponierError | None = None


@dataclass(frozen=True, slots=True)
class IkeSaMoved:
    """One end of an IKE SA is somewhere else now, and its Child SAs follow (RFC 4555)."""

    id: IkeSaId
    connection: str
    former: Path
    path: Path


@dataclass(frozen=True, slots=True)
class ChildSaInstalled:
    """A Child SA carries packets from now on."""

    id: IkeSaId
    connection: str
    child: ChildSaStatus


@dataclass(frozen=True, slots=True)
class ChildSaRemoved:
    """A Child SA carries nothing any more."""

    id: IkeSaId
    connection: str
    name: str
    spi_in: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChildSaAged:
    """A Child SA lasted as long as it may (RFC 4301 section 4.4.2.1): it is replaced, or where ``is_hard`` it ends."""

    id: IkeSaId
    connection: str
    name: str
    spi_in: int
    is_hard: bool


@dataclass(frozen=True, slots=True)
class AddressesAssigned:
    """One side has internal addresses of the other's network (RFC 7296 section 2.19).

    Attributes:
        id: of the IKE SA.
        connection: its connection.
        addresses: the addresses.
        dns: servers that came with them.
        is_ours: whether they are for us, or for the peer.
    """

    id: IkeSaId
    connection: str
    addresses: tuple[str, ...]
    dns: tuple[str, ...]
    is_ours: bool


@dataclass(frozen=True, slots=True)
class NegotiationFailed:
    """An IKE SA or a Child SA did not come to be.

    Attributes:
        connection: whose; None when no connection of ours fitted.
        child: set when only this Child SA failed.
        role: ours.
        path: with whom.
        error: why, with what was offered and accepted.
    """

    connection: str | None
    child: str | None
    role: Role
    path: Path
    error: CaponierError


@dataclass(frozen=True, slots=True)
class DatagramDropped:
    """A datagram was dropped. ``reason`` is one of a fixed set of names, fit for a counter's label."""

    path: Path
    reason: str
    detail: str


Event = (
    IkeSaEstablished
    | IkeSaClosed
    | IkeSaMoved
    | ChildSaInstalled
    | ChildSaRemoved
    | ChildSaAged
    | AddressesAssigned
    | NegotiationFailed
    | DatagramDropped
)
