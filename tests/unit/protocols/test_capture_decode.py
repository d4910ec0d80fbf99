"""From frames to inner packets and counts (RFC 4303 section 3.4)."""

from __future__ import annotations

import io
from dataclasses import replace
from ipaddress import ip_address
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import ProtocolId
from caponier.protocols.captures.decode import CUT_SHORT, MAX_UNKNOWN, VERDICTS, Decoder, Row, Tally
from caponier.protocols.captures.files import Frame, frames
from caponier.protocols.captures.ipsec import Passed
from caponier.protocols.esp import OK, InboundSas, ManualSa, seal, sealer
from tests.plane.forms import GATEWAYS, HOSTS, Form, Peer, datagram
from tests.plane.suites import GCM as GCM_SUITE
from tests.plane.suites import Suite
from tests.unit.protocols.forms import CASES, manual
from tests.unit.protocols.samples import (
    AH,
    ESP,
    ETHERNET,
    GCM,
    RAW,
    SPI,
    UDP,
    esp_header,
    ethernet,
    inner,
    ipv4,
    ipv6,
    manual_sa,
    pcap,
    udp,
)


def decoder(*sas: ManualSa, window: int = 64) -> Decoder:
    return Decoder(InboundSas(sas or [manual_sa()], window))


def decoded(octets: list[bytes], by: Decoder, link: int = RAW) -> list[Row]:
    return list(by.rows(Frame(number, number, link, each, len(each)) for number, each in enumerate(octets, start=1)))


def sealed(count: int, sa: ManualSa | None = None, sequence: int = 1) -> list[bytes]:
    """So many ESP packets of consecutive numbers."""
    end = sealer(sa or manual_sa(), sequence)
    return [seal(end, inner(bytes(number))) for number in range(count)]


def tally(by: Decoder) -> Tally:
    return by.tallies[0]


def test_a_capture_of_a_tunnel() -> None:
    """Bare and in UDP, IPv4 and IPv6, through the file's format and the link layer."""
    packets = sealed(4)
    octets = pcap(
        [
            ethernet(ipv4(ESP, packets[0])),
            ethernet(ipv6(ESP, packets[1]), ["8100"]),
            ethernet(ipv4(UDP, udp(packets[2], 4500, 1025))),
            ethernet(ipv4(UDP, udp(b"\xff"))),
            ethernet(ipv6(UDP, udp(packets[3]))),
        ]
    )
    by = decoder()
    rows = list(by.rows(frames(io.BytesIO(octets).read)))
    assert [(row.frame, row.sequence, row.verdict) for row in rows] == [(1, 1, OK), (2, 2, OK), (3, 3, OK), (5, 4, OK)]
    assert [row.octets for row in rows] == [inner(bytes(number)) for number in range(4)]
    assert [row.outer.ends for row in rows] == [
        "192.0.2.1 > 192.0.2.2",
        "2001:db8::1 > 2001:db8::2",
        "192.0.2.1:4500 > 192.0.2.2:1025",
        "[2001:db8::1]:4500 > [2001:db8::2]:4500",
    ]
    assert rows[0].time == 1_700_000_000_000_000_000
    assert rows[2].inner is not None
    assert rows[2].inner.text == "10.1.0.2:40000 > 10.2.0.2:443 UDP, 30 octets"
    assert by.frames == 5
    assert by.passed == {Passed.NAT_KEEPALIVE: 1}
    counted = tally(by)
    assert (counted.packets, counted.verdicts, counted.missing) == (4, {OK: 4}, 0)
    assert counted.octets == sum(map(len, packets))
    assert counted.inner_octets == sum(len(row.octets) for row in rows)
    assert counted.ends == "192.0.2.1 > 192.0.2.2"


GAPS = [
    ([1, 2, 3], 0),
    ([1, 3], 1),
    ([3, 1], 1),
    ([3, 2, 1], 0),  # late, not missing
    ([1, 10], 8),
    ([5], 0),  # a capture begins somewhere
    ([5, 6, 9, 8], 1),
    ([1, 1, 3], 1),  # a replay fills no gap
    ([1, 3, 3, 3], 1),
    ([], 0),
]


