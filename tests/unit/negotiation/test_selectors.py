"""Traffic selectors, against an oracle that tries every packet of a small universe."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import TrafficSelectorType
from caponier.errors import ConfigError, TsUnacceptable
from caponier.mechanisms.negotiation.selectors import (
    ANY_PORTS,
    OPAQUE_PORTS,
    TrafficSelector,
    contains,
    format_selector,
    intersection,
    is_subset,
    narrow,
    parse_selector,
    select_first,
)

Packet = tuple[int, int, int, int | None]
FAMILIES: tuple[type[IPv4Address | IPv6Address], ...] = (IPv4Address, IPv6Address)


def selectors(*texts: str) -> list[TrafficSelector]:
    return [parse_selector(text) for text in texts]


# -- the oracle: versions, addresses, protocols, ports; a port of None cannot be seen

ADDRESSES = range(8)
PROTOCOLS = (6, 17, 99)
#: Between the ports that selectors are made of stand others, so that no gap goes unseen.
PORTS = (0, 3, 5, 7, 9, 500, 65_535, None)
UNIVERSE: tuple[Packet, ...] = tuple(product((4, 6), ADDRESSES, PROTOCOLS, PORTS))


def fits(packet: Packet, selector: TrafficSelector) -> bool:
    """RFC 7296 section 3.13.1, word by word."""
    version, address, protocol, port = packet
    if selector.start.version != version or not int(selector.start) <= address <= int(selector.end):
        return False
    if selector.protocol not in (0, protocol):
        return False
    ports = (selector.start_port, selector.end_port)
    if ports == (0, 65_535):
        return True  # ANY includes OPAQUE
    if ports == (65_535, 0):
        return port is None
    return port is not None and ports[0] <= port <= ports[1]


def packets(chosen: Iterable[TrafficSelector]) -> set[Packet]:
    known = list(chosen)
    return {packet for packet in UNIVERSE if any(fits(packet, selector) for selector in known)}


@st.composite
def small(draw: st.DrawFn) -> TrafficSelector:
    """A selector over the universe; narrow enough to miss, wide enough to meet."""
    address = draw(st.sampled_from(FAMILIES))
    first, last = sorted((draw(st.integers(0, 7)), draw(st.integers(0, 7))))
    ports = st.tuples(st.sampled_from((0, 5, 9, 65_535)), st.sampled_from((0, 5, 9, 65_535))).map(sorted).map(tuple)
    start, end = draw(st.just(ANY_PORTS) | st.just(OPAQUE_PORTS) | ports)
    return TrafficSelector(draw(st.sampled_from((0, 6, 17))), start, end, address(first), address(last))


LISTS = st.lists(small(), max_size=4)


@given(LISTS, LISTS)
def test_narrow_against_the_oracle(offered: list[TrafficSelector], configured: list[TrafficSelector]) -> None:
    """RFC 7296 section 2.9: what both sides allow, all of it, and never nothing."""
    common = packets(offered) & packets(configured)
    if not common:
        with pytest.raises(TsUnacceptable):
            narrow(offered, configured)
        return
    narrowed = narrow(offered, configured)
    assert packets(narrowed) == common
    assert is_subset(narrowed, offered)
    assert is_subset(narrowed, configured)
    assert not any(contains(a, b) for a in narrowed for b in narrowed if a is not b)
    assert narrow(narrowed, configured) == narrowed


@given(small(), small())
def test_contains_against_the_oracle(outer: TrafficSelector, inner: TrafficSelector) -> None:
    assert contains(outer, inner) == (packets([inner]) <= packets([outer]))


@given(small(), small())
def test_intersection_against_the_oracle(one: TrafficSelector, other: TrafficSelector) -> None:
    common = intersection(one, other)
    assert packets([one]) & packets([other]) == packets([] if common is None else [common])
    assert common == intersection(other, one)


@given(LISTS, LISTS)
def test_is_subset_against_the_oracle(inner: list[TrafficSelector], outer: list[TrafficSelector]) -> None:
    """Also where several selectors cover one together."""
    assert is_subset(inner, outer) == (packets(inner) <= packets(outer))


@given(small())
def test_a_selector_covers_itself(selector: TrafficSelector) -> None:
    assert contains(selector, selector)
    assert narrow([selector], [selector]) == (selector,)


# -- narrowing, rule by rule


def test_the_same_on_both_sides_stays_the_same() -> None:
    """RFC 7296 section 2.9: "the responder can return the same TSi and TSr values"."""
    offered = selectors("10.1.0.0/16[tcp/443]", "10.2.0.0/16", "2001:db8::/32")
    assert narrow(offered, offered) == tuple(offered)
    assert narrow(offered, selectors("0.0.0.0/0", "::/0")) == tuple(offered)


def test_the_first_choice_is_kept() -> None:
    """RFC 7296 section 2.9: "MUST narrow the Traffic Selectors to a subset that includes the initiator's first choices";
    with the example of that section."""
    packet, network = selectors("198.51.100.43[udp/53]", "198.51.100.0/24")
    assert narrow([packet, network], selectors("198.51.100.43")) == tuple(selectors("198.51.100.43"))
    assert narrow([packet, network], selectors("198.51.100.0/24")) == (network,)
    narrowed = narrow([packet, network], selectors("198.51.100.43[udp]", "198.51.100.0/25[tcp]"))
    assert contains(narrowed[0], packet)


def test_a_wider_offer_is_narrowed() -> None:
    """RFC 7296 section 2.9: "it narrows the Traffic Selectors to some subset of the initiator's proposal"."""
    assert narrow(selectors("0.0.0.0/0"), selectors("10.2.0.0/16[tcp/443]")) == tuple(selectors("10.2.0.0/16[tcp/443]"))
    assert narrow(selectors("10.0.0.1-10.0.0.9"), selectors("10.0.0.5-10.0.0.20")) == tuple(
        selectors("10.0.0.5-10.0.0.9")
    )


@pytest.mark.parametrize(
    ("offered", "configured"),
    [
        ("10.1.0.0/16", "10.2.0.0/16"),
        ("0.0.0.0/0", "::/0"),
        ("10.1.0.0/16[tcp]", "10.1.0.0/16[udp]"),
        ("10.1.0.0/16[tcp/80]", "10.1.0.0/16[tcp/443]"),
        ("10.1.0.0/16[tcp/opaque]", "10.1.0.0/16[tcp/443]"),
    ],
)
def test_nothing_in_common_is_explained(offered: str, configured: str) -> None:
    """RFC 7296 section 2.9: TS_UNACCEPTABLE where no part is acceptable."""
    with pytest.raises(TsUnacceptable) as caught:
        narrow(selectors(offered), selectors(configured))
    assert (caught.value.offered, caught.value.accepted) == (offered, configured)
    assert caught.value.hint


def test_an_empty_offer_is_refused() -> None:
    with pytest.raises(TsUnacceptable) as caught:
        narrow([], selectors("10.1.0.0/16"))
    assert caught.value.offered == "nothing"


def test_any_includes_opaque() -> None:
    """RFC 7296 section 3.13.1, RFC 4301 section 4.4.1.1."""
    opaque, every, range_ = selectors("10.0.0.1[tcp/opaque]", "10.0.0.1[tcp]", "10.0.0.1[tcp/1-65535]")
    assert contains(every, opaque)
    assert not contains(opaque, every)
    assert not contains(range_, opaque)
    assert narrow([every], [opaque]) == (opaque,)
    assert opaque.is_opaque
    assert not every.is_opaque


def test_an_answer_fits_the_number_of_selectors() -> None:
    """RFC 7296 section 3.13: Number of TSs is one octet. The first ones are kept."""
    offered = [parse_selector(f"10.0.{number}.0/25") for number in range(200)]
    configured = [parse_selector("10.0.0.0/16[tcp]"), parse_selector("10.0.0.0/16[udp]")]
    narrowed = narrow(offered, configured)
    assert len(narrowed) == 255
    assert narrowed[0] == parse_selector("10.0.0.0/25[tcp]")
    assert is_subset(narrowed, offered)


def test_neighbours_cover_together() -> None:
    """A responder may send back one range for two that touch."""
    assert is_subset(selectors("10.0.0.0/8"), selectors("10.0.0.0/9", "10.128.0.0/9"))
    assert not is_subset(selectors("10.0.0.0/8"), selectors("10.0.0.0/9", "10.128.0.1-10.255.255.255"))
    assert is_subset([], selectors("10.0.0.0/9"))
    assert not is_subset(selectors("10.0.0.0/9"), [])


def test_a_comparison_has_a_bound() -> None:
    """Lists of a peer's that would cost too many comparisons are answered with no; lists that people write are not."""
    single = [TrafficSelector(0, *ANY_PORTS, IPv4Address(at), IPv4Address(at)) for at in range(500)]
    assert is_subset(selectors("0.0.0.0-0.0.0.199"), single)
    assert not is_subset(selectors("0.0.0.0-0.0.1.244"), single)  # one address more than they have
    assert not is_subset(selectors("0.0.0.0-0.0.1.243"), single)  # all that they have, but too dear to find out


