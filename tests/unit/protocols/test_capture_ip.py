"""IP packets: what they carry, behind options and extension headers (RFC 791, RFC 8200)."""

from __future__ import annotations

import logging
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.errors import WireError
from caponier.protocols.captures.ip import decode_ip, read_ip
from tests.unit.protocols.samples import ESP, TCP, UDP, ipv4, ipv6, udp

logging.getLogger("scapy").setLevel(logging.ERROR)


def extension(next_header: int, units: int = 0) -> bytes:
    """An extension header of so many units of 8 octets more than one (RFC 8200 section 4.3)."""
    return bytes((next_header, units)) + bytes(6 + 8 * units)


def fragment_header(next_header: int, offset: int = 0, more: int = 0) -> bytes:
    """RFC 8200 section 4.5."""
    return struct.pack(">BBHI", next_header, 0, offset << 3 | more, 7)


def test_an_ipv4_packet() -> None:
    """RFC 791 section 3.1."""
    packet = decode_ip(ipv4(ESP, b"payload") + b"padding of the link")
    assert (packet.source, packet.destination) == (ip_address("192.0.2.1"), ip_address("192.0.2.2"))
    assert (packet.protocol, packet.payload, packet.length) == (ESP, b"payload", 27)
    assert (packet.missing, packet.is_fragment) == (0, False)


@pytest.mark.parametrize("options", [b"\x01\x01\x01\x00", b"\x94\x04\x00\x00", bytes(40)])
def test_ipv4_options_stand_between(options: bytes) -> None:
    """RFC 791 section 3.1: the header is as long as IHL says, up to 60 octets."""
    packet = decode_ip(ipv4(ESP, b"payload", options=options))
    assert (packet.protocol, packet.payload) == (ESP, b"payload")


@pytest.mark.parametrize(("field", "expected"), [(0, False), (0x4000, False), (0x2000, True), (1, True), (0x2001, True), (0x8000, False)])  # fmt: skip
def test_ipv4_fragments(field: int, expected: bool) -> None:  # noqa: FBT001
    """RFC 791 section 3.2: "more fragments" or an offset; "don't fragment" is none."""
    assert decode_ip(ipv4(UDP, udp(b"x"), fragment=field)).is_fragment is expected


CHAINS = {
    "none": b"",
    "hop-by-hop": extension(ESP),
    "routing": extension(ESP, 2),
    "destination options, the longest": extension(ESP, 255),
    "an atomic fragment": fragment_header(ESP),
}
FIRST = {"none": ESP, "hop-by-hop": 0, "routing": 43, "destination options, the longest": 60, "an atomic fragment": 44}


@pytest.mark.parametrize("name", CHAINS)
def test_ipv6_extension_headers_stand_between(name: str) -> None:
    """RFC 8200 section 4, and RFC 6946 for a fragment that is the whole."""
    packet = decode_ip(ipv6(FIRST[name], CHAINS[name] + b"payload"))
    assert (packet.protocol, packet.payload, packet.is_fragment) == (ESP, b"payload", False)
    assert packet.source == ip_address("2001:db8::1")
    assert packet.length == 40 + len(CHAINS[name]) + 7


def test_a_chain_of_ipv6_extension_headers() -> None:
    """RFC 8200 section 4.1: the order that it recommends, and mobility, HIP and Shim6 behind (RFC 6564)."""
    kinds = [0, 60, 43, 44, 60, 135, 139, 140]
    chain = b"".join(
        fragment_header(after) if kind == 44 else extension(after, kind % 3)
        for kind, after in zip(kinds, [*kinds[1:], ESP], strict=True)
    )
    packet = decode_ip(ipv6(0, chain + b"payload"))
    assert (packet.protocol, packet.payload) == (ESP, b"payload")


@pytest.mark.parametrize(("offset", "more"), [(0, 1), (1, 0), (100, 1)])
def test_ipv6_fragments(offset: int, more: int) -> None:
    """RFC 8200 section 4.5; what follows the header of a later one is in the middle of something."""
    packet = decode_ip(ipv6(0, extension(44) + fragment_header(60, offset, more) + b"\xff" * 20))
    assert packet.is_fragment
    assert packet.ports is None


@pytest.mark.parametrize("version", [4, 6])
def test_a_packet_that_was_captured_in_part(version: int) -> None:
    whole = ipv4(ESP, bytes(100)) if version == 4 else ipv6(ESP, bytes(100))
    packet = decode_ip(whole[:-30])
    assert (len(packet.payload), packet.missing, packet.length) == (70, 30, len(whole))