@pytest.mark.parametrize(("sequences", "missing"), GAPS)
def test_gaps_in_the_sequence_numbers(sequences: list[int], missing: int) -> None:
    """RFC 4303 section 2.2: numbers are consecutive, so what is not there was lost, or was not captured."""
    packets = sealed(10)
    by = decoder()
    decoded([ipv4(ESP, packets[number - 1]) for number in sequences], by)
    assert tally(by).missing == missing


def test_a_forged_number_makes_no_gap() -> None:
    """RFC 4303 section 3.4.4: what the ICV does not prove is not believed."""
    one = sealed(1)[0]
    forged = esp_header(sequence=1_000_000) + one[8:]
    by = decoder()
    rows = decoded([ipv4(ESP, one), ipv4(ESP, forged), ipv4(ESP, one)], by)
    assert [row.verdict for row in rows] == [OK, "bad-icv", "replayed"]
    assert (tally(by).last, tally(by).missing) == (1, 0)
    assert tally(by).verdicts == {OK: 1, "bad-icv": 1, "replayed": 1}


def test_a_train_of_packets_is_opened_packet_by_packet() -> None:
    """As a gateway's own captures show them: UDP segmentation comes later."""
    packets = [seal(sealer(manual_sa(), number), inner(bytes(1000))) for number in range(1, 5)]
    by = decoder()
    rows = decoded([ipv4(UDP, udp(b"".join(packets))), ipv4(UDP, udp(packets[1]))], by)
    assert [(row.frame, row.sequence, row.verdict) for row in rows] == [
        (1, 1, OK),
        (1, 2, OK),
        (1, 3, OK),
        (1, 4, OK),
        (2, 2, "replayed"),
    ]
    assert by.frames == 2


@pytest.mark.parametrize(
    ("form", "suite"), CASES, ids=lambda value: value.name if isinstance(value, Form | Suite) else None
)
def test_every_protocol_and_mode(form: Form, suite: Suite) -> None:
    """RFC 4301 sections 3.2 and 4.1: what was inside, and in transport mode the packet as it was."""
    packet = datagram(form.inner, b"captured")
    octets = Peer(form, suite).seal(packet, 1)
    if form.is_bare:
        source, destination = GATEWAYS[form.outer]
        octets = (ipv4 if form.outer == 4 else ipv6)(ESP, octets, source=source, destination=destination)
    by = decoder(manual(form, suite))
    rows = decoded([octets, octets], by)
    assert [(row.verdict, row.octets) for row in rows] == [(OK, packet), ("replayed", b"")]
    assert (tally(by).packets, tally(by).inner_octets) == (2, len(packet))


@pytest.mark.parametrize("family", [4, 6])
def test_a_train_in_transport_mode(family: Literal[4, 6]) -> None:
    """RFC 3948 section 3.1.2: each packet of a train has had the header of the datagram."""
    form = Form("esp", "transport", family, family)
    packets = [datagram(family, bytes(1000) + bytes([number])) for number in range(4)]
    peer, start = Peer(form, GCM_SUITE), 20 if family == 4 else 40
    sealed = [peer.seal(packet, number)[start:] for number, packet in enumerate(packets, 1)]
    source, destination = HOSTS[family]
    around = (ipv4 if family == 4 else ipv6)(UDP, udp(b"".join(sealed)), source=source, destination=destination)
    rows = decoded([around], decoder(manual(form, GCM_SUITE)))
    assert [row.verdict for row in rows] == [OK] * 4
    assert [row.octets[-1] for row in rows] == [0, 1, 2, 3]
    assert [len(row.octets) for row in rows] == [len(packets[0])] * 4


def test_a_packet_that_was_not_captured_whole_is_not_called_forged() -> None:
    packet = ipv4(ESP, sealed(1)[0])
    by = decoder()
    (row,) = decoded([packet[:-1]], by)
    assert (row.verdict, row.octets, row.sequence) == (CUT_SHORT, b"", 1)
    assert row.inner is None
    assert tally(by).octets == len(packet) - 20
    assert "snap length" in VERDICTS[CUT_SHORT]


def test_one_of_which_not_even_the_number_was_captured_is_malformed() -> None:
    by = decoder()
    assert decoded([ipv4(ESP, sealed(1)[0])[:27], ipv4(AH, bytes(30))[:31]], by) == []
    assert by.passed == {Passed.MALFORMED: 2}


