"""How the field spells algorithms: the keywords of a proposal, to numbers and back.

The spelling is the one that operators know from strongSwan and from most guides: ``aes256gcm16``, ``sha384``,
``prfsha384``, ``ecp384``, ``ke1_mlkem768``, ``esn``. A cipher's keyword carries its key length, because that is a
part of what is negotiated (RFC 7296 section 3.3.5). Several spellings of one algorithm are read; one is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId, SequenceNumbersId, TransformType
from caponier.doi.open_enum import OpenEnum
from caponier.errors import ConfigError

_LONGEST_WORD = 64  #: longer words are no misspelt keywords


@dataclass(frozen=True, slots=True)
class AlgorithmName:
    """What a keyword means.

    Attributes:
        transform_type: what the algorithm is proposed for.
        id: its number in that type's registry.
        key_length: bits, where the Key Length attribute has to be sent; None for all others.
        keyword: how we write it.
    """

    transform_type: TransformType
    id: int
    key_length: int | None
    keyword: str


#: Registry of the transform ids, by transform type (RFC 7296 section 3.3.2; types 6 to 12: RFC 9370).
TRANSFORM_IDS: Mapping[int, type[OpenEnum]] = MappingProxyType(
    {
        TransformType.ENCRYPTION: EncryptionId,
        TransformType.PRF: PrfId,
        TransformType.INTEGRITY: IntegrityId,
        TransformType.KEY_EXCHANGE: KeyExchangeId,
        TransformType.SEQUENCE_NUMBERS: SequenceNumbersId,
        **dict.fromkeys(map(TransformType, range(6, 13)), KeyExchangeId),
    }
)

_AES_AND_CAMELLIA = (128, 192, 256)

# In the rows below the first spelling is the one we write; {} stands for the key length in bits.

_SIZED_CIPHERS: tuple[tuple[EncryptionId, tuple[int, ...], tuple[str, ...]], ...] = (
    (EncryptionId.ENCR_AES_CBC, _AES_AND_CAMELLIA, ("aes{}", "aes{}cbc")),
    (EncryptionId.ENCR_AES_CTR, _AES_AND_CAMELLIA, ("aes{}ctr",)),
    (EncryptionId.ENCR_AES_CCM_8, _AES_AND_CAMELLIA, ("aes{}ccm8", "aes{}ccm64")),
    (EncryptionId.ENCR_AES_CCM_12, _AES_AND_CAMELLIA, ("aes{}ccm12", "aes{}ccm96")),
    (EncryptionId.ENCR_AES_CCM_16, _AES_AND_CAMELLIA, ("aes{}ccm16", "aes{}ccm128", "aes{}ccm")),
    (EncryptionId.ENCR_AES_GCM_8, _AES_AND_CAMELLIA, ("aes{}gcm8", "aes{}gcm64")),
    (EncryptionId.ENCR_AES_GCM_12, _AES_AND_CAMELLIA, ("aes{}gcm12", "aes{}gcm96")),
    (EncryptionId.ENCR_AES_GCM_16, _AES_AND_CAMELLIA, ("aes{}gcm16", "aes{}gcm128", "aes{}gcm")),
    (EncryptionId.ENCR_NULL_AUTH_AES_GMAC, _AES_AND_CAMELLIA, ("aes{}gmac",)),
    (EncryptionId.ENCR_CAMELLIA_CBC, _AES_AND_CAMELLIA, ("camellia{}", "camellia{}cbc")),
    (EncryptionId.ENCR_CAMELLIA_CTR, _AES_AND_CAMELLIA, ("camellia{}ctr",)),
    (EncryptionId.ENCR_CAMELLIA_CCM_8, _AES_AND_CAMELLIA, ("camellia{}ccm8", "camellia{}ccm64")),
    (EncryptionId.ENCR_CAMELLIA_CCM_12, _AES_AND_CAMELLIA, ("camellia{}ccm12", "camellia{}ccm96")),
    (EncryptionId.ENCR_CAMELLIA_CCM_16, _AES_AND_CAMELLIA, ("camellia{}ccm16", "camellia{}ccm128", "camellia{}ccm")),
    (EncryptionId.ENCR_BLOWFISH, (128, 192, 256), ("blowfish{}",)),
    (EncryptionId.ENCR_CAST, (128,), ("cast{}",)),
)

_OTHERS: tuple[tuple[TransformType, OpenEnum, tuple[str, ...]], ...] = (
    (TransformType.ENCRYPTION, EncryptionId.ENCR_CHACHA20_POLY1305, ("chacha20poly1305",)),
    (TransformType.ENCRYPTION, EncryptionId.ENCR_NULL, ("null",)),
    (TransformType.ENCRYPTION, EncryptionId.ENCR_3DES, ("3des",)),
    (TransformType.ENCRYPTION, EncryptionId.ENCR_DES, ("des",)),
    (TransformType.PRF, PrfId.PRF_HMAC_MD5, ("prfmd5",)),
    (TransformType.PRF, PrfId.PRF_HMAC_SHA1, ("prfsha1", "prfsha")),
    (TransformType.PRF, PrfId.PRF_AES128_XCBC, ("prfaesxcbc",)),
    (TransformType.PRF, PrfId.PRF_HMAC_SHA2_256, ("prfsha256", "prfsha2_256")),
    (TransformType.PRF, PrfId.PRF_HMAC_SHA2_384, ("prfsha384", "prfsha2_384")),
    (TransformType.PRF, PrfId.PRF_HMAC_SHA2_512, ("prfsha512", "prfsha2_512")),
    (TransformType.PRF, PrfId.PRF_AES128_CMAC, ("prfaescmac",)),
    (TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_MD5_96, ("md5",)),
    (TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_MD5_128, ("md5_128",)),
    (TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA1_96, ("sha1", "sha")),
    (TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA1_160, ("sha1_160",)),
    (TransformType.INTEGRITY, IntegrityId.AUTH_AES_XCBC_96, ("aesxcbc",)),
    (TransformType.INTEGRITY, IntegrityId.AUTH_AES_CMAC_96, ("aescmac",)),
    (TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA2_256_128, ("sha256", "sha2_256")),
    (TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA2_384_192, ("sha384", "sha2_384")),
    (TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA2_512_256, ("sha512", "sha2_512")),
    (TransformType.SEQUENCE_NUMBERS, SequenceNumbersId.SEQUENTIAL_32, ("noesn",)),
    (TransformType.SEQUENCE_NUMBERS, SequenceNumbersId.PARTIAL_64, ("esn",)),
)

_KEY_EXCHANGES: tuple[tuple[KeyExchangeId, tuple[str, ...]], ...] = (
    (KeyExchangeId.NONE, ("none", "modpnone")),
    (KeyExchangeId.MODP_768, ("modp768",)),
    (KeyExchangeId.MODP_1024, ("modp1024",)),
    (KeyExchangeId.MODP_1536, ("modp1536",)),
    (KeyExchangeId.MODP_2048, ("modp2048",)),
    (KeyExchangeId.MODP_3072, ("modp3072",)),
    (KeyExchangeId.MODP_4096, ("modp4096",)),
    (KeyExchangeId.MODP_6144, ("modp6144",)),
    (KeyExchangeId.MODP_8192, ("modp8192",)),
    (KeyExchangeId.MODP_1024_160, ("modp1024s160",)),
    (KeyExchangeId.MODP_2048_224, ("modp2048s224",)),
    (KeyExchangeId.MODP_2048_256, ("modp2048s256",)),
    (KeyExchangeId.ECP_192, ("ecp192",)),
    (KeyExchangeId.ECP_224, ("ecp224",)),
    (KeyExchangeId.ECP_256, ("ecp256",)),
    (KeyExchangeId.ECP_384, ("ecp384",)),
    (KeyExchangeId.ECP_521, ("ecp521",)),
    (KeyExchangeId.BRAINPOOL_P224R1, ("ecp224bp",)),
    (KeyExchangeId.BRAINPOOL_P256R1, ("ecp256bp",)),
    (KeyExchangeId.BRAINPOOL_P384R1, ("ecp384bp",)),
    (KeyExchangeId.BRAINPOOL_P512R1, ("ecp512bp",)),
    (KeyExchangeId.CURVE25519, ("x25519", "curve25519")),
    (KeyExchangeId.CURVE448, ("x448", "curve448")),
    (KeyExchangeId.ML_KEM_512, ("mlkem512",)),
    (KeyExchangeId.ML_KEM_768, ("mlkem768",)),
    (KeyExchangeId.ML_KEM_1024, ("mlkem1024",)),
)

#: Spellings of a whole family that stand for one of its members.
_SHORTHANDS = {"aes": "aes128", "camellia": "camellia128", "blowfish": "blowfish128", "chacha20": "chacha20poly1305"}


def _spellings() -> Iterator[tuple[str, AlgorithmName]]:
    for cipher, lengths, spellings in _SIZED_CIPHERS:
        for length in lengths:
            name = AlgorithmName(TransformType.ENCRYPTION, cipher, length, spellings[0].format(length))
            yield from ((spelling.format(length), name) for spelling in spellings)
    for transform_type, number, spellings in _OTHERS:
        name = AlgorithmName(transform_type, number, None, spellings[0])
        yield from ((spelling, name) for spelling in spellings)
    for method, spellings in _KEY_EXCHANGES:
        name = AlgorithmName(TransformType.KEY_EXCHANGE, method, None, spellings[0])
        yield from ((spelling, name) for spelling in spellings)
        for position in range(1, 8):
            yield from _additional(position, name, spellings)


def _additional(position: int, name: AlgorithmName, spellings: tuple[str, ...]) -> Iterator[tuple[str, AlgorithmName]]:
    """``ke1_`` to ``ke7_``: transform types 6 to 12 (RFC 9370 section 2.2.2)."""
    prefix = f"ke{position}_"
    additional = replace(name, transform_type=TransformType(5 + position), keyword=prefix + name.keyword)
    yield from ((prefix + spelling, additional) for spelling in spellings)


_ALL = dict(_spellings())

#: Every spelling that is read, in lower case.
KEYWORDS: Mapping[str, AlgorithmName] = MappingProxyType(
    {**_ALL, **{short: _ALL[full] for short, full in _SHORTHANDS.items()}}
)

#: Spellings that name another algorithm in a proposal for AH: there AES-GMAC is one of integrity (RFC 4543 section 5.4).
AH_KEYWORDS: Mapping[str, AlgorithmName] = MappingProxyType(
    {
        keyword: AlgorithmName(TransformType.INTEGRITY, number, None, keyword)
        for keyword, number in (
            ("aes128gmac", IntegrityId.AUTH_AES_128_GMAC),
            ("aes192gmac", IntegrityId.AUTH_AES_192_GMAC),
            ("aes256gmac", IntegrityId.AUTH_AES_256_GMAC),
        )
    }
)

_WRITTEN = {
    (int(name.transform_type), int(name.id), name.key_length): name.keyword
    for name in (*_ALL.values(), *AH_KEYWORDS.values())
}
_PREFIXES: dict[int, str] = {
    1: "encr",
    2: "prf",
    3: "auth",
    4: "ke",
    5: "sn",
    **{n: f"ke{n - 5}_" for n in range(6, 13)},
}


def algorithm(keyword: str) -> AlgorithmName:
    """Look a keyword up; upper and lower case are one.

    Raises:
        ConfigError: nobody spells an algorithm like that; the hint has the nearest spelling.
    """
    name = KEYWORDS.get(keyword.lower())
    if name is None:
        close = nearest(keyword)
        hint = f"did you mean {close!r}?" if close else "`caponier doi` lists the algorithms"
        raise ConfigError(f"no algorithm is called {keyword[:_LONGEST_WORD]!r}", hint=hint)
    return name


def keyword_for(transform_type: int, number: int, key_length: int | None = None) -> str:
    """Write an algorithm: as its keyword, or, where there is none, so that a person can look it up.

    Without a keyword it is the registry's name in lower case (``encr_kuznyechik_mgm_ktree``) or, for an unknown
    number, the type's prefix and the number (``encr1024``); a key length that the keywords do not have follows
    after a slash (``encr_aes_cbc/512``).
    """
    keyword = _WRITTEN.get((transform_type, number, key_length))
    if keyword is not None:
        return keyword
    size = "" if key_length is None else f"/{key_length}"
    return _plain_name(transform_type, number) + size


def _plain_name(transform_type: int, number: int) -> str:
    registry = TRANSFORM_IDS.get(transform_type)
    prefix = _PREFIXES.get(transform_type, f"type{int(transform_type)}_")
    if registry is None or not registry(number).is_known:
        return f"{prefix}{number}"
    name = registry(number).name.lower()
    return name if name.startswith(prefix) else f"{prefix.rstrip('_')}_{name}"


def keywords_of(transform_type: int, number: int) -> tuple[str, ...]:
    """All keywords that we write for a number: one for each key length."""
    return tuple(word for (kind, value, _), word in _WRITTEN.items() if (kind, value) == (transform_type, number))


def nearest(word: str) -> str | None:
    """The keyword that looks most like ``word``; None if nothing does."""
    if len(word) > _LONGEST_WORD:
        return None
    close = get_close_matches(word.lower(), KEYWORDS, n=1)
    return close[0] if close else None
