"""From captured frames to what was inside of them, with the keys of their SAs (RFC 4303 section 3.4, RFC 4301 section 4.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from caponier.doi.ikev2 import ProtocolId
from caponier.errors import WireError
from caponier.octets import Reader
from caponier.protocols import esp
from caponier.protocols.captures.files import Frame
from caponier.protocols.captures.ip import IpAddress, IpPacket, read_ip
from caponier.protocols.captures.ipsec import UDP_PORTS, Passed, Protected, find_protected
from caponier.protocols.esp import AUTHENTIC, Header, InboundSas, ManualSa

MAX_UNKNOWN = 1000  #: SPIs without a key that are counted one by one; a stranger can send any number of them

CUT_SHORT = "cut-short"
UNKNOWN_SPI = "unknown-spi"

#: Every verdict on a captured packet: those of the data plane, and one more.
VERDICTS: Mapping[str, str] = MappingProxyType(
    {**esp.VERDICTS, CUT_SHORT: "not all of it was captured: capture again with a longer snap length (tcpdump -s 0)"}
)


@dataclass(frozen=True, slots=True)
class Row:
    """One ESP or AH packet of a capture.

    Attributes:
        frame: the number of its frame, counted from 1.
        time: nanoseconds since 1970, UTC; None where the capture does not say.
        outer: the packet as it was captured.
        spi: host order.
        sequence: the lower 32 bits of its sequence number.
        verdict: OK, or a key of :data:`VERDICTS`.
        octets: the inner packet, in transport mode the packet as it was; empty unless the verdict is OK.
    """

    frame: int
    time: int | None
    outer: Protected
    spi: int
    sequence: int
    verdict: str
    octets: bytes

    @property
    def inner(self) -> IpPacket | None:
        """The inner packet; None where there is none."""
        return read_ip(self.octets)


@dataclass(slots=True)
class Tally:
    """What a capture holds of one SPI.

    Attributes:
        protocol: ESP or AH.
        spi: None for all that are too many to be counted one by one.
        sa: the SA that the keys are of; None without keys.
        ends: from where to where its first packet went; None before that.
        packets: captured.
        octets: of ESP or AH.
        inner_octets: of what was opened.
        verdicts: how many packets had each.
        first: the lowest sequence number that counts.
        last: the highest.
        counted: packets whose sequence number counts.
    """

    protocol: ProtocolId
    spi: int | None
    sa: ManualSa | None
    ends: str | None = None
    packets: int = 0
    octets: int = 0
    inner_octets: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None
    counted: int = 0

    @property
    def missing(self) -> int:
        """Sequence numbers between the first and the last that no packet has; late ones are not missing.

        Of an SPI without keys at least so many: what came twice cannot be told.
        """
        if self.first is None or self.last is None:
            return 0
        return max(0, self.last - self.first + 1 - self.counted)

    def add(self, row: Row) -> None:
        """Count a packet."""
        self.ends = self.ends or row.outer.ends
        self.packets += 1
        self.octets += len(row.outer.octets) + row.outer.missing
        self.inner_octets += len(row.octets)
        self.verdicts[row.verdict] += 1
        # Where nothing proves a number, it is believed; where something disproves it, it is not.
        if self.spi is not None and (row.verdict in AUTHENTIC or row.verdict in (CUT_SHORT, UNKNOWN_SPI)):
            self.first = row.sequence if self.first is None else min(self.first, row.sequence)
            self.last = row.sequence if self.last is None else max(self.last, row.sequence)
            self.counted += 1


class Decoder:
    """Opens what it has keys for, and counts; its memory does not grow with the capture.

    Args:
        sas: with their keys.
        udp_ports: of ESP in UDP.
    """

    def __init__(self, sas: InboundSas, udp_ports: frozenset[int] = UDP_PORTS) -> None:
        self._sas = sas
        self._udp_ports = udp_ports
        self._known = {sa: Tally(sa.suite.protocol, sa.spi, sa) for sa in sas}
        self._unknown: dict[tuple[ProtocolId, int, IpAddress], Tally] = {}
        self._others: dict[ProtocolId, Tally] = {}
        self.passed: Counter[Passed] = Counter()
        self.frames = 0

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """Of the SAs in the order of their keys, then of the SPIs without keys in the order of their first packets."""
        return (*self._known.values(), *self._unknown.values(), *self._others.values())

    def rows(self, frames: Iterable[Frame]) -> Iterator[Row]:
        """A row for each ESP and AH packet; what else there is is counted in ``passed``."""
        for frame in frames:
            self.frames += 1
            found = find_protected(frame, self._udp_ports)
            if isinstance(found, Passed):
                self.passed[found] += 1
                continue
            for outer in found:
                row = self._row(frame, outer)
                if row is None:
                    self.passed[Passed.MALFORMED] += 1
                else:
                    yield row

    def _row(self, frame: Frame, outer: Protected) -> Row | None:
        """None where not even its header is there."""
        try:
            header = Header.of(outer.protocol, Reader(outer.octets, f"{outer.protocol.name} packet"))
        except WireError:
            return None
        sa = self._sas.find(outer.protocol, header.spi, outer.destination)
        verdict, octets = self._open(sa, outer)
        row = Row(frame.number, frame.time, outer, header.spi, header.sequence, verdict, octets)
        self._tally(sa, row).add(row)
        return row

    def _open(self, sa: ManualSa | None, outer: Protected) -> tuple[str, bytes]:
        if sa is None:
            return UNKNOWN_SPI, b""
        return (CUT_SHORT, b"") if outer.missing else self._sas.open(sa, outer.for_sa(sa))

    def _tally(self, sa: ManualSa | None, row: Row) -> Tally:
        if sa is not None:
            return self._known[sa]
        protocol = row.outer.protocol
        key = (protocol, row.spi, row.outer.destination)
        if key not in self._unknown and len(self._unknown) >= MAX_UNKNOWN:
            return self._others.setdefault(protocol, Tally(protocol, None, None))
        return self._unknown.setdefault(key, Tally(protocol, row.spi, None))
