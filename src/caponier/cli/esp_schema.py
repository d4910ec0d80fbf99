"""What ``caponier esp`` says as JSON: one object on each line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from caponier.doi.ikev2 import ProtocolId
from caponier.protocols import esp
from caponier.protocols.captures import alone
from caponier.protocols.captures.decode import Decoder, Row, Tally
from caponier.protocols.captures.files import SECOND
from caponier.protocols.captures.ip import IpPacket, read_ip
from caponier.protocols.captures.ipsec import Passed

_YEAR_10000 = 253_402_300_800  #: seconds since 1970; what a calendar of four digits does not have


class Model(BaseModel):
    """A line, or a part of one."""

    model_config = ConfigDict(frozen=True)


class Inner(Model):
    """An inner packet."""

    source: str
    destination: str
    protocol: int
    protocol_name: str | None
    source_port: int | None
    destination_port: int | None
    octets: int

    @classmethod
    def of(cls, packet: IpPacket) -> Inner:
        source_port, destination_port = packet.ports or (None, None)
        return cls(
            source=str(packet.source),
            destination=str(packet.destination),
            protocol=packet.protocol,
            protocol_name=packet.protocol.name if packet.protocol.is_known else None,
            source_port=source_port,
            destination_port=destination_port,
            octets=packet.length,
        )


class Sealed(Model):
    """A line of ``caponier esp seal``."""

    protocol: str
    spi: int
    sequence: int
    packet: str


class Opened(Model):
    """A line of ``caponier esp open``."""

    protocol: str
    spi: int | None
    sequence: int | None
    verdict: str
    packet: str | None
    inner: Inner | None

    @classmethod
    def of(cls, opened: alone.Opened) -> Opened:
        packet = read_ip(opened.inner)
        return cls(
            protocol=protocol_name(opened.protocol),
            spi=None if opened.header is None else opened.header.spi,
            sequence=None if opened.header is None else opened.header.sequence,
            verdict=opened.verdict,
            packet=opened.inner.hex() or None,
            inner=None if packet is None else Inner.of(packet),
        )


class Packet(Model):
    """A line of ``caponier esp decode`` for a packet."""

    kind: Literal["packet"] = "packet"
    frame: int
    time: str | None
    source: str
    destination: str
    source_port: int | None
    destination_port: int | None
    protocol: str
    spi: int
    sequence: int
    octets: int
    verdict: str
    inner: Inner | None

    @classmethod
    def of(cls, row: Row) -> Packet:
        outer, inner = row.outer, row.inner
        source_port, destination_port = outer.ports or (None, None)
        return cls(
            frame=row.frame,
            time=_iso_time(row.time),
            source=str(outer.source),
            destination=str(outer.destination),
            source_port=source_port,
            destination_port=destination_port,
            protocol=protocol_name(outer.protocol),
            spi=row.spi,
            sequence=row.sequence,
            octets=len(outer.octets) + outer.missing,
            verdict=row.verdict,
            inner=None if inner is None else Inner.of(inner),
        )


class Spi(Model):
    """What a capture holds of one SPI."""

    protocol: str
    spi: int | None
    suite: str | None
    packets: int
    octets: int
    opened: int
    inner_octets: int
    first_sequence: int | None
    last_sequence: int | None
    missing: int
    verdicts: dict[str, int]

    @classmethod
    def of(cls, tally: Tally) -> Spi:
        return cls(
            protocol=protocol_name(tally.protocol),
            spi=tally.spi,
            suite=None if tally.sa is None else tally.sa.suite.text,
            packets=tally.packets,
            octets=tally.octets,
            opened=tally.verdicts[esp.OK],
            inner_octets=tally.inner_octets,
            first_sequence=tally.first,
            last_sequence=tally.last,
            missing=tally.missing,
            verdicts=dict(sorted(tally.verdicts.items())),
        )


class Summary(Model):
    """The last line of ``caponier esp decode``."""

    kind: Literal["summary"] = "summary"
    frames: int
    spis: list[Spi]
    passed: dict[str, int]

    @classmethod
    def of(cls, decoder: Decoder) -> Summary:
        return cls(
            frames=decoder.frames,
            spis=[Spi.of(tally) for tally in decoder.tallies],
            passed={kind.name.lower().replace("_", "-"): decoder.passed[kind] for kind in Passed},
        )


def protocol_name(protocol: ProtocolId) -> str:
    """``esp`` or ``ah``."""
    return protocol.name.lower()


def format_time(nanoseconds: int) -> str:
    """A time for people: microseconds, and nanoseconds where there are any; what no calendar has in seconds.

    Args:
        nanoseconds: since 1970.
    """
    seconds, rest = divmod(nanoseconds, SECOND)
    fraction = f"{rest:09}" if rest % 1000 else f"{rest // 1000:06}"
    if not 0 <= seconds < _YEAR_10000:
        return f"{seconds}.{fraction}"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{fraction}"


def _iso_time(nanoseconds: int | None) -> str | None:
    date, space, clock = ("", "", "") if nanoseconds is None else format_time(nanoseconds).partition(" ")
    return f"{date}T{clock}Z" if space else None
