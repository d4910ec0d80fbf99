"""Manually keyed SAs on the packet core: against scapy both ways, and what is refused (RFC 4301, RFC 4303)."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import IntegrityId, ProtocolId
from caponier.errors import ConfigError, EngineError, WireError
from caponier.mechanisms.algorithms.suites import ChildSuite
from caponier.octets import Reader, Secret
from caponier.protocols import ah, esp
from caponier.protocols.captures.alone import open_alone
from caponier.protocols.esp import OK, InboundSas, ManualSa, key_octets, opener, seal, sealer
from tests.unit.protocols.samples import GCM, SPI, SUITES, Suite, esp_header, inner, ipv6, key_of, manual_sa

logging.getLogger("scapy").setLevel(logging.ERROR)

ROOT = Path(__file__).parents[3]

every_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.text)


def scapy_sa(suite: Suite) -> Any:
    """The same SA in the hands of an implementation that shares no code with ours."""
    from scapy.layers.inet import IP
    from scapy.layers.ipsec import ESP, SecurityAssociation

    cipher, mac = suite.scapy
    return SecurityAssociation(
        ESP,
        spi=SPI,
        crypt_algo=cipher,
        crypt_key=key_of(suite.key + suite.salt),
        auth_algo=mac,
        auth_key=key_of(suite.integrity_key, 128) or None,
        tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"),
    )


@every_suite
@settings(max_examples=10, deadline=None)
@given(payload=st.binary(max_size=1400), sequence=st.integers(1, 2**32 - 1))
def test_scapy_opens_what_is_sealed(suite: Suite, payload: bytes, sequence: int) -> None:
    """RFC 4303 section 3.3."""
    from scapy.layers.inet import IP
    from scapy.layers.ipsec import ESP

    sealed = seal(sealer(manual_sa(suite), sequence), inner(payload))
    assert esp.Header.decode(Reader(sealed)) == esp.Header(SPI, sequence)
    outer = IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ESP(sealed)
    assert bytes(scapy_sa(suite).decrypt(IP(bytes(outer)))) == inner(payload)


@every_suite
@settings(max_examples=10, deadline=None)
@given(payload=st.binary(max_size=1400), sequence=st.integers(1, 2**32 - 1))
def test_what_scapy_seals_is_opened(suite: Suite, payload: bytes, sequence: int) -> None:
    """RFC 4303 section 3.4."""
    from scapy.layers.inet import IP
    from scapy.layers.ipsec import ESP

    sealed = bytes(scapy_sa(suite).encrypt(IP(inner(payload)), seq_num=sequence)[ESP])
    opened = open_alone(InboundSas([manual_sa(suite)]), sealed)
    assert (opened.header, opened.verdict, opened.inner) == (esp.Header(SPI, sequence), OK, inner(payload))


# -- verdicts


def verdicts(sa: ManualSa, *packets: bytes) -> list[str]:
    sas = InboundSas([sa], 32)
    return [open_alone(sas, octets).verdict for octets in packets]


def test_verdicts_are_the_names_of_drops() -> None:
    """RFC 4303 section 3.4: the SPI, the replay check, the ICV, in this order."""
    end = sealer(manual_sa())
    one, two = seal(end, inner()), seal(end, inner(b"two"))
    for _ in range(40):
        late = seal(end, inner())
    wrong = two[:-1] + bytes((two[-1] ^ 1,))
    assert verdicts(manual_sa(), one, one, wrong, two, late, two) == [OK, "replayed", "bad-icv", OK, OK, "too-old"]
    assert verdicts(manual_sa(spi=0x1000), one) == ["unknown-spi"]
    assert verdicts(manual_sa(start=1), one) == ["bad-icv"]
    assert verdicts(manual_sa(), one[:8], one[:7], b"") == ["truncated"] * 3


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([GCM, SUITES[-1]]), st.binary(max_size=100), st.sampled_from([0, 4, 8]))
def test_junk_has_a_verdict_with_a_meaning(suite: Suite, junk: bytes, start: int) -> None:
    opened = open_alone(InboundSas([manual_sa(suite)]), esp_header()[:start] + junk)
    assert opened.verdict in esp.VERDICTS
    assert opened.inner == b""


#: What only a gateway meets: it has policies and sockets.
OF_A_GATEWAY = {
    "fragment-overlap",
    "no-interface",
    "socket-full",
    "selector-mismatch",
    "wrong-encapsulation",
    "congestion",
    "keepalive",
}


def test_every_inbound_drop_of_the_plane_has_a_meaning() -> None:
    """The data plane's reasons, from the place that names them; a new one needs a sentence."""
    source = (ROOT / "rust" / "plane" / "src" / "drops.rs").read_text()
    inbound = set(re.findall(r'/// Inbound: (?:.*\n\s+///)*.*\n\s+\w+ = "([a-z-]+)",$', source, re.MULTILINE))
    assert len(inbound) >= 8
    assert inbound | {"malformed-inner", "fragment"} == set(esp.VERDICTS) | OF_A_GATEWAY
    assert esp.AUTHENTIC - {OK} <= set(esp.VERDICTS)


