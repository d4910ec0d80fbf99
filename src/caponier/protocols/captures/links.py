"""Link layers: where in a frame the IP packet begins.

Ethernet with IEEE 802.1Q and 802.1ad tags (IP over it: RFC 894, RFC 2464), Linux "cooked" captures, BSD loopback, and
frames that are IP packets themselves. Numbers are those of the registry of link types of libpcap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

RAW_IP = 101  #: the link type of frames that are IP packets

_IP = frozenset((bytes.fromhex("0800"), bytes.fromhex("86dd")))
_VLAN = frozenset(map(bytes.fromhex, ("8100", "88a8", "9100")))

#: AF_INET, and AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin.
_FAMILIES = frozenset((2, 10, 24, 28, 30))


def is_understood(link: int) -> bool:
    """Whether frames of this link type can be looked into."""
    return link in _STARTS


def ip_start(link: int, frame: bytes) -> int | None:
    """Where the IP packet begins, in octets; None where there is none.

    Args:
        link: the link type, one that is understood.
        frame: perhaps cut short.
    """
    start = _STARTS[link](frame)
    return start if start is not None and start < len(frame) else None


def _behind_ethertype(frame: bytes, at: int) -> int | None:
    """Behind the EtherType that stands at ``at``, and all VLAN tags."""
    while (ethertype := frame[at : at + 2]) in _VLAN:
        at += 4
    return at + 2 if ethertype in _IP else None


def _ethernet(frame: bytes) -> int | None:
    return _behind_ethertype(frame, 12)


def _linux_cooked(frame: bytes) -> int | None:
    """LINUX_SLL: type, address type, address length, address, protocol type."""
    return _behind_ethertype(frame, 14)


def _linux_cooked_2(frame: bytes) -> int | None:
    """LINUX_SLL2: the protocol type comes first, and behind the header the rest of the tags."""
    if frame[:2] in _VLAN:
        return _behind_ethertype(frame, 22)
    return 20 if frame[:2] in _IP else None


def _bsd_loopback(frame: bytes) -> int | None:
    """NULL: an address family in the order of the machine that captured it."""
    family = frame[:4]
    return 4 if {int.from_bytes(family, "big"), int.from_bytes(family, "little")} & _FAMILIES else None


def _openbsd_loopback(frame: bytes) -> int | None:
    """LOOP: the same in network order."""
    return 4 if int.from_bytes(frame[:4]) in _FAMILIES else None


def _raw(_: bytes) -> int:
    return 0


_STARTS: Mapping[int, Callable[[bytes], int | None]] = MappingProxyType(
    {
        0: _bsd_loopback,
        1: _ethernet,
        12: _raw,  # RAW, as some systems write it
        14: _raw,  # RAW on OpenBSD
        RAW_IP: _raw,
        108: _openbsd_loopback,
        113: _linux_cooked,
        228: _raw,  # IPV4
        229: _raw,  # IPV6
        276: _linux_cooked_2,
    }
)
