"""Capture files of strangers: pcap and pcapng, link layers, IP, ESP in UDP, and what was inside (RFC 4303, RFC 3948)."""

from __future__ import annotations

import io
from functools import cache

from caponier.cli.esp_pages import Lines, summary
from caponier.cli.esp_schema import Packet, Summary
from caponier.protocols.captures.decode import VERDICTS, Decoder, Row
from caponier.protocols.captures.files import CaptureError, frames
from caponier.protocols.esp import OK, InboundSas, ManualSa, seal, sealer
from tests.unit.protocols.samples import (
    AH,
    ESP,
    RAW,
    UDP,
    enhanced,
    esp_header,
    ethernet,
    inner,
    interface,
    ipv4,
    ipv6,
    manual_sa,
    option,
    pcap,
    pcapng,
    section,
    udp,
)


@cache
def _sa() -> ManualSa:
    return manual_sa()


def seeds() -> dict[str, bytes]:
    end = sealer(_sa())
    one, two, three = (seal(end, inner(bytes(number))) for number in range(3))
    packets = [
        ipv4(ESP, one),
        ipv4(UDP, udp(two)),
        ipv4(UDP, udp(b"".join(seal(end, inner()) for _ in range(3)))),
        ipv6(ESP, three),
        ipv6(0, bytes((UDP, 0)) + bytes(6) + udp(one)),
        ipv4(AH, bytes.fromhex("32040000") + esp_header() + bytes(12)),
        ipv4(UDP, udp(b"\xff")),
        ipv4(UDP, udp(bytes(32))),
        ipv4(ESP, one, fragment=0x2000),
        ipv4(ESP, esp_header(0x1000) + bytes(20), options=bytes(4)),
    ]
    tagged = [ethernet(packet, ["8100"]) for packet in packets]
    cooked = [bytes(14) + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet for packet in packets]
    times = interface(options=option(9, b"\x09") + option(14, bytes(8)) + option(0, b""))
    return {
        "ethernet": pcap(map(ethernet, packets)),
        "raw-nanoseconds-other-order": pcap(packets, link=RAW, order=">", nanoseconds=True),
        "cut-short": pcap(tagged, cut=60),
        "cooked": pcapng(cooked, link=113),
        "other-order": pcapng(tagged, order=">"),
        "sections": section() + times + enhanced(tagged[0], 5) + section(">") + interface(order=">"),
        "empty": b"",
    }


def one(octets: bytes) -> None:
    """Rows and counts that can be shown, or a CaptureError with its place; each frame has a row or is passed."""
    decoder = Decoder(InboundSas([_sa()]))
    rows, failure = 0, None
    try:
        for row in decoder.rows(frames(io.BytesIO(octets).read)):
            rows += 1
            _check(row)
    except CaptureError as error:
        failure = error
    assert failure is None or (0 <= failure.offset <= len(octets) and str(failure).isprintable())
    assert rows + decoder.passed.total() >= decoder.frames  # more where frames are trains
    assert sum(tally.packets for tally in decoder.tallies) == rows
    Summary.model_validate_json(Summary.of(decoder).model_dump_json())
    assert summary(decoder).plain


def _check(row: Row) -> None:
    assert row.verdict == OK or row.verdict in VERDICTS
    assert bool(row.octets) == (row.verdict == OK)
    assert Lines(in_color=False).line(row).isprintable()
    Packet.model_validate_json(Packet.of(row).model_dump_json())