def test_spis_without_keys_are_counted_one_by_one() -> None:
    """RFC 4301 section 4.1: an SPI is the receiver's, so two receivers may have the same one."""
    packets = [
        ipv4(ESP, esp_header(0x1000, 7) + bytes(40)),
        ipv4(ESP, esp_header(0x1000, 9) + bytes(40)),
        ipv4(ESP, esp_header(0x1000, 1) + bytes(40), destination="192.0.2.3"),
        ipv4(AH, bytes.fromhex("32040000 00001000 00000005") + bytes(12)),
    ]
    by = decoder()
    rows = decoded(packets, by)
    assert {row.verdict for row in rows} == {"unknown-spi"}
    assert [row.sequence for row in rows] == [7, 9, 1, 5]
    _, *unknown = by.tallies
    assert [(each.protocol, each.spi, each.sa) for each in unknown] == [
        (ProtocolId.ESP, 0x1000, None),
        (ProtocolId.ESP, 0x1000, None),
        (ProtocolId.AH, 0x1000, None),
    ]
    assert [(each.packets, each.missing) for each in unknown] == [(2, 1), (1, 0), (1, 0)]


def test_the_number_of_unknown_spis_is_bounded() -> None:
    """A stranger can send any number of them; the memory for them does not grow with it."""
    by = decoder()
    total = MAX_UNKNOWN + 500
    decoded([ipv4(ESP, esp_header(0x10000 + number) + bytes(20)) for number in range(total)], by)
    assert len(by.tallies) == 1 + MAX_UNKNOWN + 1
    others = by.tallies[-1]
    assert (others.spi, others.packets, others.missing) == (None, 500, 0)
    decoded([ipv4(ESP, esp_header(0x10000) + bytes(20))], by)
    assert (by.tallies[1].packets, others.packets) == (2, 500)


def test_the_destination_tells_two_sas_of_one_spi_apart() -> None:
    """RFC 4301 section 4.1: two peers may choose the same SPI, each for what it receives."""
    there = manual_sa(destination=ip_address("192.0.2.2"))
    back = manual_sa(start=1, destination=ip_address("192.0.2.1"))
    by = decoder(there, back)
    rows = decoded(
        [
            ipv4(ESP, sealed(1, there)[0]),
            ipv4(ESP, sealed(1, back)[0], source="192.0.2.2", destination="192.0.2.1"),
            ipv4(ESP, sealed(1, there)[0], destination="192.0.2.3"),
        ],
        by,
    )
    assert [row.verdict for row in rows] == [OK, OK, "unknown-spi"]
    assert [each.packets for each in by.tallies] == [1, 1, 1]


def test_sas_that_were_not_seen_are_in_the_tallies() -> None:
    by = decoder(manual_sa(), manual_sa(GCM, 0x2000))
    decoded([], by)
    assert [(each.spi, each.packets, each.ends) for each in by.tallies] == [(SPI, 0, None), (0x2000, 0, None)]


@pytest.mark.parametrize(("window", "verdict"), [(32, "too-old"), (64, OK)])
def test_the_replay_window_is_the_one_that_was_asked_for(window: int, verdict: str) -> None:
    """RFC 4303 section 3.4.3."""
    packets = sealed(40)
    rows = decoded([ipv4(ESP, packets[39]), ipv4(ESP, packets[0])], decoder(window=window))
    assert rows[-1].verdict == verdict


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(max_size=80), max_size=4), st.sampled_from([RAW, ETHERNET, 113, 0, 7]), st.sampled_from([0, ESP])
)
def test_junk_is_counted(junk: list[bytes], link: int, protocol: int) -> None:
    """Every frame is a row or is passed, whatever it holds; none of these is a train."""
    octets = [ipv4(ESP, esp_header() + each) for each in junk] if protocol else junk
    by = decoder()
    rows = decoded(octets, by, link)
    assert len(rows) + by.passed.total() == by.frames == len(junk)
    assert sum(each.packets for each in by.tallies) == len(rows)
    assert all(row.verdict in VERDICTS for row in rows)


def test_an_sa_keeps_its_tally_wherever_its_packets_go() -> None:
    """Else one SPI and any number of destinations would fill the memory."""
    packets = sealed(20)
    by = decoder()
    decoded([ipv4(ESP, each, destination=f"192.0.2.{number}") for number, each in enumerate(packets, start=1)], by)
    assert len(by.tallies) == 1
    assert tally(by).packets == 20
    assert replace(tally(by)).ends == "192.0.2.1 > 192.0.2.1"
