"""The algorithms of ESP and AH: their keys, their salts, and what each protocol takes."""

from __future__ import annotations

import pytest

from caponier.doi.ikev2 import (
    EncryptionId,
    IntegrityId,
    KeyExchangeId,
    PrfId,
    ProtocolId,
    SequenceNumbersId,
    TransformType,
)
from caponier.errors import MisuseError
from caponier.mechanisms.algorithms.packets import carries, integrity_key_octets, packet_cipher

ENCRYPTION, INTEGRITY = TransformType.ENCRYPTION, TransformType.INTEGRITY
ESP, AH = ProtocolId.ESP, ProtocolId.AH

#: Octets of KEYMAT for each Key Length in bits (None: no attribute), as the RFCs write them out.
KEYMAT: dict[EncryptionId, dict[int | None, int]] = {
    # RFC 2451 section 2.2: 192 bits, parity among them
    EncryptionId.ENCR_3DES: {None: 24},
    # RFC 2410 section 3: no key
    EncryptionId.ENCR_NULL: {None: 0},
    # RFC 3602 section 2.2
    EncryptionId.ENCR_AES_CBC: {128: 16, 192: 24, 256: 32},
    # RFC 3686 section 5.1
    EncryptionId.ENCR_AES_CTR: {128: 20, 192: 28, 256: 36},
    # RFC 4309 section 7.1
    EncryptionId.ENCR_AES_CCM_8: {128: 19, 192: 27, 256: 35},
    EncryptionId.ENCR_AES_CCM_12: {128: 19, 192: 27, 256: 35},
    EncryptionId.ENCR_AES_CCM_16: {128: 19, 192: 27, 256: 35},
    # RFC 4106 section 8.1
    EncryptionId.ENCR_AES_GCM_8: {128: 20, 192: 28, 256: 36},
    EncryptionId.ENCR_AES_GCM_12: {128: 20, 192: 28, 256: 36},
    EncryptionId.ENCR_AES_GCM_16: {128: 20, 192: 28, 256: 36},
    # RFC 4543 section 5.4
    EncryptionId.ENCR_NULL_AUTH_AES_GMAC: {128: 20, 192: 28, 256: 36},
    # RFC 5529 section 4.1
    EncryptionId.ENCR_CAMELLIA_CBC: {128: 16, 192: 24, 256: 32},
    # RFC 7634 section 2
    EncryptionId.ENCR_CHACHA20_POLY1305: {None: 36},
    # RFC 8750 section 4: the IV is no longer in the packet; keys and salts are those of the algorithms with one
    EncryptionId.ENCR_AES_CCM_8_IIV: {128: 19, 192: 27, 256: 35},
    EncryptionId.ENCR_AES_GCM_16_IIV: {128: 20, 192: 28, 256: 36},
    EncryptionId.ENCR_CHACHA20_POLY1305_IIV: {None: 36},
}
#: Octets of the salt or nonce among them; the other ciphers have none.
SALT = {
    EncryptionId.ENCR_AES_CTR: 4,
    EncryptionId.ENCR_AES_CCM_8: 3,
    EncryptionId.ENCR_AES_CCM_12: 3,
    EncryptionId.ENCR_AES_CCM_16: 3,
    EncryptionId.ENCR_AES_GCM_8: 4,
    EncryptionId.ENCR_AES_GCM_12: 4,
    EncryptionId.ENCR_AES_GCM_16: 4,
    EncryptionId.ENCR_NULL_AUTH_AES_GMAC: 4,
    EncryptionId.ENCR_CHACHA20_POLY1305: 4,
    EncryptionId.ENCR_AES_CCM_8_IIV: 3,
    EncryptionId.ENCR_AES_GCM_16_IIV: 4,
    EncryptionId.ENCR_CHACHA20_POLY1305_IIV: 4,
}
KEY_LENGTHS = (None, 0, 40, 64, 127, 128, 192, 256, 512, 65535)

#: Octets of the key, for ESP and AH.
INTEGRITY_KEYS = {
    IntegrityId.AUTH_HMAC_MD5_96: 16,  # RFC 2403 section 3
    IntegrityId.AUTH_HMAC_SHA1_96: 20,  # RFC 2404 section 3
    IntegrityId.AUTH_AES_XCBC_96: 16,  # RFC 3566 section 4.1
    IntegrityId.AUTH_AES_CMAC_96: 16,  # RFC 4494 section 2
    IntegrityId.AUTH_HMAC_SHA2_256_128: 32,  # RFC 4868 section 2.1.1
    IntegrityId.AUTH_HMAC_SHA2_384_192: 48,
    IntegrityId.AUTH_HMAC_SHA2_512_256: 64,
}
#: The same for AH alone: RFC 4543 section 5.4, the salt included.
GMAC_KEYS = {
    IntegrityId.AUTH_AES_128_GMAC: 20,
    IntegrityId.AUTH_AES_192_GMAC: 28,
    IntegrityId.AUTH_AES_256_GMAC: 36,
}
UNKNOWN = (1023, 1024, 65535)  #: in no registry: reserved, for private use
CIPHERS = [EncryptionId(number) for number in (*range(64), *UNKNOWN)]
CHECKSUMS = [IntegrityId(number) for number in (*range(1, 64), *UNKNOWN)]


