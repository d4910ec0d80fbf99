"""What the algorithms must refuse: bad public values, changed octets, what we do not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId, TransformType
from caponier.errors import IntegrityFailed, MisuseError, WireError
from caponier.mechanisms.algorithms import catalog
from caponier.mechanisms.algorithms.catalog import cipher, is_implemented, key_exchange, message_cipher, prf
from caponier.mechanisms.algorithms.ciphers import MessageCipher
from caponier.octets import Secret

GROUPS = [KeyExchangeId(number) for number in (*(2, 5), *range(14, 25), *range(28, 33))]
MONTGOMERY = (KeyExchangeId.CURVE25519, KeyExchangeId.CURVE448)


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
        order = "little" if number in MONTGOMERY else "big"
        with pytest.raises(WireError):
            pair.derive_shared(value.to_bytes(group.public_length, order))  # type: ignore[arg-type]
    if number not in MONTGOMERY:
        with pytest.raises(WireError):
            pair.derive_shared(b"\xff" * group.public_length)


SHA384 = IntegrityId.AUTH_HMAC_SHA2_384_192
#: Every cipher with every key length that it takes.
CIPHERS = [
    (number, bits)
    for number in EncryptionId
    for bits in (None, 128, 192, 256)
    if is_implemented(TransformType.ENCRYPTION, number, bits)
]


def made(number: EncryptionId, bits: int | None) -> MessageCipher:
    """With keys of its lengths, and SHA-384 where it needs integrity."""
    key = Secret(bytes(range(cipher(number).key_octets(bits))))
    return message_cipher(number, bits, None if number.is_aead else SHA384, key, Secret(bytes(48)))


def test_there_are_all_ciphers() -> None:
    assert len(CIPHERS) == 2 + 3 * 9  # 3DES and ChaCha20-Poly1305 have one key length


@given(st.sampled_from(CIPHERS), st.binary(max_size=80), st.binary(max_size=80))
def test_junk_never_opens(which: tuple[EncryptionId, int | None], associated: bytes, protected: bytes) -> None:
    with pytest.raises(IntegrityFailed):
        made(*which).open(associated, protected)


@given(st.sampled_from(CIPHERS), st.binary(max_size=80), st.integers(0, 9), st.randoms(use_true_random=False))
def test_what_is_sealed_opens(
    which: tuple[EncryptionId, int | None], associated: bytes, blocks: int, random: Random
) -> None:
    """RFC 7296 section 3.14: the plaintext comes back; with one bit changed, or all of it cut short, it does not."""
    under = made(*which)
    plaintext = random.randbytes(under.block_size * (1 + blocks))
    protected = under.seal(random.randbytes(under.iv_length), associated, plaintext)
    assert len(protected) == under.iv_length + len(plaintext) + under.icv_length
    assert under.open(associated, protected) == plaintext
    changed = bytearray(protected)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    for forged in (bytes(changed), protected[:-1], protected + b"\0"):
        with pytest.raises(IntegrityFailed):
            under.open(associated, forged)
    with pytest.raises(IntegrityFailed):
        under.open(associated + b"\0", protected)


def test_keys_of_another_length() -> None:
    with pytest.raises(MisuseError):
        message_cipher(EncryptionId.ENCR_AES_GCM_16, 256, None, Secret(bytes(20)), None)
    with pytest.raises(MisuseError):
        cipher(EncryptionId.ENCR_AES_GCM_16).key_octets(100)
    with pytest.raises(MisuseError):
        message_cipher(EncryptionId.ENCR_AES_CBC, 128, None, Secret(bytes(16)), None)


@pytest.mark.parametrize(("number", "bits"), CIPHERS)
def test_integrity_where_it_belongs(number: EncryptionId, bits: int | None) -> None:
    """RFC 5282 section 8, RFC 7296 section 3.3.2: an AEAD goes without integrity, any other cipher never does. Keys of no octets,
    of one too few or too many are refused, whatever was negotiated."""
    size = cipher(number).key_octets(bits)
    wrong = SHA384 if number.is_aead else None
    with pytest.raises(MisuseError):
        message_cipher(number, bits, wrong, Secret(bytes(size)), Secret(bytes(48)))
    right = None if number.is_aead else SHA384
    for length in (0, size - 1, size + 1):
        with pytest.raises(MisuseError):
            message_cipher(number, bits, right, Secret(bytes(length)), Secret(bytes(48)))
    if not number.is_aead:
        for length in (0, 47, 49):
            with pytest.raises(MisuseError):
                message_cipher(number, bits, right, Secret(bytes(size)), Secret(bytes(length)))


@pytest.mark.parametrize(("number", "bits"), CIPHERS)
def test_key_lengths_missing_or_forbidden(number: EncryptionId, bits: int | None) -> None:
    """RFC 7296 section 3.3.5: the attribute MUST be there for keys of variable length, MUST NOT for others."""
    for other in (None, 0, 40, 64, 127, 168, 192, 224, 256, 257, 65535):
        is_right = other in ((128, 192, 256) if bits else (None,))
        assert is_implemented(TransformType.ENCRYPTION, number, other) == is_right


def test_no_key_length_where_none_belongs() -> None:
    """RFC 7296 section 3.3.5: PRF, integrity and groups have no Key Length attribute."""
    for transform_type, number in (
        (TransformType.PRF, PrfId.PRF_AES128_XCBC),
        (TransformType.INTEGRITY, IntegrityId.AUTH_AES_CMAC_96),
        (TransformType.KEY_EXCHANGE, KeyExchangeId.MODP_2048),
    ):
        assert is_implemented(transform_type, number)
        assert not is_implemented(transform_type, number, 128)


@pytest.fixture
def _afresh() -> Iterator[None]:
    """What the library does is found out once."""
    catalog._works.cache_clear()
    yield
    catalog._works.cache_clear()


def _refusing(error: Exception) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise error

    return refuse


@pytest.mark.usefixtures("_afresh")
def test_a_prf_that_the_library_refuses_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PRF negotiated and refused afterwards, when keys are derived, ended a daemon once (class N): here none can be agreed on."""
    assert is_implemented(TransformType.PRF, PrfId.PRF_HMAC_MD5)
    catalog._works.cache_clear()
    monkeypatch.setattr("hmac.digest", _refusing(ValueError("unsupported hash type md5")))
    assert not is_implemented(TransformType.PRF, PrfId.PRF_HMAC_MD5)
    assert not is_implemented(TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_MD5_96)
    assert is_implemented(TransformType.PRF, PrfId.PRF_AES128_CMAC)


