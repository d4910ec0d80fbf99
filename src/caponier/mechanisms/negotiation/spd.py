"""The Security Policy Database, as the decisions of IKE use it (RFC 4301 section 4.4.1).

The packets' own SPD is the data plane's. Here is what has to be known before: which entry a packet or a peer's
selectors belong to, and whether the entries of a configuration get in each other's way. "The SPD is an ordered
database": where two entries overlap, the first one wins, so that an entry that lies wholly behind an earlier one is
a mistake, and one that overlaps is worth a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from caponier.mechanisms.negotiation.selectors import (
    IpAddress,
    TrafficSelector,
    contains,
    format_selector,
    intersection,
    is_subset,
)


class Action(Enum):
    """What becomes of a packet (RFC 4301 section 4.4.1)."""

    PROTECT = "protect"
    BYPASS = "bypass"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class SpdEntry:
    """A policy: a list of selectors for each side, paired at will.

    "IKEv2 treats these not as pairs, but as (unordered) sets of local and remote values that can be arbitrarily
    paired" (RFC 4301 section 4.4.1.2).

    Attributes:
        name: what the operator calls it; unique.
        local: selectors on our side.
        remote: selectors on the far side.
        action: what becomes of the packets.
    """

    name: str
    local: tuple[TrafficSelector, ...]
    remote: tuple[TrafficSelector, ...]
    action: Action = Action.PROTECT

    @property
    def text(self) -> str:
        local, remote = (", ".join(map(format_selector, side)) for side in (self.local, self.remote))
        return f"{self.name}: {local} === {remote}"


@dataclass(frozen=True, slots=True)
class PacketFields:
    """What of a packet selects its policy (RFC 4301 section 4.4.1.1), seen from us.

    Attributes:
        local: our side's address.
        remote: the far side's address.
        protocol: next layer protocol.
        local_port: host order; None where it cannot be seen (a fragment that is not the first): OPAQUE. Of an ICMP
            message type and code, the same on both sides (section 4.4.1.3).
        remote_port: the same for the far side.
    """

    local: IpAddress
    remote: IpAddress
    protocol: int
    local_port: int | None = None
    remote_port: int | None = None


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two entries that the same packet fits.

    Attributes:
        first: the one that wins.
        second: the one behind it.
        is_hidden: whether no packet ever comes to the second one.
    """

    first: SpdEntry
    second: SpdEntry
    is_hidden: bool


def lookup(entries: Iterable[SpdEntry], packet: PacketFields) -> SpdEntry | None:
    """The first entry that a packet fits; None means DISCARD (RFC 4301 section 5.1)."""
    local = _single(packet.local, packet.protocol, packet.local_port)
    remote = _single(packet.remote, packet.protocol, packet.remote_port)
    for entry in entries:
        if _has(entry.local, local) and _has(entry.remote, remote):
            return entry
    return None


def triggering_selectors(packet: PacketFields) -> tuple[TrafficSelector, TrafficSelector]:
    """The very specific first selectors of TSi and TSr when a packet asks for the SA (RFC 7296 section 2.9).

    Returns:
        The local one and the remote one.
    """
    return (
        _single(packet.local, packet.protocol, packet.local_port),
        _single(packet.remote, packet.protocol, packet.remote_port),
    )


def overlaps(entries: Sequence[SpdEntry]) -> tuple[Overlap, ...]:
    """All pairs of entries that get in each other's way, in their order."""
    found = (_overlap(first, second) for at, second in enumerate(entries) for first in entries[:at])
    return tuple(overlap for overlap in found if overlap is not None)


def _overlap(first: SpdEntry, second: SpdEntry) -> Overlap | None:
    if not (_meet(first.local, second.local) and _meet(first.remote, second.remote)):
        return None
    is_hidden = is_subset(second.local, first.local) and is_subset(second.remote, first.remote)
    return Overlap(first, second, is_hidden)


def _meet(one: Iterable[TrafficSelector], other: Sequence[TrafficSelector]) -> bool:
    return any(intersection(a, b) is not None for a in one for b in other)


def _single(address: IpAddress, protocol: int, port: int | None) -> TrafficSelector:
    start_port, end_port = (65_535, 0) if port is None else (port, port)
    return TrafficSelector(protocol, start_port, end_port, address, address)


def _has(selectors: Iterable[TrafficSelector], single: TrafficSelector) -> bool:
    return any(contains(selector, single) for selector in selectors)
