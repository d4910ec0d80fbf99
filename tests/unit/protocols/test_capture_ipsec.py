"""The ESP and AH packets of frames, and what else there is (RFC 4303, RFC 4302, RFC 3948)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import ProtocolId
from caponier.protocols.captures.files import Frame
from caponier.protocols.captures.ipsec import Passed, Protected, find_protected
from tests.unit.protocols.samples import AH, ESP, ETHERNET, RAW, SPI, TCP, UDP, esp_header, ethernet, ipv4, ipv6, udp

PACKET = esp_header() + b"sealed"


def frame(octets: bytes, link: int = RAW, length: int | None = None) -> Frame:
    return Frame(1, 0, link, octets, len(octets) if length is None else length)


def found(octets: bytes, link: int = RAW, ports: frozenset[int] = frozenset({4500})) -> Protected:
    result = find_protected(frame(octets, link), ports)
    assert not isinstance(result, Passed)
    (only,) = result
    return only


@pytest.mark.parametrize("packet", [ipv4(ESP, PACKET), ipv6(ESP, PACKET)])
def test_esp_right_behind_ip(packet: bytes) -> None:
    """RFC 4303 section 2: IP protocol 50."""
    esp = found(packet)
    assert (esp.protocol, esp.octets, esp.ports, esp.missing) == (ProtocolId.ESP, PACKET, None, 0)
    assert esp.ends == ("192.0.2.1 > 192.0.2.2" if packet[0] == 0x45 else "2001:db8::1 > 2001:db8::2")


def test_ah_right_behind_ip() -> None:
    """RFC 4302 section 2: IP protocol 51."""
    assert found(ipv4(AH, b"\x32\x04" + bytes(22))).protocol == ProtocolId.AH


@pytest.mark.parametrize("ports", [(4500, 4500), (4500, 1025), (1025, 4500)])
def test_esp_in_udp(ports: tuple[int, int]) -> None:
    """RFC 3948 section 2.1: port 4500, at one end at least: a NAT changes the other."""
    esp = found(ipv4(UDP, udp(PACKET, *ports)))
    assert (esp.protocol, esp.octets, esp.ports) == (ProtocolId.ESP, PACKET, ports)
    assert esp.ends == f"192.0.2.1:{ports[0]} > 192.0.2.2:{ports[1]}"
    assert found(ipv6(UDP, udp(PACKET))).ends == "[2001:db8::1]:4500 > [2001:db8::2]:4500"


def test_esp_in_udp_on_another_port() -> None:
    packet = ipv4(UDP, udp(PACKET, 14500, 14501))
    assert find_protected(frame(packet)) is Passed.OTHER
    assert found(packet, ports=frozenset({14501})).octets == PACKET


def test_octets_behind_the_datagram_are_not_of_it() -> None:
    """RFC 768: Length counts; an Ethernet frame is padded to 60 octets."""
    assert found(ethernet(ipv4(UDP, udp(PACKET) + b"trailer")) + bytes(9), ETHERNET).octets == PACKET + b"trailer"[:0]


def test_a_udp_length_of_zero_is_all_there_is() -> None:
    """So the super-packets of a machine look that leaves segmentation to its network card."""
    assert found(ipv4(UDP, udp(PACKET, length=0))).octets == PACKET


PASSED = {
    "IKE on port 500": (ipv4(UDP, udp(bytes(28), 500, 500)), Passed.IKE),
    "IKE from port 500 behind a NAT": (ipv4(UDP, udp(bytes(28), 1025, 500)), Passed.IKE),
    "IKE behind its marker": (ipv4(UDP, udp(bytes(4) + b"IKE")), Passed.IKE),  # RFC 3948 section 2.2
    "a NAT keepalive": (ipv6(UDP, udp(b"\xff")), Passed.NAT_KEEPALIVE),  # RFC 3948 section 2.3
    "a fragment of ESP": (ipv4(ESP, PACKET, fragment=0x2000), Passed.FRAGMENT),
    "a later fragment of UDP": (ipv4(UDP, b"middle", fragment=7), Passed.FRAGMENT),
    "an empty ESP packet": (ipv4(ESP, b""), Passed.MALFORMED),
    "half a UDP header": (ipv4(UDP, udp(b"")[:6]), Passed.MALFORMED),
    "half a port": (ipv4(UDP, udp(b"")[:3]), Passed.MALFORMED),
    "an empty datagram": (ipv4(UDP, udp(b"")), Passed.MALFORMED),
    "a UDP length of 7": (ipv4(UDP, udp(PACKET, length=7)), Passed.MALFORMED),
    "a UDP length beyond the packet": (ipv4(UDP, udp(PACKET, length=100)), Passed.MALFORMED),
    "half an IP header": (ipv4(ESP, PACKET)[:10], Passed.MALFORMED),
    "TCP on port 4500": (ipv4(TCP, udp(PACKET)), Passed.OTHER),
    "DNS": (ipv4(UDP, udp(b"query", 1025, 53)), Passed.OTHER),
}


@pytest.mark.parametrize(("packet", "what"), PASSED.values(), ids=PASSED)
def test_what_is_neither_esp_nor_ah(packet: bytes, what: Passed) -> None:
    assert find_protected(frame(packet)) is what


def test_frames_of_other_links_and_without_ip() -> None:
    assert find_protected(frame(ipv4(ESP, PACKET), link=105)) is Passed.UNKNOWN_LINK
    assert find_protected(frame(bytes(12) + bytes.fromhex("0806") + bytes(28), link=ETHERNET)) is Passed.OTHER


@pytest.mark.parametrize("cut", [1, 5, 13])
def test_a_packet_that_was_captured_in_part_says_how_much_is_missing(cut: int) -> None:
    for packet in (ipv4(ESP, PACKET), ipv4(UDP, udp(PACKET)), ipv6(ESP, PACKET)):
        esp = found(packet[:-cut])
        assert (esp.octets, esp.missing) == (PACKET[:-cut], cut)


# -- trains: what a machine shows that leaves UDP segmentation to its network card


def train(sizes: list[int], steps: list[int] | None = None, spi: int = SPI) -> list[bytes]:
    """ESP packets of these lengths; ``steps`` between their numbers, 1 when left out."""
    sequence, packets = 0x01020304, []
    for size, step in zip(sizes, steps or [1] * len(sizes), strict=True):
        sequence += step
        packets.append(esp_header(spi, sequence) + random.Random(sequence).randbytes(size - 8))
    return packets


def parted(datagram: bytes, captured: int | None = None) -> list[tuple[bytes, int]]:
    packet = ipv4(UDP, udp(datagram))
    result = find_protected(frame(packet[:captured]))
    assert not isinstance(result, Passed)
    return [(each.octets, each.missing) for each in result]


TRAINS = {
    "two": ([100, 100], None),
    "the last one shorter": ([1400, 1400, 1400, 80], None),
    "as long as there are": ([500] * 128, None),
    "with losses": ([96] * 4, [1, 7, 4096, 2]),  # UDP_GRO puts together what came
    "out of order": ([96] * 4, [1, 2, -1, 2]),
}


@pytest.mark.parametrize(("sizes", "steps"), TRAINS.values(), ids=TRAINS)
def test_a_train_is_parted(sizes: list[int], steps: list[int] | None) -> None:
    """RFC 3948 knows one packet in a datagram; what is captured above segmentation holds many."""
    packets = train(sizes, steps)
    assert parted(b"".join(packets)) == [(packet, 0) for packet in packets]


def test_a_train_that_was_captured_in_part() -> None:
    packets = train([100, 100, 100])
    found = parted(b"".join(packets), 28 + 250)
    assert found == [(packets[0], 0), (packets[1], 0), (packets[2][:50], 50)]


NO_TRAINS = {
    "of two SAs": train([100]) + train([100], spi=0x1000),
    "the last one longer": train([96, 100]),
    "the same number twice": train([100, 100], [1, 0]),
    "numbers far apart": train([100, 100], [1, 4097]),
    "without whole words": train([98, 98]),
    "half a header at the end": [*train([100, 100]), esp_header()[:7]],
}


@pytest.mark.parametrize("packets", NO_TRAINS.values(), ids=NO_TRAINS)
def test_what_is_no_train_is_left_whole(packets: list[bytes]) -> None:
    datagram = b"".join(packets)
    assert parted(datagram) == [(datagram, 0)]


def test_only_udp_is_segmented_so() -> None:
    whole = b"".join(train([100, 100]))
    assert found(ipv4(ESP, whole)).octets == whole


@pytest.mark.parametrize("pattern", [b"\x01", SPI.to_bytes(4), esp_header(), esp_header() + esp_header(sequence=2)])
def test_looking_for_a_train_ends_soon(pattern: bytes) -> None:
    """Whatever stands there; each place is looked at a few times."""
    octets = (pattern * 65536)[:65000]
    found = parted(octets)
    assert b"".join(each for each, _ in found) == octets
    assert len(found) <= 129


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([RAW, ETHERNET, 0, 113, 276, 105]), st.sampled_from(sorted(PASSED)), st.binary(max_size=60))
def test_junk_is_something(link: int, name: str, junk: bytes) -> None:
    for octets in (junk, PASSED[name][0] + junk, PASSED[name][0][: len(junk)], ethernet(PASSED[name][0]) + junk):
        result = find_protected(frame(octets, link))
        assert isinstance(result, Passed) or all(each.octets for each in result)
