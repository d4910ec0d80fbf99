"""Packets of ESP and AH by themselves, in every protocol and mode, bare and in UDP (RFC 4303, RFC 4302, RFC 3948)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, PadN
from scapy.layers.ipsec import ESP
from scapy.packet import Packet, Raw

from caponier.doi.ikev2 import ProtocolId
from caponier.protocols import esp
from caponier.protocols.captures.alone import open_alone
from caponier.protocols.esp import OK, InboundSas, seal, sealer
from tests.plane.forms import GATEWAYS, SPI, Form, Peer, datagram
from tests.plane.suites import GCM, Suite
from tests.unit.protocols.forms import CASES, SHA256, manual

every_form = pytest.mark.parametrize(
    ("form", "suite"), CASES, ids=lambda value: value.name if isinstance(value, Form | Suite) else None
)
ESP4, ESP6 = (Form("esp", "transport", family, family) for family in (4, 6))


def ip(octets: bytes) -> Packet:
    return IP(octets) if octets[0] >> 4 == 4 else IPv6(octets)


def with_outer_header(form: Form, octets: bytes) -> bytes:
    """A packet as it travels, where the SA leaves its outer header to others."""
    source, destination = GATEWAYS[form.outer]
    if not form.is_bare:
        return octets
    return bytes((IP if form.outer == 4 else IPv6)(src=source, dst=destination) / ESP(octets))


def in_udp(packet: bytes) -> bytes:
    """The same in UDP (RFC 3948 section 2.1): scapy's own encapsulation takes IPv6 extension headers for its end."""
    whole = ip(packet)
    around = whole[ESP].underlayer
    sealed = bytes(whole[ESP])
    around.remove_payload()
    for layer, field in ((IP, "proto"), (IP, "len"), (IP, "chksum"), (IPv6, "plen")):
        if layer in whole:
            whole[layer].delfieldval(field)
    around.nh = 17 if IPv6 in whole else None
    return bytes(whole / UDP(sport=4500, dport=4500, chksum=0) / Raw(sealed))


@every_form
def test_what_scapy_seals_is_opened(form: Form, suite: Suite) -> None:
    packet = datagram(form.inner, b"by itself")
    sealed = Peer(form, suite).seal(packet, 7)
    forms = [sealed, with_outer_header(form, sealed)]
    for octets in forms:
        opened = open_alone(InboundSas([manual(form, suite)]), octets)
        protocol = ProtocolId.ESP if form.protocol == "esp" else ProtocolId.AH
        if form.is_bare and octets is sealed:  # its destination is not known, and the SA has one
            assert opened.verdict == "unknown-spi"
            opened = open_alone(InboundSas([replace(manual(form, suite), destination=None)]), octets)
        assert (opened.protocol, opened.header) == (protocol, esp.Header(SPI, 7))
        assert (opened.verdict, opened.inner) == (OK, packet)


@every_form
def test_scapy_opens_what_is_sealed(form: Form, suite: Suite) -> None:
    packet = datagram(form.inner, b"by itself")
    sealed = seal(sealer(manual(form, suite), 7), packet)
    assert Peer(form, suite).open(sealed, 7) == packet


@pytest.mark.parametrize("form", [ESP4, ESP6], ids=lambda form: form.name)
def test_transport_mode_in_udp(form: Form) -> None:
    """RFC 3948 section 3.1: the UDP header goes, and what came is as it was before."""
    packet = datagram(form.inner, b"through a NAT")
    sealed = in_udp(Peer(form, GCM).seal(packet, 1))
    opened = open_alone(InboundSas([manual(form, GCM)]), sealed)
    assert (opened.verdict, opened.inner) == (OK, packet)


def test_extension_headers_in_front_of_udp() -> None:
    """RFC 8200 section 4: the field that announces ESP is the one that announced UDP."""
    packet = IPv6(src="fd00:2::10", dst="fd00:1::10") / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])
    packet = bytes(
        packet / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]) / UDP(sport=1, dport=2) / Raw(b"behind")
    )
    opened = open_alone(InboundSas([manual(ESP6, GCM)]), in_udp(Peer(ESP6, GCM).seal(packet, 1)))
    assert (opened.verdict, opened.inner) == (OK, packet)


def test_an_spi_that_looks_like_an_ip_header() -> None:
    """RFC 4303 section 2.1: an SPI is any number; whose SA is known is not taken for something else."""
    spi = 0x45000054
    sa = replace(manual(Form("esp", "tunnel", 4, 4), GCM, spi=spi), destination=None)
    sealed = Peer(Form("esp", "tunnel", 4, 4), GCM, spi).seal(datagram(4, b"x" * 23), 51)
    assert open_alone(InboundSas([sa]), sealed).verdict == OK


def test_what_has_no_ip_header_is_not_opened_where_one_is_needed() -> None:
    sealed = Peer(ESP4, GCM).seal(datagram(4, b""), 1)
    opened = open_alone(InboundSas([manual(ESP4, GCM)]), sealed[20:])
    assert (opened.header, opened.verdict) == (esp.Header(SPI, 1), "malformed")
    opened = open_alone(InboundSas([manual(ESP4, GCM)]), sealed[:-1])  # shorter than its IP header says
    assert opened.verdict == "unknown-spi"


def test_refusals_of_ah_have_their_names() -> None:
    """RFC 4302 section 3.4."""
    form = Form("ah", "transport", 4, 4)
    sealed = Peer(form, SHA256).seal(datagram(4, b"signed"), 1)
    sas = InboundSas([manual(form, SHA256)])
    changed = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    cut = sealed[:2] + (20 + 11).to_bytes(2) + sealed[4:31]
    wrong = bytearray(sealed)
    wrong[21] = 200  # the length of AH, beyond the packet
    told = [open_alone(sas, octets) for octets in (changed, sealed, sealed, cut, bytes(wrong))]
    assert [each.verdict for each in told] == ["bad-icv", OK, "replayed", "truncated", "malformed"]
    assert {each.protocol for each in told} == {ProtocolId.AH}
    assert {each.verdict for each in told} <= {OK, *esp.VERDICTS}


def test_fragments_are_not_opened() -> None:
    """RFC 4302 section 3.4.1: reassembly comes first. Here nothing is found in one."""
    form = Form("ah", "transport", 4, 4)
    sealed = bytearray(Peer(form, SHA256).seal(datagram(4, b"signed"), 1))
    sealed[6] |= 0x20
    opened = open_alone(InboundSas([manual(form, SHA256)]), bytes(sealed))
    assert opened.inner == b""
    assert opened.verdict != OK
