"""What the algorithms must refuse: bad public values, changed octets, what we do not have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId, TransformType
from caponier.errors import IntegrityFailed, MisuseError, WireError
from caponier.mechanisms.algorithms.catalog import cipher, is_implemented, key_exchange, message_cipher, prf
from caponier.octets import Secret

GROUPS = [
    KeyExchangeId.CURVE25519,
    KeyExchangeId.ECP_256,
    KeyExchangeId.ECP_384,
    KeyExchangeId.ECP_521,
    KeyExchangeId.MODP_2048,
    KeyExchangeId.MODP_3072,
    KeyExchangeId.MODP_4096,
]


def counting(count: int) -> bytes:
    return bytes(index % 251 + 1 for index in range(count))


@pytest.mark.parametrize("number", GROUPS)
def test_public_values_of_another_length(number: KeyExchangeId) -> None:
    """RFC 7296 section 3.4."""
    group = key_exchange(number)
    pair = group.generate(counting)
    assert len(pair.public) == group.public_length
    for length in (0, 1, group.public_length - 1, group.public_length + 1):
        with pytest.raises(WireError):
            pair.derive_shared(bytes(length))


@pytest.mark.parametrize("number", GROUPS)
def test_degenerate_public_values(number: KeyExchangeId) -> None:
    """RFC 6989 sections 2.1 and 2.3, RFC 8031 section 2.3: zero, one and their like, points that are on no curve."""
    group = key_exchange(number)
    pair = group.generate(counting)
    for value in (0, 1):
        order = "little" if number == KeyExchangeId.CURVE25519 else "big"
        with pytest.raises(WireError):
            pair.derive_shared(value.to_bytes(group.public_length, order))  # type: ignore[arg-type]
    if number != KeyExchangeId.CURVE25519:
        with pytest.raises(WireError):
            pair.derive_shared(b"\xff" * group.public_length)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_junk_never_opens(associated: bytes, protected: bytes) -> None:
    gcm = message_cipher(EncryptionId.ENCR_AES_GCM_16, 128, None, Secret(bytes(20)), None)
    cbc = message_cipher(
        EncryptionId.ENCR_AES_CBC, 256, IntegrityId.AUTH_HMAC_SHA2_384_192, Secret(bytes(32)), Secret(bytes(48))
    )
    for each in (gcm, cbc):
        with pytest.raises(IntegrityFailed):
            each.open(associated, protected)


def test_keys_of_another_length() -> None:
    with pytest.raises(MisuseError):
        message_cipher(EncryptionId.ENCR_AES_GCM_16, 256, None, Secret(bytes(20)), None)
    with pytest.raises(MisuseError):
        cipher(EncryptionId.ENCR_AES_GCM_16).key_octets(100)
    with pytest.raises(MisuseError):
        message_cipher(EncryptionId.ENCR_AES_CBC, 128, None, Secret(bytes(16)), None)


def test_what_we_do_not_have() -> None:
    assert not is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_3DES)
    assert not is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_AES_GCM_16, None)
    assert is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_AES_GCM_16, 192)
    assert not is_implemented(TransformType.PRF, PrfId.PRF_HMAC_MD5)
    assert not is_implemented(TransformType(99), 1)
    for refused in (lambda: prf(PrfId.PRF_HMAC_MD5), lambda: key_exchange(KeyExchangeId.MODP_1024)):
        with pytest.raises(MisuseError):
            refused()
