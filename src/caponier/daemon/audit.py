"""Auditable events (RFC 4303 section 4, RFC 4302 section 4): packets that an SA dropped, in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from caponier.daemon.engines.base import Direction, PacketDropped

#: What the names of the drop counters mean.
_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "bad-icv": "its integrity check failed",
        "replayed": "it came before",
        "too-old": "it is older than the replay window",
        "no-sa": "no SA is there for it",
        "no-policy": "no policy names it",
        "discard-policy": "a policy discards it",
        "unknown-spi": "no SA has this SPI",
        "selector-mismatch": "what was in it does not fit the SA's selectors",
        "sequence-exhausted": "the sequence numbers are used up",
        "expired": "the SA's lifetime is over",
        "truncated": "it is too short",
        "malformed": "it is malformed",
        "malformed-inner": "what was in it is no IP packet",
        "bad-padding": "its padding is wrong",
        "bad-next-header": "what was in it is of a protocol that the mode does not carry",
        "wrong-encapsulation": "it did not come as the SA's packets do, in UDP or without",
        "fragment": "it is a fragment",
        "fragment-overlap": "it is a fragment that would write over the header of another",
        "not-plain": "it has IP options or extension headers, which its outer header would lose",
        "too-big": "it does not fit its way",
        "cipher-failed": "the cipher failed",
        "no-interface": "the interface that it belongs to is gone",
        "congestion": "it met congestion that its inner header cannot tell of",
    }
)


def audit_text(dropped: PacketDropped) -> str:
    """All that is known of what the RFCs want to be told: "the SPI value, date/time received, Source Address, Destination
    Address, Sequence Number"; the journal adds the time."""
    kind = "packet" if dropped.protocol is None else f"{dropped.protocol.name} packet"
    way = "from" if dropped.direction is Direction.IN else "to be sent from"
    parts = [kind if dropped.source is None else f"{kind} {way} {dropped.source} to {dropped.destination}"]
    if dropped.spi is not None:
        parts.append(f"SPI {dropped.spi:08x}")
    if dropped.sequence is not None:
        parts.append(f"sequence number {dropped.sequence}")
    if dropped.inner is not None:
        parts.append(f"in it a packet from {dropped.inner[0]} to {dropped.inner[1]}")
    return f"{', '.join(parts)}: {_REASONS.get(dropped.reason, dropped.reason)} ({dropped.reason})"
