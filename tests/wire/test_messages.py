"""Whole messages (RFC 7296 sections 2.5, 3.1, 3.2 and 3.14; RFC 5282)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caponier.doi.ikev2 import EncryptionId, ExchangeType, IntegrityId, NotifyType, PayloadType
from caponier.errors import (
    Disposition,
    IntegrityFailed,
    InvalidMajorVersion,
    PeerError,
    UnsupportedCriticalPayload,
    WireError,
)
from caponier.mechanisms.algorithms.catalog import message_cipher
from caponier.mechanisms.algorithms.ciphers import MessageCipher
from caponier.octets import Secret
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import Message, decode_message, encode_message, open_message, seal_message
from caponier.protocols.ike.messages.payloads import Nonce, Notify, Payload, Unknown
from tests.wire.strategies import headers, messages, payload_chains
from tests.wire.table import MESSAGES, MessageRow

HEADER = Header(
    spi_i=bytes(range(8)),
    spi_r=bytes(range(8, 16)),
    exchange=ExchangeType.INFORMATIONAL,
    is_initiator=True,
    is_response=False,
    message_id=7,
)


def ciphers() -> dict[str, MessageCipher]:
    key = Secret(bytes(range(64)))
    return {
        "aes256gcm16": message_cipher(EncryptionId.ENCR_AES_GCM_16, 256, None, Secret(bytes(range(36))), None),
        "chacha20poly1305": message_cipher(
            EncryptionId.ENCR_CHACHA20_POLY1305, None, None, Secret(bytes(range(36))), None
        ),
        "aes128-sha256": message_cipher(
            EncryptionId.ENCR_AES_CBC,
            128,
            IntegrityId.AUTH_HMAC_SHA2_256_128,
            Secret(bytes(range(16))),
            Secret(key.expose()[:32]),
        ),
        "aes256-sha512": message_cipher(
            EncryptionId.ENCR_AES_CBC, 256, IntegrityId.AUTH_HMAC_SHA2_512_256, Secret(bytes(range(32))), key
        ),
    }


CIPHERS = ciphers()


def iv(cipher: MessageCipher) -> bytes:
    return bytes(range(cipher.iv_length))


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row.name)
def test_octets_from_the_diagrams(row: MessageRow) -> None:
    assert encode_message(row.header, row.payloads) == row.octets
    message = decode_message(row.octets)
    assert message.header == row.header
    assert message.payloads == row.payloads


@given(messages())
def test_round_trip_in_clear(message: Message) -> None:
    decoded = decode_message(encode_message(message.header, message.payloads))
    assert (decoded.header, decoded.payloads) == (message.header, message.payloads)


@given(headers, payload_chains, st.sampled_from(sorted(CIPHERS)))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_round_trip_sealed(header: Header, payloads: tuple[Payload, ...], name: str) -> None:
    """What is sealed is opened again, and only that (section 3.14)."""
    cipher = CIPHERS[name]
    opened = open_message(seal_message(header, payloads, cipher, iv(cipher)), cipher)
    assert (opened.header, opened.payloads, opened.is_protected) == (header, payloads, True)


@pytest.mark.parametrize("name", sorted(CIPHERS))
def test_an_empty_message_can_be_sealed(name: str) -> None:
    """RFC 7296 section 1.4: an INFORMATIONAL message without payloads is a sign of life."""
    cipher = CIPHERS[name]
    assert open_message(seal_message(HEADER, (), cipher, iv(cipher)), cipher).payloads == ()


@pytest.mark.parametrize("name", sorted(CIPHERS))
def test_every_changed_bit_is_noticed(name: str) -> None:
    """RFC 5282 section 5.1, RFC 7296 section 3.14: header, generic header, IV, ciphertext and ICV are covered."""
    cipher = CIPHERS[name]
    sealed = seal_message(HEADER, (Nonce(bytes(20)), Notify(NotifyType.INITIAL_CONTACT)), cipher, iv(cipher))
    for position in range(len(sealed) * 8):
        octets = bytearray(sealed)
        octets[position // 8] ^= 1 << position % 8
        with pytest.raises(PeerError) as caught:
            open_message(bytes(octets), cipher)
        assert caught.value.disposition in (Disposition.DROP, Disposition.REPLY)


@pytest.mark.parametrize("name", sorted(CIPHERS))
def test_truncated_at_every_octet(name: str) -> None:
    cipher = CIPHERS[name]
    sealed = seal_message(HEADER, (Nonce(bytes(20)),), cipher, iv(cipher))
    for length in range(len(sealed)):
        with pytest.raises(WireError) as caught:
            open_message(sealed[:length], cipher)
        assert caught.value.disposition is Disposition.DROP


def test_another_key_opens_nothing() -> None:
    mine = CIPHERS["aes256gcm16"]
    other = message_cipher(EncryptionId.ENCR_AES_GCM_16, 256, None, Secret(bytes(36)), None)
    with pytest.raises(IntegrityFailed):
        open_message(seal_message(HEADER, (), mine, iv(mine)), other)


@given(st.binary(max_size=400))
def test_junk_is_a_peer_error(junk: bytes) -> None:
    """Parsers are total: nothing but a PeerError comes of any octets."""
    for cipher in CIPHERS.values():
        with pytest.raises(PeerError):
            open_message(junk, cipher)
    try:
        decode_message(junk)
    except PeerError as error:
        assert error.disposition is not Disposition.CLOSE_SA


@given(messages(), st.data())
def test_flipped_bits_are_a_peer_error_or_a_message(message: Message, data: st.DataObject) -> None:
    octets = bytearray(encode_message(message.header, message.payloads))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decode_message(bytes(octets))
    except PeerError as error:
        assert error.disposition is not Disposition.CLOSE_SA


def test_a_higher_major_version_is_answered_a_lower_one_is_not() -> None:
    """RFC 7296 section 2.5."""
    octets = bytearray(encode_message(HEADER, ()))
    for major, disposition in (
        (3, Disposition.REPLY),
        (15, Disposition.REPLY),
        (1, Disposition.DROP),
        (0, Disposition.DROP),
    ):
        octets[17] = major << 4
        with pytest.raises(InvalidMajorVersion) as caught:
            decode_message(bytes(octets))
        assert caught.value.disposition is disposition


def test_an_unknown_critical_payload_is_refused_an_uncritical_one_is_skipped() -> None:
    """RFC 7296 section 2.5."""
    unknown = Unknown(PayloadType(200), critical=True, body=b"new")
    with pytest.raises(UnsupportedCriticalPayload) as caught:
        decode_message(encode_message(HEADER, (unknown,)))
    assert caught.value.payload_type == 200
    kept = replace(unknown, critical=False)
    assert decode_message(encode_message(HEADER, (kept,))).payloads == (kept,)


def test_octets_behind_the_message_are_refused() -> None:
    """RFC 7296 section 3.1: one datagram is one message; AUTH would not cover the rest."""
    with pytest.raises(WireError):
        decode_message(encode_message(HEADER, ()) + b"\0")


def test_too_many_payloads_are_refused() -> None:
    with pytest.raises(WireError):
        decode_message(encode_message(HEADER, (Nonce(bytes(16)),) * 101))
