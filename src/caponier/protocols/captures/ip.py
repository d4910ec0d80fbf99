"""IP packets as far as IPsec looks at them: addresses, what they carry, and its ports (RFC 791, RFC 8200)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from caponier.doi.esp_ah import IpProtocol
from caponier.errors import WireError

IpAddress = IPv4Address | IPv6Address

_IPV4_HEADER, _IPV6_HEADER = 20, 40
_PROTOCOL_AT, _NEXT_HEADER_AT = 9, 6  #: the fields that say what follows

#: Extension headers of IPv6 whose length is in units of 8 octets, without the first 8 (RFC 8200 section 4, RFC 6564).
_EXTENSIONS = frozenset(
    {
        IpProtocol.HOPOPT,
        IpProtocol.IPV6_ROUTE,
        IpProtocol.IPV6_OPTS,
        IpProtocol.MOBILITY_HEADER,
        IpProtocol.HIP,
        IpProtocol.SHIM6,
    }
)
_WITH_PORTS = frozenset({IpProtocol.TCP, IpProtocol.UDP, IpProtocol.DCCP, IpProtocol.SCTP, IpProtocol.UDPLITE})
_ICMP_TYPES = {
    (IpProtocol.ICMP, 0): "echo reply",
    (IpProtocol.ICMP, 3): "destination unreachable",
    (IpProtocol.ICMP, 8): "echo request",
    (IpProtocol.ICMP, 11): "time exceeded",
    (IpProtocol.IPV6_ICMP, 1): "destination unreachable",
    (IpProtocol.IPV6_ICMP, 2): "packet too big",
    (IpProtocol.IPV6_ICMP, 3): "time exceeded",
    (IpProtocol.IPV6_ICMP, 128): "echo request",
    (IpProtocol.IPV6_ICMP, 129): "echo reply",
}


@dataclass(frozen=True, slots=True)
class IpPacket:
    """An IP packet, perhaps captured in part.

    Attributes:
        source: its address.
        destination: its address.
        protocol: of the payload, behind all extension headers.
        headers: the IP header with its options or extension headers: what is in front of the payload.
        next_header_at: where in these the field is that names the protocol.
        payload: as much of it as is there.
        length: octets of the whole packet, as its header has it.
        missing: octets at its end that are not there.
        is_fragment: whether the payload is a part of one (RFC 791 section 3.2, RFC 8200 section 4.5).
    """

    source: IpAddress
    destination: IpAddress
    protocol: IpProtocol
    headers: bytes
    next_header_at: int
    payload: bytes
    length: int
    missing: int
    is_fragment: bool

    @property
    def ports(self) -> tuple[int, int] | None:
        """Source and destination port, where the payload begins with them."""
        if self.is_fragment or self.protocol not in _WITH_PORTS or len(self.payload) < 4:
            return None
        return int.from_bytes(self.payload[:2]), int.from_bytes(self.payload[2:4])

    @property
    def text(self) -> str:
        """In words: ``10.1.0.2:40000 > 10.2.0.2:443 TCP, 1400 octets``."""
        source, destination = self.ports or (None, None)
        ends = f"{format_end(self.source, source)} > {format_end(self.destination, destination)}"
        return f"{ends} {self.carried}, {self.length} octets"

    @property
    def carried(self) -> str:
        """What it carries: ``TCP``, ``ICMP echo request``, ``UDP fragment``, ``protocol 253``."""
        name = self.protocol.name.replace("IPV6_ICMP", "ICMPv6")
        if not self.protocol.is_known:
            name = f"protocol {self.protocol.value}"
        if self.is_fragment:
            return f"{name} fragment"
        if self.protocol in (IpProtocol.ICMP, IpProtocol.IPV6_ICMP) and self.payload:
            return f"{name} {_ICMP_TYPES.get((self.protocol, self.payload[0]), f'type {self.payload[0]}')}"
        return name


def format_end(address: IpAddress, port: int | None) -> str:
    """An address, or an address and a port: ``192.0.2.1:4500``, ``[2001:db8::1]:4500``."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def decode_ip(octets: bytes) -> IpPacket:
    """Read an IP packet; what stands behind it is ignored.

    A length of zero means all octets: so the packets of a machine look that leave their segmentation to its network card.

    Raises:
        WireError: no IP packet, or not even its header is there.
    """
    match octets[0] >> 4 if octets else 0:
        case 4:
            return _ipv4(octets)
        case 6:
            return _ipv6(octets)
        case _:
            raise WireError("IP packet: neither version 4 nor 6", field="version")


