"""IPv4 options and IPv6 extension headers with ESP and AH: where they go, and what AH covers of them.

RFC 4303 section 3.1.1, RFC 4302 sections 3.1.1 and 3.3.3.1 and appendix A. The counterpart is scapy where it follows
them; where it does not (IPv4 source routes, see :class:`tests.plane.forms.Peer`) the ICV is computed here by hand.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import pytest
from scapy.layers.inet import IP, UDP, IPOption
from scapy.layers.inet6 import (
    HBHOptUnknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from scapy.layers.ipsec import AH, ESP
from scapy.packet import Packet, Raw

from caponier._plane import PlaneError
from tests.plane.forms import HOSTS, SPI, Form, Peer, opener, sealer
from tests.plane.suites import EVERY_AH, EVERY_ESP, GCM, Suite

SHA256 = next(suite for suite in EVERY_AH if suite.name == "sha256")
GMAC = next(suite for suite in EVERY_AH if suite.name == "aes256gmac")
CBC = next(suite for suite in EVERY_ESP if suite.name == "aes128-sha256")
ROUTERS = ("2001:db8:5::1", "2001:db8:5::2")
DESTINATION = "2001:db8:6::1"

MUTABLE = HBHOptUnknown(otype=0x3E, optdata=b"may change")  #: RFC 8200 section 4.2: the third bit says so
IMMUTABLE = HBHOptUnknown(otype=0x1E, optdata=b"stays")

#: RFC 4302 appendix A1: options that stay, and options that change on the way.
OPTIONS = {
    "router-alert": b"\x94\x04\x00\x00",
    "security": b"\x82\x0b" + bytes(range(9)) + b"\x01",
    "record-route": b"\x07\x0b\x04" + bytes(8) + b"\x01",
    "timestamp": b"\x44\x0c\x05\x00" + bytes(8),
    "several": b"\x01\x94\x04\x00\x00\x07\x07\x04\x00\x00\x00\x00",
    "end-and-padding": b"\x94\x04\x00\x00\x00\x01\x02\x03",
    "unknown": b"\xde\x04\x07\x07",
}


def ipv4(options: bytes = b"", **fields: object) -> bytes:
    source, destination = HOSTS[4]
    ip = IP(src=source, dst=destination, id=4711, options=IPOption(options) if options else [], **fields)
    return bytes(ip / UDP(sport=7000, dport=7001) / Raw(b"behind the options"))


def ipv6(*extensions: Packet, destination: str = HOSTS[6][1]) -> bytes:
    packet = IPv6(src=HOSTS[6][0], dst=destination)
    for extension in extensions:
        packet /= extension.copy()
    return bytes(packet / UDP(sport=7000, dport=7001) / Raw(b"behind the extension headers"))


def transport(protocol: str, family: int, *, esn: bool = False) -> Form:
    assert protocol in ("esp", "ah")
    assert family in (4, 6)
    return Form(protocol, "transport", family, family, esn)  # type: ignore[arg-type]


CASES = [("esp", GCM), ("esp", CBC), ("ah", SHA256), ("ah", GMAC)]
every_protocol = pytest.mark.parametrize(("protocol", "suite"), CASES, ids=lambda value: getattr(value, "name", value))
every_mac = pytest.mark.parametrize("suite", [SHA256, GMAC], ids=lambda suite: suite.name)


def refusal(call: Callable[[bytes], bytes], octets: bytes) -> str:
    with pytest.raises(PlaneError) as caught:
        call(octets)
    return str(caught.value)


# --- transport mode ---


@every_protocol
@pytest.mark.parametrize("name", OPTIONS)
def test_ipv4_options_stay_in_front(protocol: str, suite: Suite, name: str) -> None:
    """RFC 4303 section 3.1.1, RFC 4302 section 3.1.1: behind the IP header and its options; both directions."""
    packet, form = ipv4(OPTIONS[name]), transport(protocol, 4)
    sealed = sealer(form, suite).seal(packet)
    header = 20 + len(OPTIONS[name])
    assert sealed[20:header] == OPTIONS[name]
    assert sealed[9] == (50 if protocol == "esp" else 51)
    if (
        protocol == "esp" or name != "end-and-padding"
    ):  # scapy reads what stands behind the end as options, and zeroes it
        assert Peer(form, suite).open(sealed, 1) == packet
        assert opener(form, suite).open(Peer(form, suite).seal(packet, 1)) == packet


CHAINS: dict[str, tuple[Packet, ...]] = {
    "hop-by-hop": (IPv6ExtHdrHopByHop(options=[RouterAlert(), PadN(optdata=b"")]),),
    "hop-by-hop-that-may-change": (IPv6ExtHdrHopByHop(options=[MUTABLE, IMMUTABLE]),),
    "destination-options": (IPv6ExtHdrDestOpt(options=[IMMUTABLE, MUTABLE]),),
    "both-options": (IPv6ExtHdrHopByHop(options=[MUTABLE]), IPv6ExtHdrDestOpt(options=[IMMUTABLE])),
    "routed-already": (IPv6ExtHdrRouting(addresses=[*ROUTERS], segleft=0),),
    "options-around-routing": (
        IPv6ExtHdrHopByHop(options=[MUTABLE]),
        IPv6ExtHdrDestOpt(options=[IMMUTABLE]),
        IPv6ExtHdrRouting(addresses=[*ROUTERS], segleft=0),
        IPv6ExtHdrDestOpt(options=[MUTABLE, IMMUTABLE]),
    ),
}


@every_protocol
@pytest.mark.parametrize("chain", CHAINS)
def test_ipv6_extension_headers(protocol: str, suite: Suite, chain: str) -> None:
    """RFC 4303 section 3.1.1, RFC 4302 section 3.1.1; both directions, wherever the peer puts its header."""
    packet, form = ipv6(*CHAINS[chain]), transport(protocol, 6)
    assert Peer(form, suite).open(sealer(form, suite).seal(packet), 1) == packet
    # Sending with AH, scapy walks a route that has come to its end once more; what it sends in the midst of one is below.
    if protocol == "esp" or IPv6ExtHdrRouting not in map(type, CHAINS[chain]):
        assert opener(form, suite).open(Peer(form, suite).seal(packet, 1)) == packet


@every_protocol
def test_hop_by_hop_and_routing_stay_in_front_and_the_last_options_go_behind(protocol: str, suite: Suite) -> None:
    """RFC 4303 section 3.1.1: "the destination options header(s) [...] after the ESP header"."""
    packet = ipv6(*CHAINS["options-around-routing"])
    sealed = IPv6(sealer(transport(protocol, 6), suite).seal(packet))
    layers = [type(layer) for layer in _layers(sealed)]
    ipsec = ESP if protocol == "esp" else AH
    in_front = [IPv6, IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting]
    assert layers[:5] == [*in_front, ipsec]
    if protocol == "ah":
        assert sealed[AH].nh == 60


@every_protocol
def test_destination_options_alone_are_protected(protocol: str, suite: Suite) -> None:
    """RFC 4303 section 3.1.1: nobody on the way has to look at them."""
    sealed = sealer(transport(protocol, 6), suite).seal(ipv6(*CHAINS["destination-options"]))
    assert sealed[6] == (50 if protocol == "esp" else 51)


def _layers(packet: Packet) -> list[Packet]:
    found = []
    while packet:
        found.append(packet)
        packet = packet.payload
    return found


@every_protocol
@pytest.mark.parametrize("name", ["first", "middle", "last"])
def test_fragments_are_not_for_transport_mode(protocol: str, suite: Suite, name: str) -> None:
    """RFC 4303 section 3.3.4, RFC 4302 section 3.3.4: "applied only to whole IP datagrams"."""
    offset, more = {"first": (0, 1), "middle": (8, 1), "last": (8, 0)}[name]
    v4 = ipv4(frag=offset, flags=more)
    v6 = ipv6(IPv6ExtHdrFragment(offset=offset, m=more, id=7))
    for family, packet in ((4, v4), (6, v6)):
        form = transport(protocol, family)
        ours = sealer(form, suite)
        assert refusal(ours.seal, packet) == "fragment"
        whole = ipv4() if family == 4 else ipv6()
        assert opener(form, suite).open(ours.seal(whole)) == whole  # it took no sequence number that is missing


@pytest.mark.parametrize("suite", [GCM, CBC], ids=lambda suite: suite.name)
def test_a_fragment_header_of_a_whole_packet_stays_in_front_of_esp(suite: Suite) -> None:
    """RFC 6946: an atomic fragment is no fragment. RFC 4303 section 3.1.1: the header stays in front."""
    packet, form = ipv6(IPv6ExtHdrFragment(id=7)), transport("esp", 6)
    sealed = sealer(form, suite).seal(packet)
    assert (sealed[6], sealed[40]) == (44, 50)
    assert opener(form, suite).open(sealed) == packet


@every_mac
def test_a_fragment_header_of_a_whole_packet_is_not_for_ah(suite: Suite) -> None:
    """RFC 4302 appendix A2: "the IPv6 fragment header [...] is not present" where AH looks; it comes out without one."""
    form = transport("ah", 6)
    sealed = sealer(form, suite).seal(ipv6(IPv6ExtHdrFragment(id=7)))
    assert sealed[6] == 51
    assert opener(form, suite).open(sealed) == Peer(form, suite).open(sealed, 1) == ipv6()


# --- what changes on the way ---


def ah_of(packet: bytes, suite: Suite = SHA256, *, esn: bool = False) -> tuple[Form, bytes]:
    form = transport("ah", packet[0] >> 4, esn=esn)
    return form, sealer(form, suite).seal(packet)


@every_mac
@pytest.mark.parametrize("esn", [False, True], ids=["noesn", "esn"])
def test_mutable_fields_of_ipv4_may_change(suite: Suite, *, esn: bool) -> None:
    """RFC 4302 section 3.3.3.1.1.1: DSCP, ECN, DF, TTL and checksum; what came is what comes out."""
    form, sealed = ah_of(ipv4(tos=0x28, flags="DF"), suite, esn=esn)
    changed = IP(sealed)
    changed.tos, changed.ttl, changed.flags = 0xBB, 7, 0
    del changed.chksum
    opened = IP(opener(form, suite).open(bytes(changed)))
    assert (opened.tos, opened.ttl, int(opened.flags)) == (0xBB, 7, 0)
    assert bytes(opened.payload) == bytes(IP(ipv4()).payload)


@every_mac
@pytest.mark.parametrize(
    ("field", "value"),
    [("id", 1), ("src", "10.2.0.11"), ("dst", "10.1.0.11")],
    ids=str,
)
def test_immutable_fields_of_ipv4_may_not(suite: Suite, field: str, value: object) -> None:
    """RFC 4302 section 3.3.3.1.1.1: version, IHL, length, identification, protocol and both addresses."""
    form, sealed = ah_of(ipv4(), suite)
    changed = IP(sealed)
    setattr(changed, field, value)
    del changed.chksum
    assert refusal(opener(form, suite).open, bytes(changed)) == "bad-icv"


#: Octets of the options above, by their place: those that may change on the way, and those that may not.
CHANGES = {
    "router-alert": ((), (0, 2, 3)),
    "security": ((), (0, 2, 10)),
    "record-route": ((2, 3, 10), ()),
    "timestamp": ((2, 3, 4, 11), ()),
    "several": ((7, 8, 11), (1, 3, 4)),
    "end-and-padding": ((), (0, 3, 5, 7)),
    "unknown": ((2, 3), ()),
}


@every_mac
@pytest.mark.parametrize("name", OPTIONS)
def test_ipv4_options_change_or_not_as_the_table_says(suite: Suite, name: str) -> None:
    """RFC 4302 appendix A1: whole options are zeroed, or covered; what stands behind the end is covered."""
    form, sealed = ah_of(ipv4(OPTIONS[name]), suite)
    may, may_not = CHANGES[name]
    for place in (*may, *may_not):
        changed = bytearray(sealed)
        changed[20 + place] ^= 0x08
        if place in may:
            assert opener(form, suite).open(bytes(changed))[20 + place] == changed[20 + place]
        else:
            assert refusal(opener(form, suite).open, bytes(changed)) == "bad-icv", f"octet {place}"


@every_mac
def test_mutable_fields_of_ipv6_may_change(suite: Suite) -> None:
    """RFC 4302 section 3.3.3.1.2.1: DSCP, ECN, flow label and hop limit."""
    form, sealed = ah_of(ipv6(), suite)
    changed = IPv6(sealed)
    changed.tc, changed.fl, changed.hlim = 0xBB, 0x12345, 7
    opened = IPv6(opener(form, suite).open(bytes(changed)))
    assert (opened.tc, opened.fl, opened.hlim) == (0xBB, 0x12345, 7)


@every_mac
@pytest.mark.parametrize("field", ["src", "dst"])
def test_immutable_fields_of_ipv6_may_not(suite: Suite, field: str) -> None:
    """RFC 4302 section 3.3.3.1.2.1: the addresses."""
    form, sealed = ah_of(ipv6(), suite)
    changed = IPv6(sealed)
    setattr(changed, field, "fd00:3::3")
    assert refusal(opener(form, suite).open, bytes(changed)) == "bad-icv"


@every_mac
@pytest.mark.parametrize("header", [IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt], ids=["hop-by-hop", "destination"])
def test_the_third_bit_of_an_ipv6_option_says_whether_it_may_change(suite: Suite, header: type[Packet]) -> None:
    """RFC 4302 section 3.3.3.1.2.2: the data of such options count as zeros, their type and length as they are."""
    packet = ipv6(header(options=[MUTABLE, IMMUTABLE]), IPv6ExtHdrRouting(addresses=[*ROUTERS], segleft=0))
    form, sealed = ah_of(packet, suite)
    data, constant = sealed.index(b"may change"), sealed.index(b"stays")
    changed = sealed[:data] + b"has change" + sealed[data + 10 :]
    assert b"has change" in opener(form, suite).open(changed)
    changed = sealed[:constant] + b"moves" + sealed[constant + 5 :]
    assert refusal(opener(form, suite).open, changed) == "bad-icv"


@every_mac
@pytest.mark.parametrize("segments", [1, 2])
def test_a_routing_header_is_covered_as_it_will_arrive(suite: Suite, segments: int) -> None:
    """RFC 4302 section 3.3.3.1.2.3: "as it appears at the receiver"; scapy opens what has arrived."""
    way = [*ROUTERS, DESTINATION][-segments - 1 :]
    packet = ipv6(IPv6ExtHdrRouting(addresses=way[1:], segleft=segments), destination=way[0])
    form, sealed = ah_of(packet, suite)
    assert sealed[24:40] == packet[24:40]  # it leaves for the first router
    arrived = IPv6(sealed)
    arrived.dst = way[-1]
    arrived[IPv6ExtHdrRouting].addresses, arrived[IPv6ExtHdrRouting].segleft = way[:-1], 0
    expected = ipv6(IPv6ExtHdrRouting(addresses=way[:-1], segleft=0), destination=way[-1])
    assert Peer(form, suite).open(bytes(arrived), 1) == expected
    assert opener(form, suite).open(bytes(arrived)) == expected
    # And what scapy sends this way.
    sent = IPv6(Peer(form, suite).seal(packet, 1))
    sent.dst = way[-1]
    sent[IPv6ExtHdrRouting].addresses, sent[IPv6ExtHdrRouting].segleft = way[:-1], 0
    assert opener(form, suite).open(bytes(sent)) == expected


@pytest.mark.parametrize("esn", [False, True], ids=["noesn", "esn"])
@pytest.mark.parametrize("kind", [131, 137], ids=["loose", "strict"])
def test_an_ipv4_source_route_is_covered_with_where_it_leads(kind: int, *, esn: bool) -> None:
    """RFC 4302 section 3.3.3.1.1.1: the destination address is "predictable"; the ICV by hand, octet by octet."""
    route = bytes([kind, 11, 4, 10, 9, 0, 1, 10, 9, 0, 2, 1])
    packet = ipv4(route)
    _, sealed = ah_of(packet, esn=esn)
    assert sealed[16:20] == packet[16:20]  # it leaves for the first router
    length = len(packet) + 28
    covered = bytes([0x48, 0, length >> 8, length & 0xFF, *(4711).to_bytes(2), 0, 0, 0, 51, 0, 0])
    covered += packet[12:16] + bytes([10, 9, 0, 2]) + bytes(11) + b"\x01"
    covered += bytes([17, 5, 0, 0]) + SPI.to_bytes(4) + (1).to_bytes(4) + bytes(16) + packet[32:]
    covered += bytes(4) if esn else b""  # the upper half of the number, RFC 4302 section 2.5.1
    icv = hmac.digest(SHA256.keys(1)["integrity_key"], covered, hashlib.sha256)[:16]
    assert sealed[44:60] == icv


# --- the length of AH ---


@pytest.mark.parametrize("suite", EVERY_AH, ids=lambda suite: suite.name)
@pytest.mark.parametrize("family", [4, 6])
def test_the_icv_is_padded_to_whole_words(suite: Suite, family: int) -> None:
    """RFC 4302 sections 2.2 and 2.6: words of 32 bits in IPv4, of 64 bits in IPv6."""
    packet = ipv4() if family == 4 else ipv6()
    _, sealed = ah_of(packet, suite)
    start, word = (20, 4) if family == 4 else (40, 8)
    expected = -(-(12 + suite.icv) // word) * word
    assert len(sealed) == len(packet) + expected
    assert sealed[start + 1] == expected // 4 - 2
    assert sealed[start + 2 : start + 4] == b"\x00\x00"


@pytest.mark.parametrize("suite", [suite for suite in EVERY_AH if (12 + suite.icv) % 8], ids=lambda suite: suite.name)
def test_ah_of_ipv4_may_have_whole_words_of_64_bits(suite: Suite) -> None:
    """RFC 4302 section 2.6 wants no padding here, Linux sends it unless told ``align4``; the padding is covered."""
    form, peer = transport("ah", 4), Peer(transport("ah", 4), suite)
    packet = ipv4()
    padded = peer_with_padding(peer, packet)
    assert len(padded) == len(packet) + -(-(12 + suite.icv) // 8) * 8
    assert opener(form, suite).open(padded) == packet
    changed = bytearray(padded)
    changed[20 + 12 + suite.icv] ^= 1
    assert refusal(opener(form, suite).open, bytes(changed)) == "bad-icv"


def peer_with_padding(peer: Peer, packet: bytes) -> bytes:
    """As scapy's ``_encrypt_ah``, with 4 octets of padding in IPv4 too."""
    header, payload = IP(packet), IP(packet).payload
    next_header, header.proto = header.proto, 51
    header.remove_payload()
    size = 12 + peer.sa.auth_algo.icv_size + 4
    ah = AH(spi=SPI, seq=1, nh=next_header, icv=bytes(size - 16), padding=bytes(4), payloadlen=size // 4 - 2)
    header.len = len(header) + size + len(payload)
    del header.chksum
    header = IP(bytes(header))
    return bytes(peer.sa.auth_algo.sign(header / ah / payload, peer.sa.auth_key))