@pytest.mark.parametrize("version", [4, 6])
def test_a_length_of_zero_is_all_there_is(version: int) -> None:
    """So the packets of a machine look that leaves segmentation to its network card."""
    whole = ipv4(ESP, bytes(100), length=0) if version == 4 else ipv6(ESP, bytes(100), length=0)
    packet = decode_ip(whole)
    assert (len(packet.payload), packet.missing, packet.length) == (100, 0, len(whole))


def test_ports_are_read_where_there_are_any() -> None:
    ports = udp(b"", 1000, 2000)
    assert decode_ip(ipv4(UDP, ports)).ports == (1000, 2000)
    assert decode_ip(ipv6(TCP, ports)).ports == (1000, 2000)
    assert decode_ip(ipv4(ESP, ports)).ports is None
    assert decode_ip(ipv4(UDP, ports[:3])).ports is None
    assert decode_ip(ipv4(UDP, ports, fragment=0x2000)).ports is None


TEXTS = [
    (ipv4(TCP, udp(bytes(12), 40000, 443)), "192.0.2.1:40000 > 192.0.2.2:443 TCP, 40 octets"),
    (ipv6(UDP, udp(b"", 5, 53)), "[2001:db8::1]:5 > [2001:db8::2]:53 UDP, 48 octets"),
    (ipv4(1, b"\x08\x00" + bytes(6)), "192.0.2.1 > 192.0.2.2 ICMP echo request, 28 octets"),
    (ipv4(1, b"\x2a" + bytes(7)), "192.0.2.1 > 192.0.2.2 ICMP type 42, 28 octets"),
    (ipv6(58, b"\x81\x00" + bytes(6)), "2001:db8::1 > 2001:db8::2 ICMPv6 echo reply, 48 octets"),
    (ipv4(1, b""), "192.0.2.1 > 192.0.2.2 ICMP, 20 octets"),
    (ipv4(ESP, b"x"), "192.0.2.1 > 192.0.2.2 ESP, 21 octets"),
    (ipv4(253, b"x"), "192.0.2.1 > 192.0.2.2 protocol 253, 21 octets"),
    (ipv4(UDP, udp(b""), fragment=0x2000), "192.0.2.1 > 192.0.2.2 UDP fragment, 28 octets"),
]


@pytest.mark.parametrize(("octets", "text"), TEXTS, ids=[row[1] for row in TEXTS])
def test_in_words(octets: bytes, text: str) -> None:
    assert decode_ip(octets).text == text


NONE = {
    "nothing": b"",
    "version 5": b"\x55" + bytes(40),
    "half an IPv4 header": ipv4(ESP, b"")[:19],
    "an IPv4 header of 16 octets": b"\x44" + ipv4(ESP, b"")[1:],
    "an IPv4 header beyond the packet": b"\x4f" + ipv4(ESP, b"")[1:],
    "an IPv4 packet shorter than its header": ipv4(ESP, b"", options=bytes(8), length=27),
    "half an IPv6 header": ipv6(ESP, b"")[:39],
    "an extension header that is not there": ipv6(0, b""),
    "half an extension header": ipv6(60, extension(ESP)[:7]),
    "an extension header beyond the packet": ipv6(60, b"\x32\x01" + bytes(13)),
    "half a fragment header": ipv6(44, fragment_header(ESP)[:7]),
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_packet_is_refused(name: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_ip(NONE[name])
    assert caught.value.field
    assert read_ip(NONE[name]) is None


def test_a_chain_without_end_is_refused() -> None:
    """Each extension header takes 8 octets at least, so that the walk ends with the packet."""
    with pytest.raises(WireError):
        decode_ip(ipv6(0, extension(0) * 8000))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"", b"\x45", b"\x4f", b"\x60\x00\x00\x00\x00\x30\x00", b"\x60" + bytes(5) + b"\x2c"]),
    st.binary(max_size=200),
)
def test_junk_is_a_packet_or_a_wire_error(start: bytes, junk: bytes) -> None:
    packet = read_ip(start + junk)
    if packet is not None:
        assert len(packet.payload) + packet.missing <= packet.length
        assert packet.text


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 10), st.sampled_from([4, 6]))
def test_scapy_builds_it_and_we_read_it(payload: bytes, options: int, version: int) -> None:
    """A builder that we did not write; its options and extension headers."""
    from scapy.layers.inet import IP, IPOption_NOP
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, PadN
    from scapy.packet import Raw

    if version == 4:
        built = bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=ESP, options=[IPOption_NOP()] * options) / Raw(payload))
    else:
        header = IPv6ExtHdrDestOpt(nh=ESP, options=[PadN(optdata=bytes(options))])
        built = bytes(IPv6(src="fd00::1", dst="fd00::2") / header / Raw(payload))
    packet = decode_ip(built)
    assert (packet.protocol, packet.payload, packet.length) == (ESP, payload, len(built))