def read_ip(octets: bytes) -> IpPacket | None:
    """As :func:`decode_ip`; None for what is no IP packet."""
    try:
        return decode_ip(octets)
    except WireError:
        return None


def _ipv4(octets: bytes) -> IpPacket:
    """Read what RFC 791 section 3.1 draws.

    ::

        |Version|  IHL  |Type of Service|          Total Length         |
        |         Identification        |Flags|      Fragment Offset    |
        |  Time to Live |    Protocol   |         Header Checksum       |
        |                       Source Address                          |
        |                    Destination Address                        |
        |                    Options                    |    Padding    |
    """
    header = 4 * (octets[0] & 0x0F)
    total = int.from_bytes(octets[2:4]) or len(octets)
    if header < _IPV4_HEADER or len(octets) < header or total < header:
        raise WireError(f"IPv4 packet: {len(octets)} octets, a header of {header}, a length of {total}", field="IHL")
    return IpPacket(
        source=_ipv4_address(octets[12:16]),
        destination=_ipv4_address(octets[16:20]),
        protocol=IpProtocol(octets[_PROTOCOL_AT]),
        headers=octets[:header],
        next_header_at=_PROTOCOL_AT,
        payload=octets[header:total],
        length=total,
        missing=max(0, total - len(octets)),
        is_fragment=int.from_bytes(octets[6:8]) & 0x3FFF != 0,  # "more fragments", or an offset
    )


def _ipv6(octets: bytes) -> IpPacket:
    """Read what RFC 8200 section 3 draws.

    ::

        |Version| Traffic Class |           Flow Label                  |
        |         Payload Length        |  Next Header  |   Hop Limit   |
        |                        Source Address                         |
        |                      Destination Address                      |
    """
    if len(octets) < _IPV6_HEADER:
        raise WireError(f"IPv6 packet: {len(octets)} octets", field="header")
    payload_length = int.from_bytes(octets[4:6])
    total = _IPV6_HEADER + payload_length if payload_length else len(octets)
    protocol, start, named_at, is_fragment = _behind_extensions(octets[:total])
    return IpPacket(
        source=_ipv6_address(octets[8:24]),
        destination=_ipv6_address(octets[24:40]),
        protocol=IpProtocol(protocol),
        headers=octets[:start],
        next_header_at=named_at,
        payload=octets[start:total],
        length=total,
        missing=max(0, total - len(octets)),
        is_fragment=is_fragment,
    )


def _behind_extensions(octets: bytes) -> tuple[int, int, int, bool]:
    """What follows the extension headers, and where.

    Also where the field is that says so, and whether it is in fragments (RFC 8200 sections 4.1 and 4.5).
    """
    next_header, at, named_at = octets[_NEXT_HEADER_AT], _IPV6_HEADER, _NEXT_HEADER_AT
    while next_header in _EXTENSIONS or next_header == IpProtocol.IPV6_FRAG:
        if len(octets) < at + 8:
            raise WireError(f"IPv6 packet: extension header {next_header} is cut off", field="next header")
        is_fragment_header = next_header == IpProtocol.IPV6_FRAG
        next_header, at, named_at, header = octets[at], at + 8, at, octets[at : at + 8]
        if not is_fragment_header:
            at += 8 * header[1]
        elif int.from_bytes(header[2:4]) & 0xFFF9:  # an offset, or "more fragments"; without both it is whole, RFC 6946
            return next_header, at, named_at, True
    if at > len(octets):
        raise WireError("IPv6 packet: an extension header reaches beyond it", field="header extension length")
    return next_header, at, named_at, False


@lru_cache(maxsize=4096)
def _ipv4_address(octets: bytes) -> IPv4Address:
    return IPv4Address(octets)


@lru_cache(maxsize=4096)
def _ipv6_address(octets: bytes) -> IPv6Address:
    return IPv6Address(octets)