# -- the SA of a packet


def test_an_sa_is_found_by_protocol_spi_and_destination() -> None:
    """RFC 4301 section 4.1: one for this destination before one for whichever."""
    east, west, other = ip_address("192.0.2.1"), ip_address("192.0.2.2"), ip_address("192.0.2.3")
    to_east, to_west = manual_sa(destination=east), manual_sa(start=1, destination=west)
    any_of_them = manual_sa(start=2)
    sas = InboundSas([to_east, to_west, any_of_them])
    found = [sas.find(ProtocolId.ESP, SPI, each) for each in (east, west, other, None)]
    assert found == [to_east, to_west, any_of_them, any_of_them]
    assert sas.find(ProtocolId.AH, SPI, None) is None
    assert sas.find(ProtocolId.ESP, SPI + 1, east) is None
    assert list(sas) == [to_east, to_west, any_of_them]


# -- what is not sealed, and what is no SA


@pytest.mark.parametrize("octets", [b"", b"\x45", b"no IP packet at all, but text", inner()[:-1], ipv6(59, b"")[:-1]])
def test_what_is_no_ip_packet_is_not_sealed(octets: bytes) -> None:
    with pytest.raises(EngineError, match="malformed-inner: no IP packet"):
        seal(sealer(manual_sa()), octets)


def test_sequence_numbers_end() -> None:
    """RFC 4303 section 3.3.3: without ESN the number 2^32 - 1 is the last."""
    end = sealer(manual_sa(), 2**32 - 1)
    seal(end, inner())
    with pytest.raises(EngineError, match="no sequence number is left"):
        seal(end, inner())


@pytest.mark.parametrize("sequence", [0, 2**32, 2**64 - 1])
def test_sequence_numbers_begin_within_32_bits(sequence: int) -> None:
    with pytest.raises(ConfigError, match="sequence number"):
        sealer(manual_sa(), sequence)


@pytest.mark.parametrize("window", [31, 4097])
def test_windows_are_bounded(window: int) -> None:
    with pytest.raises(ConfigError, match="replay window"):
        opener(manual_sa(), window)


def test_keys_of_another_length_are_refused_without_being_shown() -> None:
    sa = replace(manual_sa(), encryption_key=Secret(b"\xaa" * 32))
    for end in (sealer, opener):
        with pytest.raises(ConfigError, match=r"ESP d6fec5af: .* 32 octets, not 36") as caught:
            end(sa)
        assert "aaaa" not in str(caught.value)
    assert "aaaa" not in repr(sa)


def test_the_outer_addresses_of_ah_in_tunnel_mode_are_needed() -> None:
    """RFC 4302 section 3.1.2: it covers the outer header. To open, nothing is needed but the packet."""
    an_ah = ChildSuite(ProtocolId.AH, None, None, IntegrityId.AUTH_HMAC_SHA2_256_128, None, esn=False)
    sa = replace(manual_sa(), suite=an_ah, encryption_key=Secret(b""), integrity_key=Secret(bytes(32)))
    here, there = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    for without in (sa, replace(sa, source=here), replace(sa, destination=there)):
        with pytest.raises(ConfigError, match="AH in tunnel mode seals the outer header too") as caught:
            sealer(without)
        assert caught.value.hint == 'add source = "ADDRESS" and destination = "ADDRESS"'
    sealed = seal(sealer(replace(sa, source=here, destination=there)), inner())
    assert (sealed[9], sealed[12:20]) == (51, here.packed + there.packed)
    assert opener(sa).open(sealed) == inner()


@every_suite
def test_lengths_of_keys(suite: Suite) -> None:
    """RFC 4106 section 8.1, RFC 7634 section 2: the salt is a part of the key."""
    assert key_octets(manual_sa(suite).suite) == (suite.key + suite.salt, suite.salt, suite.integrity_key)


# -- headers


def test_headers() -> None:
    """RFC 4303 section 2 and RFC 4302 section 2: what everybody can read."""
    assert esp.Header.decode(Reader(esp_header(SPI, 7) + b"rest")) == esp.Header(SPI, 7)
    octets = bytes.fromhex("04 04 0000 d6fec5af 00000007") + bytes(12)
    assert ah.Header.decode(Reader(octets)) == ah.Header(4, SPI, 7)
    for length in range(12):
        with pytest.raises(WireError):
            ah.Header.decode(Reader(octets[:length]))
    for length in range(8):
        with pytest.raises(WireError):
            esp.Header.decode(Reader(octets[:length]))
