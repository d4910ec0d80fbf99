"""The configuration file's shape. What the values mean is decided in :mod:`.compose`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from caponier.daemon.config.quantities import MOST, Octets, Seconds
from caponier.protocols.ike.v2.fragmentation import LEAST_SIZE

MOST_TFC = 65_535  #: octets; an IP packet has no more
LONGEST_SOCKET = 107  #: octets of a UNIX socket's path (unix(7): sun_path)
MOST_WORKERS = 64
INTERFACE = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"  #: names of network interfaces


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _of_a_socket(path: Path) -> Path:
    octets = str(path).encode()
    if path == Path() or b"\0" in octets or len(octets) > LONGEST_SOCKET:
        raise ValueError(f"no path of a UNIX socket: it has 1 to {LONGEST_SOCKET} octets, none of them zero")
    return path


def _within(last: int, word: str, value: object) -> int | None:
    """A number up to ``last``; None for the word that stands beside them."""
    if value == word:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= last:
        raise ValueError(f'this has to be a number from 0 to {last}, or "{word}"')
    return value


Tfc = Annotated[int | None, BeforeValidator(partial(_within, MOST_TFC, "mtu"))]
Dscp = Annotated[int | None, BeforeValidator(partial(_within, 63, "copy"))]
Packets = Annotated[int, Field(ge=0, le=MOST)]
Texts = Annotated[list[str], BeforeValidator(_as_list)]
SocketPath = Annotated[Path, AfterValidator(_of_a_socket)]


class Table(BaseModel):
    """A table: no other keys than these, no value taken for another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LocalTable(Table):
    """``[connection.NAME.local]``: our own end."""

    address: Texts = Field(default=[], description="our addresses to use; any when left out")
    id: str | None = Field(default=None, description="who we say we are; the address when left out")
    auth: Literal["psk", "certificate"] = Field(default="psk", description="how we prove it")
    secret: str | None = Field(default=None, description='the preshared key: "file:PATH" or "env:NAME"')
    certificate: str | None = Field(default=None, description="PEM file: our certificate, then intermediates")
    key: str | None = Field(default=None, description="PEM file: our private key")


class RemoteTable(Table):
    """``[connection.NAME.remote]``: the peer's end."""

    address: Texts = Field(default=[], description='the peer\'s addresses; "%any" or left out: anywhere')
    id: str | None = Field(default=None, description='who the peer must be; "%any", "*.example.com"')
    auth: Literal["psk", "certificate"] | None = Field(default=None, description="how the peer must prove it; as local")
    secret: str | None = Field(default=None, description="the peer's preshared key, where it is another than ours")
    ca: str | None = Field(default=None, description="PEM file: the authorities that may vouch for the peer")


class ChildTable(Table):
    """``[connection.NAME.child.CHILD]``: what travels through the tunnel."""

    local: Texts = Field(description='networks on our side: "10.1.0.0/16", "10.1.0.5[tcp/443]"')
    remote: Texts = Field(description="networks on the peer's side")
    protocol: Literal["esp", "ah"] = Field(default="esp", description="the protocol")
    mode: Literal["tunnel", "transport"] = Field(default="tunnel", description="the mode")
    proposals: Texts | None = Field(default=None, description='algorithms, best first: "aes256gcm16"')
    replay_window: int = Field(default=128, ge=32, le=4096, description="packets")
    tfc: Tfc = Field(default=0, description="octets up to which packets are padded")
    dscp: Dscp = Field(default=None, description="of the outer header: 0 to 63, or as inside")
    ecn: bool = Field(default=True, description="whether congestion marks pass between inner and outer header")
    df: Literal["copy", "set", "clear"] = Field(
        default="copy", description='"don\'t fragment" of the outer IPv4 header'
    )
    mss: Literal["auto", False] = Field(default="auto", description="whether TCP is made to send what fits the tunnel")
    rekey_bytes: Octets = Field(default=0, description="octets after which it is replaced; 0 for never")
    life_bytes: Octets = Field(default=0, description="octets after which it is deleted; 0 for never")
    rekey_packets: Packets = Field(default=0, description="packets after which it is replaced; 0 for never")
    life_packets: Packets = Field(default=0, description="packets after which it is deleted; 0 for never")
    rekey_time: Seconds | None = Field(
        default=None, description="seconds after which it is replaced; 0 for never; an hour when left out"
    )
    life_time: Seconds = Field(default=0.0, description="seconds after which it is deleted; 0 for never")


class PpkTable(Table):
    """``[connection.NAME.ppk]``: a postquantum preshared key."""

    id: str = Field(min_length=1, max_length=64, description="what both sides call it")
    secret: str = Field(description='the key: "file:PATH" or "env:NAME", at least 32 octets')
    required: bool = Field(default=True, description="whether the peer may do without it")


