"""The path of a datagram: both ends' addresses and ports (RFC 7296 section 2.11)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Path:
    """Where a datagram goes between, seen from us.

    Attributes:
        local: our address.
        local_port: our UDP port, host order.
        remote: the peer's address.
        remote_port: the peer's UDP port, host order.
        encapsulated: whether this is the port on which ESP travels in UDP too (4500), so that IKE carries
            the non-ESP marker there (RFC 7296 section 3.1). The daemon adds and removes the marker; the
            core never sees it.
    """

    local: IPv4Address | IPv6Address
    local_port: int
    remote: IPv4Address | IPv6Address
    remote_port: int
    encapsulated: bool = False


@dataclass(frozen=True, slots=True)
class Datagram:
    """An IKE message that is ready to leave."""

    octets: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class NatKeepalive:
    """One octet that keeps a NAT's mapping alive (RFC 3948 sections 2.3 and 4).

    It leaves on the encapsulated port as it is: without the non-ESP marker.
    """

    octets: ClassVar[bytes] = b"\xff"
    path: Path