def test_the_first_that_has_an_address() -> None:
    known = selectors("10.1.0.0/16", "10.0.0.0/8", "2001:db8::/32")
    assert select_first(known, IPv4Address("10.1.2.3")) == known[0]
    assert select_first(known, IPv4Address("10.9.2.3")) == known[1]
    assert select_first(known, IPv6Address("2001:db8::1")) == known[2]
    assert select_first(known, IPv4Address("192.0.2.1")) is None


# -- spelling


@pytest.mark.parametrize(
    ("text", "protocol", "ports", "start", "end"),
    [
        ("10.1.0.0/16", 0, ANY_PORTS, "10.1.0.0", "10.1.255.255"),
        ("10.1.0.5", 0, ANY_PORTS, "10.1.0.5", "10.1.0.5"),
        ("10.1.0.1-10.1.0.9", 0, ANY_PORTS, "10.1.0.1", "10.1.0.9"),
        ("0.0.0.0/0", 0, ANY_PORTS, "0.0.0.0", "255.255.255.255"),
        ("2001:db8::/32", 0, ANY_PORTS, "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("::1", 0, ANY_PORTS, "::1", "::1"),
        ("10.1.0.0/16[tcp]", 6, ANY_PORTS, "10.1.0.0", "10.1.255.255"),
        ("10.1.0.0/16[tcp/443]", 6, (443, 443), "10.1.0.0", "10.1.255.255"),
        ("10.1.0.5[udp/1000-2000]", 17, (1000, 2000), "10.1.0.5", "10.1.0.5"),
        ("10.1.0.5[tcp/opaque]", 6, OPAQUE_PORTS, "10.1.0.5", "10.1.0.5"),
        ("10.1.0.5[gre]", 47, ANY_PORTS, "10.1.0.5", "10.1.0.5"),
        ("10.1.0.5[99]", 99, ANY_PORTS, "10.1.0.5", "10.1.0.5"),
        ("10.1.0.5[icmp]", 1, ANY_PORTS, "10.1.0.5", "10.1.0.5"),
        ("10.1.0.5[icmp/8]", 1, (0x0800, 0x08FF), "10.1.0.5", "10.1.0.5"),
        ("10.1.0.5[icmp/3(4)]", 1, (0x0304, 0x0304), "10.1.0.5", "10.1.0.5"),
        ("10.1.0.5[icmp/3(1)-5(3)]", 1, (0x0301, 0x0503), "10.1.0.5", "10.1.0.5"),
        ("::1[icmpv6/128-129]", 58, (0x8000, 0x81FF), "::1", "::1"),
    ],
)
def test_spelling(text: str, protocol: int, ports: tuple[int, int], start: str, end: str) -> None:
    """RFC 7296 section 3.13.1: ICMP type and code are one number of 16 bits; 0 to 65535 is ANY, 65535 to 0 OPAQUE."""
    address = IPv6Address if ":" in start else IPv4Address
    selector = TrafficSelector(protocol, *ports, address(start), address(end))
    assert parse_selector(text) == selector
    assert format_selector(selector) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("10.1.0.5/32", "10.1.0.5"),
        (" 10.1.0.0/16 [TCP/443] ", "10.1.0.0/16[tcp/443]"),
        ("10.1.0.0-10.1.255.255", "10.1.0.0/16"),
        ("::1[icmp6]", "::1[icmpv6]"),
        ("::1[ipv6-icmp]", "::1[icmpv6]"),
        ("10.1.0.5[6]", "10.1.0.5[tcp]"),
        ("10.1.0.5[tcp/0-65535]", "10.1.0.5[tcp]"),
        ("10.1.0.5[icmp/3(4)-3(4)]", "10.1.0.5[icmp/3(4)]"),
        ("10.1.0.5[icmp/3-5(3)]", "10.1.0.5[icmp/3(0)-5(3)]"),
    ],
)
def test_one_spelling_is_written(text: str, written: str) -> None:
    assert format_selector(parse_selector(text)) == written


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "cannot be read", "10.1.0.0/16"),
        ("10.1.0.5/16", "not the first address", "did you mean '10.1.0.0/16'?"),
        ("10.1.2/24", "'10.1.2' is no IP address", "names are not looked up"),
        ("gw.example.com", "no IP address", "names are not looked up"),
        ("10.0.0.0/33", "no prefix length", "0 to 32"),
        ("10.0.0.0/255.0.0.0", "no prefix length", "0 to 32"),
        ("::/129", "no prefix length", "0 to 128"),
        ("10.0.0.9-10.0.0.1", "ends before it starts", "10.0.0.1-10.0.0.9"),
        ("10.0.0.1-::1", "address family", None),
        ("fe80::1%eth0", "no zone", "without '%eth0'"),
        ("10.0.0.1[tpc/4]", "'tpc' is no protocol", "did you mean 'tcp'?"),
        ("10.0.0.1[0]", "'0' is no protocol", "1 to 255"),
        ("10.0.0.1[256]", "'256' is no protocol", "1 to 255"),
        ("10.0.0.1[]", "'' is no protocol", None),
        ("10.0.0.1[tcp/]", "'' is no port", None),
        ("10.0.0.1[tcp/https]", "'https' is no port", "1000-2000"),
        ("10.0.0.1[tcp/65536]", "ports end at 65535", None),
        ("10.0.0.1[tcp/9-4]", "ends before it starts", None),
        ("10.0.0.1[tcp/\N{ARABIC-INDIC DIGIT THREE}]", "is no port", None),
        ("10.0.0.1[icmp/256]", "end at 255", None),
        ("10.0.0.1[icmp/echo]", "no ICMP type", "3(4)"),
        ("10.0.0.1[icmp/5-3]", "ends before it starts", None),
        ("10.0.0.1[tcp", "cannot be read", None),
        ("10.0.0.1[tcp]x", "cannot be read", None),
    ],
)
def test_refusals_say_what_is_wrong(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_selector(text)
    assert message in caught.value.message
    assert repr(text) in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


@st.composite
def anything(draw: st.DrawFn) -> TrafficSelector:
    """Every selector that has a spelling."""
    family = draw(st.sampled_from(FAMILIES))
    bits = 32 if family is IPv4Address else 128
    numbers = st.integers(0, (1 << bits) - 1)
    first, last = sorted((draw(numbers), draw(numbers)))
    protocol = draw(st.integers(0, 255))
    ports = st.tuples(st.integers(0, 65_535), st.integers(0, 65_535)).map(sorted).map(tuple)
    start, end = ANY_PORTS if protocol == 0 else draw(st.just(OPAQUE_PORTS) | ports)
    return TrafficSelector(protocol, start, end, family(first), family(draw(st.just(first) | st.just(last))))


@given(anything())
def test_what_is_written_is_read_as_the_same(selector: TrafficSelector) -> None:
    assert parse_selector(format_selector(selector)) == selector


@given(st.sampled_from(range(33)), st.integers(0, 2**32 - 1))
def test_prefixes_are_written_as_prefixes(length: int, number: int) -> None:
    size = 1 << 32 - length
    first = number // size * size
    text = format_selector(TrafficSelector(0, *ANY_PORTS, IPv4Address(first), IPv4Address(first + size - 1)))
    assert text == (f"{IPv4Address(first)}/{length}" if length < 32 else str(IPv4Address(first)))


def test_odd_selectors_of_a_peer_can_be_written() -> None:
    """Ports without a protocol are against RFC 7296 section 3.13.1, but a refusal must show them."""
    assert format_selector(TrafficSelector(0, 5, 9, IPv4Address(1), IPv4Address(1))) == "0.0.0.1[any/5-9]"


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        selector = parse_selector(text)
    except ConfigError:
        return
    assert parse_selector(format_selector(selector)) == selector


def test_types() -> None:
    """RFC 7296 section 3.13.1."""
    assert parse_selector("10.0.0.0/8").type == TrafficSelectorType.TS_IPV4_ADDR_RANGE
    assert parse_selector("::/0").type == TrafficSelectorType.TS_IPV6_ADDR_RANGE
