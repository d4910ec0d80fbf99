"""What the operator wants: connections and their Child SAs, as the core takes them (RFC 4301 section 4.4).

Built by ``daemon.config`` from the configuration file; frozen, compared by value on reload.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from caponier.doi.ikev2 import ProtocolId
from caponier.mechanisms.authentication.certificates import CertificateCredential, CertificateTrust
from caponier.mechanisms.authentication.identity import Identity, IdentityPattern
from caponier.mechanisms.authentication.ppk import Ppk
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.mechanisms.negotiation.leases import Pool
from caponier.mechanisms.negotiation.proposals import Proposal
from caponier.mechanisms.negotiation.selectors import TrafficSelector

IpAddress = IPv4Address | IPv6Address


class Start(Enum):
    """When a connection comes up."""

    BOOT = "boot"  #: With the daemon, and again after any loss.
    ON_DEMAND = "on-demand"  #: With the first packet that its policies match.
    MANUAL = "manual"  #: When a person or the peer says so.


class WhileDown(Enum):
    """What becomes of a connection's packets while there is no SA for them (RFC 4301 section 5)."""

    DISCARD = "discard"  #: They are dropped, in both directions.
    PASS = "pass"  # noqa: S105 - no password  #: They go in clear, as if there were no connection.


class Mode(Enum):
    """Tunnel or transport mode (RFC 4301 section 4.1)."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"


class Encapsulation(Enum):
    """Whether ESP travels in UDP (RFC 3948)."""

    AUTO = "auto"  #: Where a NAT was found (RFC 7296 section 2.23), and where the peer likes it better too.
    NAT = "nat"  #: Where a NAT was found.
    FORCED = "forced"  #: Always.


@dataclass(frozen=True, slots=True)
class Local:
    """Our own end.

    Attributes:
        addresses: ours to use for this connection; empty for any.
        identity: what we say we are (IDi or IDr).
        credential: how we prove it.
    """

    addresses: tuple[IpAddress, ...]
    identity: Identity
    credential: PresharedKey | CertificateCredential


@dataclass(frozen=True, slots=True)
class Remote:
    """The peer's end.

    Attributes:
        addresses: where the peer is expected, as resolved last; empty for anywhere (then we only respond).
        identity: which identities are acceptable.
        requirement: how the peer must prove itself.
    """

    addresses: tuple[IpAddress, ...]
    identity: IdentityPattern
    requirement: PresharedKey | CertificateTrust


class DontFragment(Enum):
    """The DF bit of the outer IPv4 header (RFC 4301 section 8.1)."""

    COPY = "copy"  #: From the inner header.
    SET = "set"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class Handling:
    """How the packets of a Child SA are built: our own business, which no peer hears of (RFC 4301 section 4.4.2.1).

    Attributes:
        tfc: octets up to which inner packets are padded (RFC 4303 section 2.7); 0 for not at all, None for as many as
            the tunnel's MTU has.
        dscp: of the outer header; None for that of the inner one.
        ecn: whether congestion marks pass between inner and outer header (RFC 6040).
        dont_fragment: the DF bit of the outer header.
        clamps_mss: whether the MSS of TCP connections is lowered to what fits the tunnel.
    """

    tfc: int | None = 0
    dscp: int | None = None
    ecn: bool = True
    dont_fragment: DontFragment = DontFragment.COPY
    clamps_mss: bool = True


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How much and how long a Child SA carries (RFC 4301 section 4.4.2.1); 0 for without end.

    At the soft limit it is to be replaced, at the hard limit it is to be deleted; inner octets and packets are counted,
    in each direction by itself.
    """

    soft_octets: int = 0
    hard_octets: int = 0
    soft_packets: int = 0
    hard_packets: int = 0
    soft_seconds: float = 0.0
    hard_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where the packets of a connection enter and leave the system; the core only passes it on.

    Attributes:
        interface: a TUN interface of its own (a route-based VPN); None for the one that all share.
        routes: whether the remote networks are routed into it.
    """

    interface: str | None = None
    routes: bool = True


@dataclass(frozen=True, slots=True)
class ChildPolicy:
    """One Child SA that is wanted: an entry of the SPD, PROTECT (RFC 4301 section 4.4.1).

    Attributes:
        name: unique within its connection.
        local: traffic selectors on our side.
        remote: traffic selectors on the peer's side.
        proposals: acceptable proposals of one protocol, ESP or AH, in order of preference; without SPI.
        mode: tunnel or transport.
        replay_window: packets, 32 to 4096.
        handling: of its packets.
        lifetime: of each of its SAs.
        local_is_assigned: whether our side shrinks to the internal addresses that the peer gives us (RFC 7296 section 2.19).
        remote_is_assigned: whether the peer's side shrinks to those that we give it.
    """

    name: str
    local: tuple[TrafficSelector, ...]
    remote: tuple[TrafficSelector, ...]
    proposals: tuple[Proposal, ...]
    mode: Mode = Mode.TUNNEL
    replay_window: int = 128
    handling: Handling = Handling()
    lifetime: Lifetime = Lifetime()
    local_is_assigned: bool = False
    remote_is_assigned: bool = False

    @property
    def protocol(self) -> ProtocolId:
        """ESP or AH, as the proposals say."""
        return self.proposals[0].protocol


@dataclass(frozen=True, slots=True)
class Connection:
    """A peer and what we want with it: an entry of the PAD (RFC 4301 section 4.4.3).

    Attributes:
        name: unique; what the operator calls it.
        local: our end.
        remote: the peer's end.
        proposals: acceptable IKE proposals, in order of preference; without SPI.
        children: what travels between us; the first is created within IKE_AUTH.
        start: when it comes up.
        while_down: what becomes of its packets while it is not up.
        encapsulation: whether UDP is forced.
        liveness: seconds of silence from the peer before it is asked for a sign of life; None for never
            (RFC 7296 section 2.4).
        rekey: seconds after which the IKE SA gets new keys (RFC 7296 section 2.8); None for never.
        reauth: seconds after which the peers prove anew who they are (RFC 7296 section 2.8.3); None for never.
        fragment_size: octets of an IP datagram with a part of a long IKE message (RFC 7383); None for messages in one
            piece only.
        attachment: where its packets enter and leave the system.
        mobike: whether either end may change its addresses (RFC 4555).
        nat_keepalive: seconds without a packet of ours after which the mapping of a NAT before us is refreshed (RFC 3948
            section 4); None for never.
        ppk: a postquantum preshared key, mixed into the keys (RFC 8784); None for none.
        virtual_ip: internal addresses that we ask the peer for, one of a family; the unspecified one for any
            (RFC 7296 section 2.19).
        takes_dns: whether the DNS servers that come with them are used.
        pools: internal addresses that we give to peers.
        tells_version: whether peers that ask are told what we are (RFC 7296 section 2.20).
    """

    name: str
    local: Local
    remote: Remote
    proposals: tuple[Proposal, ...]
    children: tuple[ChildPolicy, ...]
    start: Start = Start.BOOT
    while_down: WhileDown = WhileDown.DISCARD
    encapsulation: Encapsulation = Encapsulation.AUTO
    liveness: float | None = 30.0
    rekey: float | None = 4 * 3600.0
    reauth: float | None = None
    fragment_size: int | None = 1280
    attachment: Attachment = Attachment()
    mobike: bool = True
    nat_keepalive: float | None = 20.0  #: "The default keepalive interval SHOULD be 20 seconds", RFC 3948 section 4
    ppk: Ppk | None = None
    virtual_ip: tuple[IpAddress, ...] = ()
    takes_dns: bool = True
    pools: tuple[Pool, ...] = ()
    tells_version: bool = False

    @property
    def moves(self) -> bool:
        """Whether MOBIKE is for it: it "supports only tunnel mode IPsec SAs" (RFC 4555 section 1.2)."""
        return self.mobike and all(child.mode is Mode.TUNNEL for child in self.children)


@dataclass(frozen=True, slots=True)
class Limits:
    """Our own limits on what strangers can make grow; not the RFC's.

    Attributes:
        half_open: IKE SAs in their initial exchanges, in all; above it new ones are dropped.
        half_open_per_address: the same from one address (a /64 for IPv6).
        cookie_threshold: half-open SAs above which a cookie is demanded (RFC 7296 section 2.6).
        half_open_seconds: how long a stranger has to authenticate.
        ike_sas: established IKE SAs in all.
        children_per_ike_sa: Child SAs on one IKE SA.
        addresses_per_peer: further addresses that a peer may tell (RFC 4555 section 3.4); those beyond are not kept.
    """

    half_open: int = 1000
    half_open_per_address: int = 20
    cookie_threshold: int = 50
    half_open_seconds: float = 30.0
    ike_sas: int = 20_000
    children_per_ike_sa: int = 64
    addresses_per_peer: int = 16


@dataclass(frozen=True, slots=True)
class Retransmission:
    """When a request is sent again (RFC 7296 section 2.4): after ``first`` seconds, then each time
    ``factor`` times as long, at most ``attempts`` transmissions in all."""

    first: float = 1.0
    factor: float = 1.8
    attempts: int = 7

    @property
    def patience(self) -> float:
        """Seconds until a peer that never answers is given up, jitter apart."""
        return sum(self.first * self.factor**attempt for attempt in range(self.attempts))


@dataclass(frozen=True, slots=True)
class Ports:
    """UDP ports, ours and the peers' (RFC 7296 section 2: 500 and 4500).

    Attributes:
        ike: for IKE alone.
        encapsulated: for IKE behind the non-ESP marker, and ESP in UDP.
    """

    ike: int = 500
    encapsulated: int = 4500


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all connections."""

    limits: Limits = field(default_factory=Limits)
    retransmission: Retransmission = field(default_factory=Retransmission)
    ports: Ports = field(default_factory=Ports)
