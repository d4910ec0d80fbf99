"""Keywords: to numbers and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId, SequenceNumbersId, TransformType
from caponier.doi.keywords import KEYWORDS, TRANSFORM_IDS, algorithm, keyword_for, keywords_of, nearest
from caponier.errors import ConfigError


@pytest.mark.parametrize(
    ("keyword", "transform_type", "number", "key_length"),
    [
        ("aes128gcm16", TransformType.ENCRYPTION, EncryptionId.ENCR_AES_GCM_16, 128),
        ("aes256", TransformType.ENCRYPTION, EncryptionId.ENCR_AES_CBC, 256),
        ("aes", TransformType.ENCRYPTION, EncryptionId.ENCR_AES_CBC, 128),
        ("aes128ctr", TransformType.ENCRYPTION, EncryptionId.ENCR_AES_CTR, 128),
        ("aes256gcm128", TransformType.ENCRYPTION, EncryptionId.ENCR_AES_GCM_16, 256),
        ("chacha20poly1305", TransformType.ENCRYPTION, EncryptionId.ENCR_CHACHA20_POLY1305, None),
        ("3des", TransformType.ENCRYPTION, EncryptionId.ENCR_3DES, None),
        ("null", TransformType.ENCRYPTION, EncryptionId.ENCR_NULL, None),
        ("sha256", TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA2_256_128, None),
        ("sha2_384", TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA2_384_192, None),
        ("prfsha512", TransformType.PRF, PrfId.PRF_HMAC_SHA2_512, None),
        ("x25519", TransformType.KEY_EXCHANGE, KeyExchangeId.CURVE25519, None),
        ("curve25519", TransformType.KEY_EXCHANGE, KeyExchangeId.CURVE25519, None),
        ("MODP2048", TransformType.KEY_EXCHANGE, KeyExchangeId.MODP_2048, None),
        ("ecp256", TransformType.KEY_EXCHANGE, KeyExchangeId.ECP_256, None),
        ("ke1_mlkem768", TransformType.ADDITIONAL_KEY_EXCHANGE_1, KeyExchangeId.ML_KEM_768, None),
        ("ke7_none", TransformType.ADDITIONAL_KEY_EXCHANGE_7, KeyExchangeId.NONE, None),
        ("esn", TransformType.SEQUENCE_NUMBERS, SequenceNumbersId.PARTIAL_64, None),
        ("noesn", TransformType.SEQUENCE_NUMBERS, SequenceNumbersId.SEQUENTIAL_32, None),
    ],
)
def test_what_keywords_mean(keyword: str, transform_type: TransformType, number: int, key_length: int | None) -> None:
    name = algorithm(keyword)
    assert (name.transform_type, name.id, name.key_length) == (transform_type, number, key_length)
    assert isinstance(name.id, TRANSFORM_IDS[transform_type])


def test_round_trip() -> None:
    """What we write is read as the same; what is read is written in one spelling."""
    for keyword, name in KEYWORDS.items():
        assert keyword == keyword.lower()
        assert "-" not in keyword
        assert keyword_for(name.transform_type, name.id, name.key_length) == name.keyword
        assert algorithm(name.keyword) == name


def test_fixed_length_ciphers_have_no_key_length() -> None:
    """RFC 7296 section 3.3.5: Key Length "MUST NOT be used with transforms that use a fixed-length key"."""
    sized = {name.id for name in KEYWORDS.values() if name.key_length is not None}
    assert not sized & {EncryptionId.ENCR_3DES, EncryptionId.ENCR_NULL, EncryptionId.ENCR_CHACHA20_POLY1305}
    assert all(name.key_length is None for name in KEYWORDS.values() if name.transform_type != TransformType.ENCRYPTION)


@pytest.mark.parametrize(
    ("transform_type", "number", "key_length", "text"),
    [
        (1, 1024, None, "encr1024"),
        (1, 1024, 256, "encr1024/256"),
        (1, 12, 512, "encr_aes_cbc/512"),
        (1, 12, None, "encr_aes_cbc"),
        (1, 32, None, "encr_kuznyechik_mgm_ktree"),
        (2, 99, None, "prf99"),
        (3, 0, None, "auth_none"),
        (4, 33, None, "ke_gost3410_2012_256"),
        (7, 33, None, "ke2_gost3410_2012_256"),
        (12, 99, None, "ke7_99"),
        (5, 2, None, "sn_unspecified_32"),
        (40, 3, None, "type40_3"),
    ],
)
def test_what_has_no_keyword_can_be_looked_up(
    transform_type: int, number: int, key_length: int | None, text: str
) -> None:
    assert keyword_for(transform_type, number, key_length) == text
    assert text not in KEYWORDS


@pytest.mark.parametrize(
    ("word", "close"),
    [
        ("aes256gmc16", "aes256gcm16"),
        ("sha265", "sha256"),
        ("modp2084", "modp2048"),
        ("curve22519", "curve25519"),
        ("ke1_mlkem786", "ke1_mlkem768"),
        ("CHACHA20POLY1350", "chacha20poly1305"),
        ("zzzz", None),
        ("", None),
        ("a" * 100_000, None),
    ],
)
def test_nearest(word: str, close: str | None) -> None:
    assert nearest(word) == close


def test_an_unknown_keyword_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="'aes256gmc16'") as caught:
        algorithm("aes256gmc16")
    assert caught.value.hint == "did you mean 'aes256gcm16'?"
    with pytest.raises(ConfigError) as caught:
        algorithm("x" * 100_000)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=40))
def test_every_word_is_read_or_refused(word: str) -> None:
    try:
        name = algorithm(word)
    except ConfigError:
        return
    assert algorithm(name.keyword) == name


def test_keywords_of_a_number() -> None:
    assert keywords_of(1, 20) == ("aes128gcm16", "aes192gcm16", "aes256gcm16")
    assert keywords_of(4, 31) == ("x25519",)
    assert keywords_of(1, 1024) == ()
