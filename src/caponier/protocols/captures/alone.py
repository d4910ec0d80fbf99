"""A packet of ESP (RFC 4303) or AH (RFC 4302) by itself, of which nothing is known but its octets."""

from __future__ import annotations

from dataclasses import dataclass

from caponier.doi.ikev2 import ProtocolId
from caponier.errors import WireError
from caponier.octets import Reader
from caponier.protocols.captures.ip import read_ip
from caponier.protocols.captures.ipsec import Protected, find_in_ip
from caponier.protocols.esp import Header, InboundSas, ManualSa


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of a packet by itself.

    Attributes:
        protocol: ESP or AH.
        header: None where not even that is there.
        verdict: OK, or a key of ``VERDICTS``.
        inner: the inner IP packet, in transport mode the packet as it was; empty unless the verdict is OK.
    """

    protocol: ProtocolId
    header: Header | None
    verdict: str
    inner: bytes


def open_alone(sas: InboundSas, octets: bytes) -> Opened:
    """Open an ESP packet from its SPI on, or an IP packet that holds ESP, bare or in UDP, or AH.

    What begins with the SPI of an SA of ESP in tunnel mode is the first; an SPI may look like the begin of an IP header.
    """
    bare = _header(ProtocolId.ESP, octets)
    sa = None if bare is None else sas.find(ProtocolId.ESP, bare.spi, None)
    if sa is None or not sa.is_bare:
        packet = read_ip(octets)
        found = None if packet is None or packet.missing else find_in_ip(packet)
        if isinstance(found, tuple):
            return _in_ip(sas, found[0])
    if bare is None:
        return Opened(ProtocolId.ESP, None, "truncated", b"")
    if sa is not None and not sa.is_bare:
        return Opened(ProtocolId.ESP, bare, "malformed", b"")  # there is no IP header, and it needs one
    return _opened(sas, ProtocolId.ESP, bare, sa, octets)


def _in_ip(sas: InboundSas, outer: Protected) -> Opened:
    header = _header(outer.protocol, outer.octets)
    if header is None:
        return Opened(outer.protocol, None, "truncated", b"")
    sa = sas.find(outer.protocol, header.spi, outer.destination)
    return _opened(sas, outer.protocol, header, sa, b"" if sa is None else outer.for_sa(sa))


def _header(protocol: ProtocolId, octets: bytes) -> Header | None:
    try:
        return Header.of(protocol, Reader(octets, f"{protocol.name} packet"))
    except WireError:
        return None


def _opened(sas: InboundSas, protocol: ProtocolId, header: Header, sa: ManualSa | None, octets: bytes) -> Opened:
    verdict, inner = ("unknown-spi", b"") if sa is None else sas.open(sa, octets)
    return Opened(protocol, header, verdict, inner)
