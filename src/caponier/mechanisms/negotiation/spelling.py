"""Proposals as people write them: ``aes256gcm16-prfsha384-ecp384`` (RFC 7296 section 3.3 in the field's keywords).

Keywords are parted by hyphens; several of one type are alternatives, best first. An IKE proposal without a PRF takes
the PRFs of its hashes, as the field does: ``aes256-sha256-ecp256`` is short for ``aes256-sha256-prfsha256-ecp256``.
With an AEAD cipher, which has no integrity algorithm, a hash in an IKE proposal names the PRF only. An ESP or AH
proposal without ``esn`` or ``noesn`` means ``noesn``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from caponier.doi.ikev2 import (
    EncryptionId,
    IntegrityId,
    KeyExchangeId,
    PrfId,
    ProtocolId,
    SequenceNumbersId,
    TransformAttributeType,
    TransformType,
)
from caponier.doi.keywords import AH_KEYWORDS, AlgorithmName, algorithm, keyword_for
from caponier.errors import ConfigError
from caponier.mechanisms.negotiation.transforms import (
    KEY_EXCHANGES,
    MANDATORY_TYPES,
    NONE,
    OPTIONAL_TYPES,
    Attribute,
    Proposal,
    Transform,
)

_MAX_TEXT = 2000  #: characters of proposals in a message; a peer may offer more than anybody reads
_MAX_KEYWORDS = 100  #: in one proposal; ours, not the RFC's

#: What a person calls a transform type.
TYPE_NAMES: Mapping[int, str] = MappingProxyType(
    {
        TransformType.ENCRYPTION: "encryption",
        TransformType.PRF: "pseudorandom function",
        TransformType.INTEGRITY: "integrity",
        TransformType.KEY_EXCHANGE: "key exchange",
        TransformType.SEQUENCE_NUMBERS: "sequence numbers",
        **{n: f"additional key exchange {n - 5}" for n in map(TransformType, range(6, 13))},
    }
)

#: Keywords that show what is meant, for the hint where a type is missing.
_EXAMPLES: Mapping[int, str] = MappingProxyType(
    {
        TransformType.ENCRYPTION: "aes256gcm16",
        TransformType.PRF: "prfsha384",
        TransformType.INTEGRITY: "sha256",
        TransformType.KEY_EXCHANGE: "ecp384",
    }
)

_PRF_OF: Mapping[int, PrfId] = MappingProxyType(
    {
        IntegrityId.AUTH_HMAC_MD5_96: PrfId.PRF_HMAC_MD5,
        IntegrityId.AUTH_HMAC_MD5_128: PrfId.PRF_HMAC_MD5,
        IntegrityId.AUTH_HMAC_SHA1_96: PrfId.PRF_HMAC_SHA1,
        IntegrityId.AUTH_HMAC_SHA1_160: PrfId.PRF_HMAC_SHA1,
        IntegrityId.AUTH_AES_XCBC_96: PrfId.PRF_AES128_XCBC,
        IntegrityId.AUTH_AES_CMAC_96: PrfId.PRF_AES128_CMAC,
        IntegrityId.AUTH_HMAC_SHA2_256_128: PrfId.PRF_HMAC_SHA2_256,
        IntegrityId.AUTH_HMAC_SHA2_384_192: PrfId.PRF_HMAC_SHA2_384,
        IntegrityId.AUTH_HMAC_SHA2_512_256: PrfId.PRF_HMAC_SHA2_512,
    }
)

#: The order in which the types are written.
_ORDER = (
    TransformType.ENCRYPTION,
    TransformType.INTEGRITY,
    TransformType.PRF,
    *KEY_EXCHANGES,
    TransformType.SEQUENCE_NUMBERS,
)


def parse_ike_proposal(text: str, number: int = 1) -> Proposal:
    """Read an IKE proposal.

    Raises:
        ConfigError: with the keyword or the type that is at fault.
    """
    transforms = _transforms(text, ProtocolId.IKE)
    hashes = [transform for transform in transforms if transform.type == TransformType.INTEGRITY]
    if not any(transform.type == TransformType.PRF for transform in transforms):
        transforms += [Transform(TransformType.PRF, prf) for prf in _prfs_of(hashes)]
        if _aead_only(transforms):
            transforms = [transform for transform in transforms if transform not in hashes]
    unfit = (EncryptionId.ENCR_NULL, EncryptionId.ENCR_NULL_AUTH_AES_GMAC)  # RFC 8247 section 2.1
    for transform in transforms:
        if transform.type == TransformType.ENCRYPTION and transform.id in unfit:
            raise _refused(text, f"{keyword_of(transform)} does not encrypt, and IKE must", "take an AES cipher")
        if transform.type == TransformType.KEY_EXCHANGE and transform.id == KeyExchangeId.NONE:
            raise _refused(text, "an IKE SA cannot be made without a key exchange", "leave 'none' out")
    return _proposal(text, number, ProtocolId.IKE, transforms)


def parse_esp_proposal(text: str, number: int = 1) -> Proposal:
    """Read an ESP proposal; without ``esn`` and ``noesn`` it is ``noesn``.

    Raises:
        ConfigError: with the keyword or the type that is at fault.
    """
    return _proposal(text, number, ProtocolId.ESP, _with_sequence_numbers(_transforms(text, ProtocolId.ESP)))


def parse_ah_proposal(text: str, number: int = 1) -> Proposal:
    """Read an AH proposal; without ``esn`` and ``noesn`` it is ``noesn``.

    Raises:
        ConfigError: with the keyword or the type that is at fault.
    """
    return _proposal(text, number, ProtocolId.AH, _with_sequence_numbers(_transforms(text, ProtocolId.AH)))


def format_proposal(proposal: Proposal) -> str:
    """Write a proposal as ``parse_*`` reads it; what has no keyword is written so that it can be looked up."""
    left_out = _implied(proposal)
    known = [transform for kind in _ORDER if kind not in left_out for transform in proposal.of(kind)]
    unknown = [transform for transform in proposal.transforms if transform.type not in _ORDER]
    return "-".join(map(keyword_of, (*known, *unknown))) or "nothing"


def format_proposals(proposals: Iterable[Proposal]) -> str:
    """Write several, parted by ", "; what is too long to be read is cut off."""
    text = ", ".join(map(format_proposal, proposals)) or "nothing"
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + " …"


def keyword_of(transform: Transform) -> str:
    """Write one transform: its keyword, and the type of each attribute that no keyword has."""
    word = keyword_for(transform.type, transform.id, transform.key_length)
    others = [attribute for attribute in transform.attributes if attribute.type != TransformAttributeType.KEY_LENGTH]
    return word + "".join(f"+attribute{int(attribute.type)}" for attribute in others)


def _transforms(text: str, protocol: ProtocolId) -> list[Transform]:
    """Read the keywords, in the order of the text."""
    words = text.strip().lower().split("-")
    if words == [""]:
        raise ConfigError("a proposal is empty", hint=f"a good one is {_GOOD[protocol]!r}")
    if len(words) > _MAX_KEYWORDS:
        raise ConfigError(f"a proposal has {len(words)} keywords, more than {_MAX_KEYWORDS}")
    transforms: list[Transform] = []
    for word in words:
        transform = _transform(_named(word, text, protocol))
        if transform.type not in (*MANDATORY_TYPES[protocol], *OPTIONAL_TYPES[protocol]):
            raise _refused(text, f"{word!r} has no place in a proposal for {protocol}", f"leave {word!r} out")
        if transform in transforms:
            raise _refused(text, f"{word!r} names the same algorithm twice", f"leave one {word!r} out")
        transforms.append(transform)
    return transforms


def _named(word: str, text: str, protocol: ProtocolId) -> AlgorithmName:
    if protocol == ProtocolId.AH and word in AH_KEYWORDS:
        return AH_KEYWORDS[word]
    try:
        return algorithm(word)
    except ConfigError as error:
        raise _refused(text, error.message, error.hint) from None


def _transform(name: AlgorithmName) -> Transform:
    key_length = name.key_length
    attributes = () if key_length is None else (Attribute(TransformAttributeType.KEY_LENGTH, key_length),)
    return Transform(name.transform_type, name.id, attributes)


def _with_sequence_numbers(transforms: list[Transform]) -> list[Transform]:
    if any(transform.type == TransformType.SEQUENCE_NUMBERS for transform in transforms):
        return transforms
    return [*transforms, Transform(TransformType.SEQUENCE_NUMBERS, SequenceNumbersId.SEQUENTIAL_32)]


def _proposal(text: str, number: int, protocol: ProtocolId, transforms: Sequence[Transform]) -> Proposal:
    """Check the rules that hold for every proposal of ours, and sort by type."""
    missing = [kind for kind in MANDATORY_TYPES[protocol] if all(transform.type != kind for transform in transforms)]
    if missing:
        hint = f"add one, such as {_EXAMPLES[missing[0]]!r}"
        raise _refused(text, f"it names no {TYPE_NAMES[missing[0]]} algorithm (RFC 7296 section 3.3.3)", hint)
    if protocol != ProtocolId.AH:
        _check_integrity(text, transforms)
    in_order = sorted(transforms, key=lambda transform: transform.type)
    return Proposal(number, protocol, b"", tuple(in_order))


def _check_integrity(text: str, transforms: Sequence[Transform]) -> None:
    """AEAD ciphers stand alone, all others need an integrity algorithm (RFC 7296 section 2.7, RFC 5282 section 8)."""
    ciphers = [transform for transform in transforms if transform.type == TransformType.ENCRYPTION]
    hashes = [transform for transform in transforms if transform.type == TransformType.INTEGRITY]
    aead = [cipher for cipher in ciphers if cipher.is_aead]
    plain = [cipher for cipher in ciphers if not cipher.is_aead]
    if aead and plain:
        raise _refused(
            text,
            f"{keyword_of(aead[0])} protects integrity itself and {keyword_of(plain[0])} does not (RFC 5282 section 8)",
            "make two proposals of it",
        )
    if aead and hashes:
        word = keyword_of(hashes[0])
        raise _refused(
            text, f"{keyword_of(aead[0])} protects integrity itself (RFC 5282 section 8)", f"leave {word!r} out"
        )
    if plain and not hashes:
        raise _refused(
            text,
            f"{keyword_of(plain[0])} needs an integrity algorithm (RFC 7296 section 3.3.3)",
            f"add one, such as {_EXAMPLES[TransformType.INTEGRITY]!r}, or take an AEAD cipher",
        )


def _refused(text: str, why: str, hint: str | None) -> ConfigError:
    return ConfigError(f"proposal {text.strip()[:_MAX_TEXT]!r}: {why}", hint=hint)


def _aead_only(transforms: Iterable[Transform]) -> bool:
    ciphers = [transform for transform in transforms if transform.type == TransformType.ENCRYPTION]
    return bool(ciphers) and all(cipher.is_aead for cipher in ciphers)


def _prfs_of(hashes: Iterable[Transform]) -> list[PrfId]:
    """The PRFs that hashes stand for, each once."""
    return list(dict.fromkeys(_PRF_OF[transform.id] for transform in hashes if transform.id in _PRF_OF))


def _implied(proposal: Proposal) -> set[TransformType]:
    """The types that need not be written, as the reader adds them."""
    integrity, prfs = proposal.of(TransformType.INTEGRITY), proposal.of(TransformType.PRF)
    numbering = proposal.of(TransformType.SEQUENCE_NUMBERS)
    implied: set[TransformType] = set()
    if [prf.id for prf in prfs] == _prfs_of(integrity):
        implied.add(TransformType.PRF)
    if [transform.id for transform in numbering] == [SequenceNumbersId.SEQUENTIAL_32]:
        implied.add(TransformType.SEQUENCE_NUMBERS)
    if [transform.id for transform in integrity] == [NONE] and _aead_only(proposal.transforms):
        implied.add(TransformType.INTEGRITY)
    return implied


_GOOD: Mapping[int, str] = MappingProxyType(
    {
        ProtocolId.IKE: "aes256gcm16-prfsha384-ecp384",
        ProtocolId.ESP: "aes256gcm16",
        ProtocolId.AH: "sha256",
    }
)

_AEADS = "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-prfsha512"
_GROUPS = "x25519-ecp384-ecp256-ecp521-modp3072-modp4096-modp2048"

#: What we offer and accept where the operator names nothing: first with ML-KEM besides, which a peer that does not know
#: transform type 6 passes over as a whole (RFC 7296 section 3.3.6) and takes the next; then AEAD first; nothing that RFC 8221 or RFC 8247 advises
#: against, and no SHA-1.
DEFAULT_IKE_PROPOSALS: tuple[Proposal, ...] = (
    parse_ike_proposal(f"{_AEADS}-{_GROUPS}-ke1_mlkem768-ke1_mlkem1024", 1),
    parse_ike_proposal(f"{_AEADS}-{_GROUPS}", 2),
    parse_ike_proposal(f"aes256-aes128-sha384-sha256-sha512-{_GROUPS}", 3),
)

#: The same for ESP. A key exchange is wanted for every Child SA after the first (perfect forward secrecy, RFC 7296
#: section 2.12), but a peer that does not want it is not refused: NONE is acceptable too. Sequence numbers of 64 bits
#: go before those of 32, which a fast link uses up within the hour.
_NUMBERS = "esn-noesn"
DEFAULT_ESP_PROPOSALS: tuple[Proposal, ...] = (
    parse_esp_proposal(f"aes256gcm16-aes128gcm16-chacha20poly1305-{_GROUPS}-none-{_NUMBERS}", 1),
    parse_esp_proposal(f"aes256-aes128-sha384-sha256-sha512-{_GROUPS}-none-{_NUMBERS}", 2),
)
DEFAULT_AH_PROPOSALS: tuple[Proposal, ...] = (parse_ah_proposal(f"sha384-sha256-sha512-{_GROUPS}-none-{_NUMBERS}", 1),)