@pytest.mark.parametrize("number", KEYMAT, ids=lambda number: number.name)
def test_keys_of_ciphers(number: EncryptionId) -> None:
    """RFC 7296 section 2.17: what each direction takes of KEYMAT; the RFCs of the ciphers stand at the table."""
    cipher = packet_cipher(number)
    assert cipher.id == number
    assert cipher.salt_length == SALT.get(number, 0)
    for key_length in KEY_LENGTHS:
        expected = KEYMAT[number].get(key_length)
        assert cipher.accepts(key_length) == (expected is not None)
        if expected is not None:
            assert cipher.key_octets(key_length) == expected
        else:
            with pytest.raises(MisuseError, match=f"{number.name} has no keys of {key_length} bits"):
                cipher.key_octets(key_length)


@pytest.mark.parametrize("number", CIPHERS, ids=lambda number: number.name)
def test_ciphers_are_for_esp(number: EncryptionId) -> None:
    """RFC 7296 section 3.3.3: ESP has an encryption transform, AH has none; section 3.3.5: the key length must fit."""
    for key_length in KEY_LENGTHS:
        assert carries(ESP, ENCRYPTION, number, key_length) == (key_length in KEYMAT.get(number, {}))
        assert not carries(AH, ENCRYPTION, number, key_length)
    if number not in KEYMAT:
        with pytest.raises(MisuseError, match="not implemented for ESP"):
            packet_cipher(number)


@pytest.mark.parametrize("number", CHECKSUMS, ids=lambda number: number.name)
def test_integrity_algorithms(number: IntegrityId) -> None:
    """The ones of both protocols, GMAC for AH alone (RFC 4543 section 5.3: MUST NOT be used with ESP), nothing else."""
    octets = INTEGRITY_KEYS.get(number) or GMAC_KEYS.get(number)
    assert carries(ESP, INTEGRITY, number) == (number in INTEGRITY_KEYS)
    assert carries(AH, INTEGRITY, number) == (octets is not None)
    if octets is not None:
        assert integrity_key_octets(number) == octets
    else:
        with pytest.raises(MisuseError, match="not implemented for ESP and AH"):
            integrity_key_octets(number)


@pytest.mark.parametrize("protocol", [ESP, AH])
def test_integrity_algorithms_have_no_key_length(protocol: ProtocolId) -> None:
    """RFC 7296 section 3.3.5: the attribute is not for transforms whose keys have a fixed length."""
    for number in (IntegrityId.AUTH_NONE, *INTEGRITY_KEYS, *GMAC_KEYS):
        assert not carries(protocol, INTEGRITY, number, 128)


def test_integrity_may_be_none_for_esp_alone() -> None:
    """RFC 4302 section 2.6: AH is its check value; RFC 7296 section 3.3.2: an AEAD goes without, or with NONE."""
    assert carries(ESP, INTEGRITY, IntegrityId.AUTH_NONE)
    assert not carries(AH, INTEGRITY, IntegrityId.AUTH_NONE)
    with pytest.raises(MisuseError):
        integrity_key_octets(IntegrityId.AUTH_NONE)


@pytest.mark.parametrize("protocol", [ESP, AH])
def test_sequence_numbers(protocol: ProtocolId) -> None:
    """RFC 7296 section 3.3.2, transform type 5: 32 bits, or the lower half of 64."""
    taken = {number for number in (*range(16), *UNKNOWN) if carries(protocol, TransformType.SEQUENCE_NUMBERS, number)}
    assert taken == {SequenceNumbersId.SEQUENTIAL_32, SequenceNumbersId.PARTIAL_64}
    assert not any(carries(protocol, TransformType.SEQUENCE_NUMBERS, number, 64) for number in taken)


@pytest.mark.parametrize("protocol", [ESP, AH])
def test_the_rest_is_not_its_business(protocol: ProtocolId) -> None:
    assert not carries(protocol, TransformType.PRF, PrfId.PRF_HMAC_SHA2_256)
    assert not carries(protocol, TransformType.KEY_EXCHANGE, KeyExchangeId.CURVE25519)
    assert not carries(protocol, TransformType(200), 1)
