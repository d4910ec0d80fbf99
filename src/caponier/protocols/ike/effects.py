"""What the core asks of the outside: an effect goes out, its result comes back by ``Endpoint.complete``.

Effects are compared by identity: two equal requests are still two.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from caponier.doi.ikev2 import EncryptionId, IntegrityId, ProtocolId
from caponier.mechanisms.authentication.signatures import PrivateKey, SignatureScheme
from caponier.mechanisms.negotiation.leases import Holder, IpNetwork, Pool
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.octets import Secret
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Handling, IpAddress, Lifetime, Mode

IpInterface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class DirectionKeys:
    """Keys of one direction of a Child SA.

    Attributes:
        encryption: the cipher's key with its salt behind it (RFC 4106 section 8.1); empty with NULL and for AH.
        integrity: the integrity key; empty with an AEAD cipher.
    """

    encryption: Secret
    integrity: Secret


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A negotiated Child SA: all that a data plane needs to carry it.

    Attributes:
        connection: name of the connection.
        name: name of the Child SA's policy.
        protocol: ESP or AH.
        mode: tunnel or transport.
        spi_in: ours, on packets that we receive; host order.
        spi_out: the peer's, on packets that we send; host order.
        encryption: cipher; None for AH.
        key_length: of the cipher, in bits, without salt; None for a cipher of one key length only.
        integrity: None with an AEAD cipher.
        extended_sequence_numbers: whether ESN was agreed (RFC 4304).
        replay_window: packets.
        keys_in: for packets that we receive.
        keys_out: for packets that we send.
        local: agreed traffic selectors on our side.
        remote: agreed traffic selectors on the peer's side.
        path: both ends of the tunnel; ``path.encapsulated`` when ESP travels in UDP on these ports.
        handling: of its packets.
        lifetime: when it is to be replaced, and when deleted.
        counted: transport mode through a NAT: source and destination that the peer's checksums count
            (RFC 3948 section 3.1.2); None where they are those of the packet.
        defers_to: SPI on which we receive of the Child SA that goes on sending in its place until it is retired or
            removed: the peer rekeyed it and may not be ready to receive on this one (RFC 7296 section 2.8).
    """

    connection: str
    name: str
    protocol: ProtocolId
    mode: Mode
    spi_in: int
    spi_out: int
    encryption: EncryptionId | None
    key_length: int | None
    integrity: IntegrityId | None
    extended_sequence_numbers: bool
    replay_window: int
    keys_in: DirectionKeys
    keys_out: DirectionKeys
    local: tuple[TrafficSelector, ...]
    remote: tuple[TrafficSelector, ...]
    path: Path
    handling: Handling
    lifetime: Lifetime
    counted: tuple[IpAddress, IpAddress] | None = None
    defers_to: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AllocateSpi:
    """Reserve an inbound SPI of ``protocol``. Result: the SPI, 256 to 2**32 - 1, host order."""

    protocol: ProtocolId


@dataclass(frozen=True, slots=True, eq=False)
class ReleaseSpi:
    """Give back an SPI that no Child SA was installed for. Result: None."""

    protocol: ProtocolId
    spi: int


@dataclass(frozen=True, slots=True, eq=False)
class Sign:
    """Sign ``octets`` with a private key that may live elsewhere. Result: the signature, as octets."""

    key: PrivateKey
    scheme: SignatureScheme
    octets: bytes


@dataclass(frozen=True, slots=True, eq=False)
class InstallChildSa:
    """Install both directions and the policy of a Child SA. Result: None."""

    child: ChildSa


@dataclass(frozen=True, slots=True, eq=False)
class RetireChildSa:
    """Send nothing more on the Child SA that receives on ``spi_in``, for another one has replaced it; go on
    receiving what the peer sent on it before it knew. A RemoveChildSa follows. Result: None."""

    protocol: ProtocolId
    spi_in: int


@dataclass(frozen=True, slots=True, eq=False)
class RemoveChildSa:
    """Remove both directions of the Child SA that receives on ``spi_in``, and its policy when no other
    Child SA serves it. Result: None."""

    protocol: ProtocolId
    spi_in: int


@dataclass(frozen=True, slots=True, eq=False)
class MoveChildSa:
    """Send the Child SA that receives on ``spi_in`` along another path from now on: the peer's NAT gave it
    a new address or port (RFC 7296 section 2.23). Result: None."""

    protocol: ProtocolId
    spi_in: int
    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class CountReceived:
    """Count the authentic packets that came on some Child SAs since each was installed: they are as good a sign of life as
    an IKE message (RFC 7296 section 2.4). Result: their sum; one that is gone counts nothing.

    Attributes:
        children: protocol and the SPI on which we receive, of each.
    """

    children: tuple[tuple[ProtocolId, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class LeaseAddress:
    """Find an internal address of one family for a peer (RFC 7296 section 2.19). Result: the address; ReleaseAddress
    gives it back.

    Attributes:
        pools: where it may be from.
        holder: the peer.
        wanted: what the peer would like; None for any.
    """

    pools: tuple[Pool, ...]
    holder: Holder
    wanted: IpAddress | None


@dataclass(frozen=True, slots=True, eq=False)
class ReleaseAddress:
    """Take one LeaseAddress back. Result: None."""

    address: IpAddress


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a peer configured us with (RFC 7296 section 3.15.1).

    Attributes:
        addresses: internal ones that are ours now, with the networks that they are of.
        dns: DNS servers.
        subnets: networks behind the peer (section 3.15.2).
    """

    addresses: tuple[IpInterface, ...]
    dns: tuple[IpAddress, ...] = ()
    subnets: tuple[IpNetwork, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ApplyAssignment:
    """Put internal addresses onto the connection's interface, and use the DNS servers. Result: None;
    WithdrawAssignment undoes it."""

    connection: str
    assignment: Assignment


@dataclass(frozen=True, slots=True, eq=False)
class WithdrawAssignment:
    """Undo one ApplyAssignment. Result: None."""

    connection: str
    assignment: Assignment


@dataclass(frozen=True, slots=True, eq=False)
class FindPaths:
    """Find out between which addresses datagrams can travel now (RFC 4555 section 3.5). Result: pairs of one of ours and one of
    the peer's, the best first; none where there is no way.

    Attributes:
        ours: those to choose from; empty for any.
        remotes: the peer's, those in use first.
    """

    ours: tuple[IpAddress, ...]
    remotes: tuple[IpAddress, ...]


Effect = (
    AllocateSpi
    | ReleaseSpi
    | Sign
    | InstallChildSa
    | RetireChildSa
    | RemoveChildSa
    | MoveChildSa
    | CountReceived
    | LeaseAddress
    | ReleaseAddress
    | ApplyAssignment
    | WithdrawAssignment
    | FindPaths
)


def opposite(effect: Effect, result: object) -> Effect | None:
    """What takes an effect back that was carried out and that nobody waits for any more; None where nothing has to be."""
    match effect, result:
        case AllocateSpi(protocol), int(spi):
            return ReleaseSpi(protocol, spi)
        case InstallChildSa(child), _:
            return RemoveChildSa(child.protocol, child.spi_in)
        case LeaseAddress(), IPv4Address() | IPv6Address() as address:
            return ReleaseAddress(address)
        case ApplyAssignment(connection, assignment), _:
            return WithdrawAssignment(connection, assignment)
        case _:
            return None
