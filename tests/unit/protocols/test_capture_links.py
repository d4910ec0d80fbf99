"""Where in a frame the IP packet begins, by link type (the registry of libpcap; RFC 894, RFC 2464)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.protocols.captures.links import ip_start, is_understood
from tests.unit.protocols.samples import ESP, ethernet, ipv4, ipv6

V4, V6 = ipv4(ESP, b"payload"), ipv6(ESP, b"payload")
COOKED = bytes.fromhex("0000 0001 0006 020000000001 0000")
COOKED_2 = bytes.fromhex("0000 00000002 0001 00 06 020000000001 0000")

#: (link type, frame, what of it is the IP packet)
ROWS = {
    "Ethernet, IPv4": (1, ethernet(V4), V4),
    "Ethernet, IPv6": (1, ethernet(V6), V6),
    "a VLAN": (1, ethernet(V4, ["8100"]), V4),
    "a VLAN in a VLAN": (1, ethernet(V6, ["88a8", "8100"]), V6),
    "VLANs of old, and many": (1, ethernet(V6, ["9100"] * 5), V6),
    "Linux cooked, IPv4": (113, COOKED + bytes.fromhex("0800") + V4, V4),
    "Linux cooked, IPv6": (113, COOKED + bytes.fromhex("86dd") + V6, V6),
    "Linux cooked, a VLAN": (113, COOKED + bytes.fromhex("8100 0007 0800") + V4, V4),
    "Linux cooked 2, IPv4": (276, bytes.fromhex("0800") + COOKED_2 + V4, V4),
    "Linux cooked 2, IPv6": (276, bytes.fromhex("86dd") + COOKED_2 + V6, V6),
    "Linux cooked 2, a VLAN": (276, bytes.fromhex("8100") + COOKED_2 + bytes.fromhex("0007 86dd") + V6, V6),
    **{f"loopback of {order}, family {family}": (0, struct.pack(f"{order}I", family) + packet, packet)
       for order in "<>" for family, packet in ((2, V4), (10, V6), (24, V6), (28, V6), (30, V6))},
    "loopback of OpenBSD": (108, struct.pack(">I", 24) + V6, V6),
    **{f"raw IP as {link}": (link, V4, V4) for link in (12, 14, 101, 228)},
    "raw IPv6": (229, V6, V6),
}  # fmt: skip

#: Frames that are understood, and hold no IP packet.
NOTHING = {
    "ARP": (1, bytes(12) + bytes.fromhex("0806") + bytes(28)),
    "IEEE 802.3 with a length": (1, bytes(12) + bytes.fromhex("0026") + bytes(38)),
    "ARP in a VLAN": (1, bytes(12) + bytes.fromhex("8100 0007 0806") + bytes(28)),
    "only tags": (1, bytes(12) + bytes.fromhex("8100 8100") * 100),
    "nothing behind the EtherType": (1, bytes(12) + bytes.fromhex("0800")),
    "cooked ARP": (113, COOKED + bytes.fromhex("0806") + bytes(28)),
    "cooked ARP of version 2": (276, bytes.fromhex("0806") + COOKED_2 + bytes(28)),
    "an empty VLAN of version 2": (276, bytes.fromhex("8100") + COOKED_2),
    "loopback of another family": (0, struct.pack("<I", 7) + V4),
    "OpenBSD's of another order": (108, struct.pack("<I", 24) + V6),
    **{f"no octet, {link}": (link, b"") for link in (0, 1, 101, 108, 113, 276)},
}  # fmt: skip


@pytest.mark.parametrize(("link", "frame", "packet"), ROWS.values(), ids=ROWS)
def test_the_ip_packet_of_a_frame(link: int, frame: bytes, packet: bytes) -> None:
    start = ip_start(link, frame)
    assert start is not None
    assert frame[start:] == packet


@pytest.mark.parametrize(("link", "frame"), NOTHING.values(), ids=NOTHING)
def test_frames_without_one(link: int, frame: bytes) -> None:
    assert ip_start(link, frame) is None


def test_what_is_not_understood_is_known_not_to_be() -> None:
    """IEEE 802.11, USB, and a number that nobody has."""
    assert [link for link in (105, 220, 65535) if is_understood(link)] == []
    assert all(is_understood(link) for link, _, _ in ROWS.values())


@settings(deadline=None)
@given(st.sampled_from(sorted({row[0] for row in ROWS.values()})), st.binary(max_size=64))
def test_junk_begins_within_itself_or_nowhere(link: int, frame: bytes) -> None:
    start = ip_start(link, frame)
    assert start is None or 0 <= start < len(frame)
