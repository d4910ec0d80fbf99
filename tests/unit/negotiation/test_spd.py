"""The SPD as the decisions use it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from caponier.mechanisms.negotiation.selectors import contains, format_selector, parse_selector
from caponier.mechanisms.negotiation.spd import (
    Action,
    PacketFields,
    SpdEntry,
    lookup,
    overlaps,
    triggering_selectors,
)


def entry(name: str, local: str, remote: str, action: Action = Action.PROTECT) -> SpdEntry:
    ours, theirs = (tuple(map(parse_selector, side.split())) for side in (local, remote))
    return SpdEntry(name, ours, theirs, action)


LAN = entry("lan", "10.1.0.0/16", "10.2.0.0/16 10.3.0.0/16")
SSH = entry("ssh", "10.1.0.0/16[tcp/22]", "10.2.0.0/16[tcp]", Action.BYPASS)


@pytest.mark.parametrize(
    ("entries", "packet", "name"),
    [
        ((LAN,), PacketFields(IPv4Address("10.1.0.1"), IPv4Address("10.3.0.1"), 17, 1, 2), "lan"),
        ((LAN,), PacketFields(IPv4Address("10.1.0.1"), IPv4Address("10.4.0.1"), 17, 1, 2), None),
        ((LAN,), PacketFields(IPv4Address("10.2.0.1"), IPv4Address("10.1.0.1"), 17, 1, 2), None),
        ((LAN,), PacketFields(IPv6Address("::1"), IPv6Address("::2"), 17, 1, 2), None),
        ((SSH, LAN), PacketFields(IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1"), 6, 22, 40_000), "ssh"),
        ((SSH, LAN), PacketFields(IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1"), 6, 80, 40_000), "lan"),
        ((LAN, SSH), PacketFields(IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1"), 6, 22, 40_000), "lan"),
        ((SSH, LAN), PacketFields(IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1"), 6), "lan"),
    ],
)
def test_the_first_entry_that_fits_wins(entries: tuple[SpdEntry, ...], packet: PacketFields, name: str | None) -> None:
    """RFC 4301 section 4.4.1: "The SPD is an ordered database"; a fragment without ports fits only ANY and OPAQUE
    (section 4.4.1.1)."""
    found = lookup(entries, packet)
    assert (None if found is None else found.name) == name


def test_a_packet_names_the_first_selectors() -> None:
    """RFC 7296 section 2.9: "a very specific Traffic Selector including the addresses in the packet"."""
    packet = PacketFields(IPv4Address("198.51.100.43"), IPv4Address("192.0.2.9"), 17, 4000, 53)
    local, remote = triggering_selectors(packet)
    assert (format_selector(local), format_selector(remote)) == ("198.51.100.43[udp/4000]", "192.0.2.9[udp/53]")
    fragment = triggering_selectors(PacketFields(packet.local, packet.remote, 17))
    assert [format_selector(side) for side in fragment] == ["198.51.100.43[udp/opaque]", "192.0.2.9[udp/opaque]"]
    assert contains(parse_selector("198.51.100.0/24"), fragment[0])


def test_overlaps_are_found() -> None:
    """RFC 4301 section 4.4.1: of two entries that overlap the first wins; what lies wholly behind it never does."""
    wide = entry("wide", "10.0.0.0/8", "10.0.0.0/8")
    other = entry("other", "10.1.0.0/16", "192.0.2.0/24")
    assert overlaps((LAN, other)) == ()
    (found,) = overlaps((LAN, wide))
    assert (found.first, found.second, found.is_hidden) == (LAN, wide, False)
    (found,) = overlaps((wide, LAN))
    assert (found.first, found.second, found.is_hidden) == (wide, LAN, True)
    assert [(pair.first.name, pair.second.name) for pair in overlaps((SSH, LAN, wide))] == [
        ("ssh", "lan"),
        ("ssh", "wide"),
        ("lan", "wide"),
    ]


def test_entries_that_hide_one_together() -> None:
    """One entry with several selectors can hide another one that none of them has alone."""
    halves = entry("halves", "10.1.0.0/17 10.1.128.0/17", "0.0.0.0/0")
    (found,) = overlaps((halves, LAN))
    assert found.is_hidden


def test_text() -> None:
    assert LAN.text == "lan: 10.1.0.0/16 === 10.2.0.0/16, 10.3.0.0/16"
