"""Traffic selectors and their narrowing (RFC 7296 sections 2.9 and 3.13).

A selector is a box of three ranges: addresses, protocols, ports. Ports have one more value than there are numbers:
OPAQUE, the port of a packet whose ports cannot be seen (RFC 4301 section 4.4.1.1). ANY holds it too ("ANY includes
OPAQUE", RFC 7296 section 3.13.1), so that here ports count from 0 to 65536 and OPAQUE is the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from types import MappingProxyType
from typing import NamedTuple

from caponier.doi.esp_ah import IpProtocol
from caponier.doi.ikev2 import TrafficSelectorType
from caponier.errors import ConfigError, TsUnacceptable

IpAddress = IPv4Address | IPv6Address

ANY_PROTOCOL = 0
ANY_PORTS = (0, 65_535)
OPAQUE_PORTS = (65_535, 0)  #: "MUST set the start port to 65535 and the end port to 0", section 3.13.1

_OPAQUE = 65_536
_MAX_SELECTORS = 255  #: what the one octet of "Number of TSs" can say, section 3.13
_MAX_COMPARISONS = 100_000  #: in one `is_subset`; ours, not the RFC's: lists of a peer's must not cost us more
_MAX_TEXT = 2000  #: characters of selectors in a message


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """A range of addresses, a protocol, a range of ports (RFC 7296 section 3.13.1).

    Attributes:
        protocol: IP protocol number; 0 for any.
        start_port: first port, host order (for ICMP: type and code in 16 bits). 0 to 65535 is any,
            65535 to 0 is OPAQUE.
        end_port: last port.
        start: first address; both addresses are of one family.
        end: last address.
    """

    protocol: int
    start_port: int
    end_port: int
    start: IpAddress
    end: IpAddress

    @property
    def type(self) -> TrafficSelectorType:
        if self.start.version == 4:
            return TrafficSelectorType.TS_IPV4_ADDR_RANGE
        return TrafficSelectorType.TS_IPV6_ADDR_RANGE

    @property
    def is_opaque(self) -> bool:
        """Whether it takes only packets whose ports cannot be seen."""
        return (self.start_port, self.end_port) == OPAQUE_PORTS


def narrow(offered: Sequence[TrafficSelector], configured: Sequence[TrafficSelector]) -> tuple[TrafficSelector, ...]:
    """What both sides want: the responder's answer to TSi or TSr (RFC 7296 section 2.9).

    It is all that ``offered`` and ``configured`` have in common, in the order of ``offered``. So it holds what is
    acceptable of the initiator's first choice, which the section demands, and where our policy allows all of it, it
    is all of it. A selector that lies in another one is left out.

    Raises:
        TsUnacceptable: nothing in common.
    """
    kept: list[_Box] = []
    for common in _intersections(offered, configured):
        if any(_common(other, common) == common for other in kept):
            continue
        kept = [other for other in kept if _common(other, common) != other]
        kept.append(common)
        if len(kept) == _MAX_SELECTORS:
            break  # a subset of what is acceptable is acceptable too
    if not kept:
        raise TsUnacceptable(
            "no traffic selectors in common",
            offered=_text(offered),
            accepted=_text(configured),
            hint="the local networks of one side must lie in the remote networks of the other",
        )
    return tuple(map(_selector, kept))


def contains(outer: TrafficSelector, inner: TrafficSelector) -> bool:
    """Whether every packet that fits ``inner`` fits ``outer``."""
    large, small = _box(outer), _box(inner)
    return _common(large, small) == small


def intersection(one: TrafficSelector, other: TrafficSelector) -> TrafficSelector | None:
    """What two selectors have in common; None if that is nothing."""
    common = _common(_box(one), _box(other))
    return None if common is None else _selector(common)


def is_subset(inner: Iterable[TrafficSelector], outer: Sequence[TrafficSelector]) -> bool:
    """Whether every packet that fits one of ``inner`` fits one of ``outer``.

    The selectors of ``outer`` may cover an inner one together: what one of them leaves is looked for in the others. An
    answer that would cost more than our bound of comparisons is False.
    """
    boxes = list(map(_box, outer))
    to_cover = [(_box(selector), boxes) for selector in inner]
    comparisons = 0
    while to_cover:
        piece, others = to_cover.pop()
        comparisons += len(others)
        near = [other for other in others if _common(piece, other) is not None]
        if not near or comparisons > _MAX_COMPARISONS:
            return False
        to_cover += [(left, near[1:]) for left in _cut_away(piece, near[0])]
    return True


def select_first(selectors: Iterable[TrafficSelector], address: IpAddress) -> TrafficSelector | None:
    """The first selector that has this address."""
    for selector in selectors:
        if selector.start.version == address.version and int(selector.start) <= int(address) <= int(selector.end):
            return selector
    return None


# -- spelling

#: Protocols by the names that people write. The name that we write stands first for each number.
PROTOCOLS: Mapping[str, int] = MappingProxyType(
    {
        "tcp": IpProtocol.TCP,
        "udp": IpProtocol.UDP,
        "icmp": IpProtocol.ICMP,
        "icmpv6": IpProtocol.IPV6_ICMP,
        "icmp6": IpProtocol.IPV6_ICMP,
        "ipv6-icmp": IpProtocol.IPV6_ICMP,
        "sctp": IpProtocol.SCTP,
        "dccp": IpProtocol.DCCP,
        "udplite": IpProtocol.UDPLITE,
        "gre": IpProtocol.GRE,
        "esp": IpProtocol.ESP,
        "ah": IpProtocol.AH,
        "ipip": IpProtocol.IPIP,
        "ipv6": IpProtocol.IPV6,
        "igmp": IpProtocol.IGMP,
        "ospf": IpProtocol.OSPF,
        "pim": IpProtocol.PIM,
        "vrrp": IpProtocol.VRRP,
        "l2tp": IpProtocol.L2TP,
        "etherip": IpProtocol.ETHERIP,
        "mh": IpProtocol.MOBILITY_HEADER,
    }
)
_PROTOCOL_NAMES = {int(number): name for name, number in reversed(list(PROTOCOLS.items()))}
_ICMP = (IpProtocol.ICMP, IpProtocol.IPV6_ICMP)

_SELECTOR = re.compile(r"(?P<addresses>[^\[\]]+?)\s*(?:\[(?P<protocol>[^/\[\]]*)(?:/(?P<ports>[^\[\]]*))?\])?")
_PORTS = re.compile(r"(?P<start>[0-9]{1,5})(?:-(?P<end>[0-9]{1,5}))?")
_ICMP_PORTS = re.compile(
    r"(?P<t1>[0-9]{1,3})(?:\((?P<c1>[0-9]{1,3})\))?(?:-(?P<t2>[0-9]{1,3})(?:\((?P<c2>[0-9]{1,3})\))?)?"
)


def parse_selector(text: str) -> TrafficSelector:
    """Read a selector: addresses, then a protocol and ports in brackets where not all are meant.

    ::

        10.1.0.0/16   10.1.0.5   10.1.0.1-10.1.0.9   2001:db8::/32
        10.1.0.0/16[tcp/443]   10.1.0.5[udp/1000-2000]   10.1.0.5[icmp/8]   10.1.0.5[icmp/3(4)]   10.1.0.5[tcp/opaque]

    Raises:
        ConfigError: with what cannot be read.
    """
    matched = _SELECTOR.fullmatch(text.strip())
    if matched is None:
        raise _refused(text, "it cannot be read", "write it like '10.1.0.0/16' or '10.1.0.0/16[tcp/443]'")
    start, end = _parse_addresses(matched["addresses"], text)
    if matched["protocol"] is None:
        return TrafficSelector(ANY_PROTOCOL, *ANY_PORTS, start, end)
    protocol = _parse_protocol(matched["protocol"], text)
    start_port, end_port = ANY_PORTS if matched["ports"] is None else _parse_ports(protocol, matched["ports"], text)
    return TrafficSelector(protocol, start_port, end_port, start, end)


def format_selector(selector: TrafficSelector) -> str:
    """Write a selector as :func:`parse_selector` reads it."""
    suffix = "" if selector.protocol == ANY_PROTOCOL else _PROTOCOL_NAMES.get(selector.protocol, str(selector.protocol))
    ports = _format_ports(selector)
    if ports:
        suffix = f"{suffix or 'any'}/{ports}"
    return _format_addresses(selector) + (f"[{suffix}]" if suffix else "")


def _parse_addresses(text: str, whole: str) -> tuple[IpAddress, IpAddress]:
    if "/" in text:
        return _parse_prefix(text, whole)
    first, dash, last = text.partition("-")
    start = _parse_address(first, whole)
    end = _parse_address(last, whole) if dash else start
    if start.version != end.version:
        raise _refused(whole, "a range cannot begin in one address family and end in another", None)
    if int(start) > int(end):
        raise _refused(whole, "the range ends before it starts", f"write it the other way round: '{end}-{start}'")
    return start, end


def _parse_prefix(text: str, whole: str) -> tuple[IpAddress, IpAddress]:
    address_text, _, length = text.partition("/")
    address = _parse_address(address_text, whole)
    if not re.fullmatch("[0-9]{1,3}", length.strip()) or int(length) > address.max_prefixlen:
        raise _refused(whole, f"{length!r} is no prefix length", f"0 to {address.max_prefixlen}")
    network = ip_network((address, int(length)), strict=False)
    if network.network_address != address:
        raise _refused(whole, f"{address} is not the first address of its network", f"did you mean '{network}'?")
    return network.network_address, network.broadcast_address


def _parse_address(text: str, whole: str) -> IpAddress:
    try:
        address = ip_address(text.strip())
    except ValueError:
        hint = "names are not looked up in traffic selectors"
        raise _refused(whole, f"{text.strip()!r} is no IP address", hint) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise _refused(whole, "an address in a traffic selector has no zone", f"write it without '%{address.scope_id}'")
    return address


def _parse_protocol(text: str, whole: str) -> int:
    word = text.strip().lower()
    if word in PROTOCOLS:
        return int(PROTOCOLS[word])
    if re.fullmatch("[0-9]{1,3}", word) and 1 <= int(word) <= 255:
        return int(word)
    close = get_close_matches(word, PROTOCOLS, n=1)
    raise _refused(whole, f"{word!r} is no protocol", f"did you mean {close[0]!r}?" if close else "a name or 1 to 255")


def _parse_ports(protocol: int, text: str, whole: str) -> tuple[int, int]:
    word = text.strip().lower()
    if word == "opaque":
        return OPAQUE_PORTS
    start, end = _parse_icmp(word, whole) if protocol in _ICMP else _parse_port_range(word, whole)
    if start > end:
        raise _refused(whole, "the range of ports ends before it starts", None)
    return start, end


def _parse_port_range(word: str, whole: str) -> tuple[int, int]:
    matched = _PORTS.fullmatch(word)
    if matched is None:
        raise _refused(whole, f"{word!r} is no port", "a number, or two with a hyphen: '1000-2000'")
    start, end = int(matched["start"]), int(matched["end"] or matched["start"])
    if max(start, end) > 65_535:
        raise _refused(whole, f"{word!r}: ports end at 65535", None)
    return start, end


def _parse_icmp(word: str, whole: str) -> tuple[int, int]:
    """Type and code as one number of 16 bits (RFC 7296 section 3.13.1, RFC 4301 section 4.4.1.3)."""
    matched = _ICMP_PORTS.fullmatch(word)
    if matched is None:
        raise _refused(whole, f"{word!r} is no ICMP type", "a type, '8', or a type with its code, '3(4)'")
    first, last = matched["t1"], matched["t2"]
    start_code, end_code = matched["c1"] or "0", (matched["c2"] if last else matched["c1"]) or "255"
    numbers = [int(number) for number in (first, start_code, last or first, end_code)]
    if max(numbers) > 255:
        raise _refused(whole, f"{word!r}: ICMP types and codes end at 255", None)
    return numbers[0] << 8 | numbers[1], numbers[2] << 8 | numbers[3]


def _format_addresses(selector: TrafficSelector) -> str:
    start, end = selector.start, selector.end
    if start == end:
        return str(start)
    size = int(end) - int(start) + 1
    if size & (size - 1) == 0 and int(start) % size == 0:
        return f"{start}/{start.max_prefixlen - size.bit_length() + 1}"
    return f"{start}-{end}"


def _format_ports(selector: TrafficSelector) -> str:
    start, end = selector.start_port, selector.end_port
    if (start, end) == ANY_PORTS:
        return ""
    if selector.is_opaque:
        return "opaque"
    if selector.protocol not in _ICMP:
        return str(start) if start == end else f"{start}-{end}"
    if start & 0xFF == 0 and end & 0xFF == 0xFF:
        return f"{start >> 8}" if start >> 8 == end >> 8 else f"{start >> 8}-{end >> 8}"
    first, last = f"{start >> 8}({start & 0xFF})", f"{end >> 8}({end & 0xFF})"
    return first if first == last else f"{first}-{last}"


def _refused(text: str, why: str, hint: str | None) -> ConfigError:
    return ConfigError(f"traffic selector {text.strip()[:_MAX_TEXT]!r}: {why}", hint=hint)


# -- boxes


class _Range(NamedTuple):
    """Whole numbers, both ends inclusive."""

    first: int
    last: int


class _Box(NamedTuple):
    version: int
    protocols: _Range
    ports: _Range
    addresses: _Range


_ALL_PROTOCOLS = _Range(1, 255)
_ALL_PORTS = _Range(0, _OPAQUE)


def _box(selector: TrafficSelector) -> _Box:
    protocol = selector.protocol
    return _Box(
        selector.start.version,
        _ALL_PROTOCOLS if protocol == ANY_PROTOCOL else _Range(protocol, protocol),
        _ports(selector.start_port, selector.end_port),
        _Range(int(selector.start), int(selector.end)),
    )


def _ports(start: int, end: int) -> _Range:
    if (start, end) == ANY_PORTS:
        return _ALL_PORTS
    if (start, end) == OPAQUE_PORTS:
        return _Range(_OPAQUE, _OPAQUE)
    return _Range(start, end)


def _selector(box: _Box) -> TrafficSelector:
    """Back again: a common part of two selectors is always one that a selector can say."""
    address = IPv4Address if box.version == 4 else IPv6Address
    start_port, end_port = box.ports
    if box.ports.last == _OPAQUE:
        start_port, end_port = ANY_PORTS if box.ports == _ALL_PORTS else OPAQUE_PORTS
    return TrafficSelector(
        ANY_PROTOCOL if box.protocols == _ALL_PROTOCOLS else box.protocols.first,
        start_port,
        end_port,
        address(box.addresses.first),
        address(box.addresses.last),
    )


def _common(one: _Box, other: _Box) -> _Box | None:
    if one.version != other.version:
        return None
    protocols = _overlap(one.protocols, other.protocols)
    ports = _overlap(one.ports, other.ports)
    addresses = _overlap(one.addresses, other.addresses)
    if protocols is None or ports is None or addresses is None:
        return None
    return _Box(one.version, protocols, ports, addresses)


def _overlap(one: _Range, other: _Range) -> _Range | None:
    first, last = max(one.first, other.first), min(one.last, other.last)
    return _Range(first, last) if first <= last else None


def _intersections(offered: Sequence[TrafficSelector], configured: Sequence[TrafficSelector]) -> Iterator[_Box]:
    boxes = [_box(selector) for selector in configured]
    for theirs in map(_box, offered):
        for ours in boxes:
            common = _common(theirs, ours)
            if common is not None:
                yield common


def _cut_away(box: _Box, other: _Box) -> Iterator[_Box]:
    """The pieces of ``box`` that are not in ``other``: at most two for each of the three ranges."""
    common = _common(box, other)
    if common is None:
        yield box
        return
    protocols, ports, addresses = common[1:]
    for outside in _outside(box.protocols, protocols):
        yield box._replace(protocols=outside)
    for outside in _outside(box.ports, ports):
        yield box._replace(protocols=protocols, ports=outside)
    for outside in _outside(box.addresses, addresses):
        yield common._replace(addresses=outside)


def _outside(whole: _Range, middle: _Range) -> Iterator[_Range]:
    if whole.first < middle.first:
        yield _Range(whole.first, middle.first - 1)
    if middle.last < whole.last:
        yield _Range(middle.last + 1, whole.last)


def _text(selectors: Iterable[TrafficSelector]) -> str:
    text = ", ".join(map(format_selector, selectors)) or "nothing"
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + " …"
