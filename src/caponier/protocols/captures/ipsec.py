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
from caponier.protocols.esp import ManualSa

UDP_PORTS = frozenset({4500})  #: of ESP in UDP; with NAT it is one end's only (RFC 3948 section 2.1)
_IKE_PORT = 500  #: RFC 7296 section 2.23
_NON_ESP_MARKER = bytes(4)  #: RFC 3948 section 2.2
_NAT_KEEPALIVE = b"\xff"  #: RFC 3948 section 2.3
_UDP_HEADER = 8
_ESP_HEADER = 8
_IPV6_HEADER = 40
_PROTOCOLS = {ProtocolId.ESP: IpProtocol.ESP, ProtocolId.AH: IpProtocol.AH}

# A machine that leaves UDP segmentation to its network card (UDP_SEGMENT of Linux), or puts together what comes in
# (UDP_GRO), shows many packets of one length as one datagram.
_LONGEST_TRAIN = 128  #: packets; Linux makes none of more (UDP_MAX_SEGMENTS)
_LARGEST_STEP = 4096  #: between the sequence numbers of two packets that stand side by side


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
        around: the IP packet that it came in.
    """

    protocol: ProtocolId
    source: IpAddress
    destination: IpAddress
    ports: tuple[int, int] | None
    octets: bytes
    missing: int
    around: IpPacket

    def for_sa(self, sa: ManualSa) -> bytes:
        """What an SA opens: the packet alone, or an IP packet that holds it right behind the IP header.

        Without its UDP header it is what it would have been without encapsulation: the integrity check of ESP does not
        cover what is in front of it (RFC 3948 section 3.1.2).
        """
        if sa.is_bare:
            return self.octets
        headers = bytearray(self.around.headers)
        headers[self.around.next_header_at] = _PROTOCOLS[self.protocol]
        length = len(headers) + len(self.octets)
        if self.source.version == 4:
            headers[2:4] = length.to_bytes(2)
        else:
            headers[4:6] = (length - _IPV6_HEADER).to_bytes(2)
        return bytes(headers) + self.octets

    @property
    def ends(self) -> str:
        """From where to where: ``192.0.2.1:4500 > 192.0.2.2:4500``."""
        source, destination = self.ports or (None, None)
        return f"{format_end(self.source, source)} > {format_end(self.destination, destination)}"


Found = tuple[Protected, ...] | Passed  #: what a frame holds


def find_protected(frame: Frame, udp_ports: frozenset[int] = UDP_PORTS) -> Found:
    """The ESP or AH packet of a frame, several where it is a train of them, or what else it is."""
    if not is_understood(frame.link):
        return Passed.UNKNOWN_LINK
    start = ip_start(frame.link, frame.octets)
    if start is None:
        return Passed.OTHER
    try:
        return find_in_ip(decode_ip(frame.octets[start:]), udp_ports)
    except WireError:
        return Passed.MALFORMED


def find_in_ip(packet: IpPacket, udp_ports: frozenset[int] = UDP_PORTS) -> Found:
    """As :func:`find_protected`, in an IP packet."""
    if packet.is_fragment:
        return Passed.FRAGMENT
    match packet.protocol:
        case IpProtocol.ESP:
            return _protected(ProtocolId.ESP, packet, [packet.payload])
        case IpProtocol.AH:
            return _protected(ProtocolId.AH, packet, [packet.payload])
        case IpProtocol.UDP:
            return _in_udp(packet, udp_ports)
        case _:
            return Passed.OTHER


def _in_udp(packet: IpPacket, udp_ports: frozenset[int]) -> Found:
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
    return _protected(ProtocolId.ESP, packet, _parted(content), packet.ports)


def _parted(datagram: bytes) -> list[bytes]:
    """The ESP packets of a datagram: one, or a train of them."""
    size = _packet_length(datagram)
    return [datagram[at : at + size] for at in range(0, len(datagram), size)]


def _packet_length(datagram: bytes) -> int:
    """Octets of each packet of a train, but the last, which may be shorter; of the whole datagram where it is none.

    Packets have whole words of 4 octets (RFC 4303 section 2.4). In ciphertext, what looks like another header of the
    same SA at just the right places does not happen by chance.
    """
    least = max(_ESP_HEADER, len(datagram) // _LONGEST_TRAIN)
    at = datagram.find(datagram[:4], least)
    while at != -1:
        if at % 4 == 0 and _is_train(datagram, at):
            return at
        at = datagram.find(datagram[:4], at + 1)
    return max(1, len(datagram))


def _is_train(datagram: bytes, size: int) -> bool:
    """Whether a header of the same SA, with a number nearby, stands at every place where there should be one."""
    sequence = int.from_bytes(datagram[4:8])
    for at in range(size, len(datagram), size):
        header = datagram[at : at + _ESP_HEADER]
        step = int.from_bytes(header[4:]) - sequence
        if header[:4] != datagram[:4] or len(header) < _ESP_HEADER or not 0 < abs(step) <= _LARGEST_STEP:
            return False
        sequence += step
    return True


def _protected(
    protocol: ProtocolId, packet: IpPacket, parts: list[bytes], ports: tuple[int, int] | None = None
) -> Found:
    """An empty one is none. What was not captured is missing at the end of the last."""
    *whole, last = parts or [b""]
    if not last:
        return Passed.MALFORMED
    return (
        *(Protected(protocol, packet.source, packet.destination, ports, octets, 0, packet) for octets in whole),
        Protected(protocol, packet.source, packet.destination, ports, last, packet.missing, packet),
    )