class ConnectionTable(Table):
    """``[connection.NAME]``: a peer and what we want with it."""

    version: Literal[2] = Field(default=2, description="of IKE")
    local: LocalTable
    remote: RemoteTable
    proposals: Texts | None = Field(
        default=None, description='IKE algorithms, best first: "aes256gcm16-prfsha384-ecp384"'
    )
    quantum_safe: Literal["preferred", "required"] = Field(
        default="preferred", description="whether a peer without post-quantum key exchange is let in"
    )
    ppk: PpkTable | None = Field(default=None, description="a postquantum preshared key, besides how we authenticate")
    start: Literal["boot", "on-demand", "manual"] = Field(default="manual", description="when it comes up")
    while_down: Literal["discard", "pass"] | None = Field(
        default=None, description="its packets while there is no SA: dropped, or sent in clear; by start when left out"
    )
    encapsulation: Literal["auto", "nat", "forced"] = Field(default="auto", description="when ESP travels in UDP")
    liveness: float = Field(default=30.0, ge=0, le=86400, description="seconds of silence before asking; 0 for never")
    mobike: bool = Field(default=True, description="whether either end may change its addresses (MOBIKE)")
    nat_keepalive: float = Field(
        default=20.0, ge=0, le=3600, description="seconds between signs to a NAT before us; 0 for never"
    )
    rekey_time: Seconds = Field(default=14400.0, description="seconds after which the IKE SA is replaced; 0 for never")
    reauth: Seconds = Field(default=0.0, description="seconds after which the peers authenticate anew; 0 for never")
    fragmentation: Literal["auto", "off"] = Field(
        default="auto", description="whether long IKE messages are sent in several datagrams, where the peer takes them"
    )
    fragment_size: int = Field(
        default=1280, ge=LEAST_SIZE, le=9000, description="octets of an IP datagram with a part of a long IKE message"
    )
    interface: str | None = Field(
        default=None,
        max_length=15,
        pattern=INTERFACE,
        description="a TUN interface of its own; the daemon's when left out",
    )
    routes: bool | None = Field(
        default=None,
        description="whether the remote networks are routed into it; not into one of its own when left out",
    )
    virtual_ip: Texts = Field(default=[], description='internal addresses to ask the peer for: "any", "0.0.0.0", "::"')
    dns: Literal["system", "off"] = Field(
        default="system", description="what becomes of DNS servers that come with them"
    )
    pool: Texts = Field(default=[], description="names of the pools that peers get their internal addresses from")
    tell_version: bool = Field(default=False, description="whether peers that ask are told our version")
    allow_weak: bool = Field(default=False, description="take algorithms that RFC 8221 and RFC 8247 advise against")
    child: dict[str, ChildTable] = Field(min_length=1, description="what travels through the tunnel")


class RetransmissionTable(Table):
    """``[daemon.retransmission]``: when a request that nobody answers is sent again."""

    first: float = Field(default=1.0, ge=0.1, le=60, description="seconds until a request is sent again")
    factor: float = Field(default=1.8, ge=1, le=4, description="how many times as long each further pause is")
    attempts: int = Field(default=7, ge=1, le=20, description="transmissions in all, then the peer counts as gone")


class DaemonTable(Table):
    """``[daemon]``: what holds for all connections."""

    control: SocketPath = Field(
        default=Path("/run/caponier/control.sock"), strict=False, description="the control socket"
    )
    interface: str = Field(
        default="cap0",
        max_length=15,
        pattern=INTERFACE.replace("$", "(%d)?$"),
        description='the TUN interface\'s name: "cap0", or "cap%d" for the next free number',
    )
    mtu: int = Field(default=1400, ge=1280, le=9000, description="octets of the largest packet into the tunnel")
    port: int = Field(default=500, ge=1, le=65535, description="IKE's UDP port")
    nat_port: int = Field(default=4500, ge=1, le=65535, description="the UDP port of IKE and ESP behind NATs")
    table: int = Field(default=220, ge=1, le=2**31 - 1, description="the routing table for protected networks")
    mark: int = Field(default=0xCA90, ge=1, le=2**32 - 1, description="fwmark of packets that are protected already")
    workers: int | None = Field(
        default=None, ge=1, le=MOST_WORKERS, description="threads that carry packets; one for each core when left out"
    )
    retransmission: RetransmissionTable | None = Field(
        default=None, description="when a request that nobody answers is sent again"
    )
    resolver: Literal["auto", "resolved", "resolvconf", "file"] = Field(
        default="auto", description="how the system is told of DNS servers"
    )
    resolv_conf: Path = Field(
        default=Path("/etc/resolv.conf"), strict=False, description="the file of the resolver, where it is written"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="what is logged")


class PoolTable(Table):
    """``[pool.NAME]``: internal addresses for peers."""

    addresses: str = Field(description='a network or a range: "10.9.0.0/24", "fd00:9::10-fd00:9::ff"')
    dns: Texts = Field(default=[], description="DNS servers that peers are told of")
    nbns: Texts = Field(default=[], description="NetBIOS name servers (WINS) that peers are told of")
    subnets: Texts = Field(default=[], description="networks behind us that peers are told of")


class PolicyTable(Table):
    """``[[policy]]``: packets that no connection is asked about."""

    name: str = Field(description="what you call it")
    action: Literal["bypass", "discard"] = Field(description="what becomes of them: sent in clear, or dropped")
    local: Texts = Field(default=[], description="networks on our side; everything when left out")
    remote: Texts = Field(description='networks on the far side: "10.9.0.0/16", "0.0.0.0/0[udp/53]"')


class File(Table):
    """The whole file."""

    daemon: DaemonTable = Field(default_factory=DaemonTable)
    policy: list[PolicyTable] = Field(default=[])
    pool: dict[str, PoolTable] = Field(default_factory=dict)
    connection: dict[str, ConnectionTable] = Field(default_factory=dict)
