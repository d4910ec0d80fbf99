"""The ESP and AH packets in captured frames (RFC 4303, RFC 4302), bare or in UDP (RFC 3948)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from caponier.doi.esp_ah import IpProtocol
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import WireError
from caponier.protocols.captures.files import Frame
from caponier.protocols.captures.ip import IpAddress, IpPacket, decode_ip, format_end
from caponier.protocols.captures.links import ip_start, is_understood

UDP_PORTS = frozenset({4500})  #: of ESP in UDP; with NAT it is one end's only (RFC 3948 section 2.1)
_IKE_PORT = 500  #: RFC 7296 section 2.23
_NON_ESP_MARKER = bytes(4)  #: RFC 3948 section 2.2
_NAT_KEEPALIVE = b"\xff"  #: RFC 3948 section 2.3
_UDP_HEADER = 8


class Passed(Enum):
    """What a frame is that holds neither ESP nor AH."""

    IKE = "IKE"
    NAT_KEEPALIVE = "NAT keepalive"
    FRAGMENT = "in fragments (not reassembled)"
    MALFORMED = "malformed or cut short"
    UNKNOWN_LINK = "of a link type that is not understood"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Protected:
    """An ESP or AH packet as it was captured.

    Attributes:
        protocol: ESP or AH.
        source: its outer address.
        destination: its outer address.
        ports: UDP source and destination port; None where it travels right behind IP.
        octets: of the packet, from the ESP or AH header on.
        missing: octets at its end that were not captured.
    """

    protocol: ProtocolId
    source: IpAddress
    destination: IpAddress
    ports: tuple[int, int] | None
    octets: bytes
    missing: int

    @property
    def ends(self) -> str:
        """From where to where: ``192.0.2.1:4500 > 192.0.2.2:4500``."""
        source, destination = self.ports or (None, None)
        return f"{format_end(self.source, source)} > {format_end(self.destination, destination)}"


def find_protected(frame: Frame, udp_ports: frozenset[int] = UDP_PORTS) -> Protected | Passed:
    """The ESP or AH packet of a frame, or what else it is."""
    if not is_understood(frame.link):
        return Passed.UNKNOWN_LINK
    start = ip_start(frame.link, frame.octets)
    if start is None:
        return Passed.OTHER
    try:
        return _in_ip(decode_ip(frame.octets[start:]), udp_ports)
    except WireError:
        return Passed.MALFORMED


def _in_ip(packet: IpPacket, udp_ports: frozenset[int]) -> Protected | Passed:
    if packet.is_fragment:
        return Passed.FRAGMENT
    match packet.protocol:
        case IpProtocol.ESP:
            return _protected(ProtocolId.ESP, packet, None, packet.payload)
        case IpProtocol.AH:
            return _protected(ProtocolId.AH, packet, None, packet.payload)
        case IpProtocol.UDP:
            return _in_udp(packet, udp_ports)
        case _:
            return Passed.OTHER


def _in_udp(packet: IpPacket, udp_ports: frozenset[int]) -> Protected | Passed:
    """ESP in UDP, told from IKE and keepalives (RFC 3948 sections 2.1 to 2.3)."""
    if packet.ports is None or len(packet.payload) < _UDP_HEADER:
        return Passed.MALFORMED
    if udp_ports.isdisjoint(packet.ports):
        return Passed.IKE if _IKE_PORT in packet.ports else Passed.OTHER
    length = int.from_bytes(packet.payload[4:6]) or len(packet.payload)
    if not _UDP_HEADER <= length <= len(packet.payload) + packet.missing:
        return Passed.MALFORMED
    content = packet.payload[_UDP_HEADER:length]
    if content == _NAT_KEEPALIVE:
        return Passed.NAT_KEEPALIVE
    if content[:4] == _NON_ESP_MARKER:
        return Passed.IKE
    return _protected(ProtocolId.ESP, packet, packet.ports, content)


def _protected(
    protocol: ProtocolId, packet: IpPacket, ports: tuple[int, int] | None, octets: bytes
) -> Protected | Passed:
    """An empty one is none."""
    if not octets:
        return Passed.MALFORMED
    return Protected(protocol, packet.source, packet.destination, ports, octets, packet.missing)