@pytest.mark.usefixtures("_afresh")
def test_a_cipher_or_curve_that_the_library_refuses_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for Camellia and the Brainpool curves, which not every build of OpenSSL has."""
    refused = UnsupportedAlgorithm("no such algorithm")
    monkeypatch.setattr("caponier.mechanisms.algorithms.block_modes.Camellia", _refusing(refused))
    monkeypatch.setattr("cryptography.hazmat.primitives.asymmetric.ec.derive_private_key", _refusing(refused))
    assert not is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_CAMELLIA_CBC, 128)
    assert not is_implemented(TransformType.KEY_EXCHANGE, KeyExchangeId.BRAINPOOL_P256R1)
    assert is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_AES_CBC, 128)
    assert is_implemented(TransformType.KEY_EXCHANGE, KeyExchangeId.CURVE25519)


def test_what_we_do_not_have() -> None:
    """RFC 8247 section 2: IKE never goes without encryption; the rest is refused by us and by most others."""
    assert not is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_NULL)
    assert not is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_NULL_AUTH_AES_GMAC, 128)
    assert not is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_DES)
    assert is_implemented(TransformType.ENCRYPTION, EncryptionId.ENCR_AES_GCM_16, 192)
    assert not is_implemented(TransformType.PRF, PrfId.PRF_HMAC_TIGER)
    assert not is_implemented(TransformType(99), 1)
    for refused in (lambda: prf(PrfId.PRF_HMAC_TIGER), lambda: key_exchange(KeyExchangeId.MODP_768)):
        with pytest.raises(MisuseError):
            refused()
