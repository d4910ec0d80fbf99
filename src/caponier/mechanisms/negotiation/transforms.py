"""What a proposal is made of (RFC 7296 sections 3.3.1 to 3.3.5), and which types it must have (section 3.3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from caponier.doi.ikev2 import (
    EncryptionId,
    IntegrityId,
    KeyExchangeId,
    ProtocolId,
    TransformAttributeType,
    TransformType,
)

NONE = 0  #: In the types that know it: no algorithm of this type (AUTH_NONE, key exchange NONE).

#: Transform types 6 to 12 (RFC 9370 section 2.2.2).
ADDITIONAL_KEY_EXCHANGES = tuple(map(TransformType, range(6, 13)))
KEY_EXCHANGES = (TransformType.KEY_EXCHANGE, *ADDITIONAL_KEY_EXCHANGES)

#: Key exchange methods that a quantum computer does not break.
QUANTUM_SAFE = frozenset((KeyExchangeId.ML_KEM_512, KeyExchangeId.ML_KEM_768, KeyExchangeId.ML_KEM_1024))

#: "A proposal MAY omit the optional types if the only value for them it will accept is NONE" (section 3.3.3).
#: For IKE the integrity type is among the optional ones, as AEAD ciphers come without it (RFC 5282 section 8).
MANDATORY_TYPES: Mapping[int, tuple[TransformType, ...]] = MappingProxyType(
    {
        ProtocolId.IKE: (TransformType.ENCRYPTION, TransformType.PRF, TransformType.KEY_EXCHANGE),
        ProtocolId.ESP: (TransformType.ENCRYPTION, TransformType.SEQUENCE_NUMBERS),
        ProtocolId.AH: (TransformType.INTEGRITY, TransformType.SEQUENCE_NUMBERS),
    }
)
OPTIONAL_TYPES: Mapping[int, tuple[TransformType, ...]] = MappingProxyType(
    {
        ProtocolId.IKE: (TransformType.INTEGRITY, *ADDITIONAL_KEY_EXCHANGES),
        ProtocolId.ESP: (TransformType.INTEGRITY, *KEY_EXCHANGES),
        ProtocolId.AH: KEY_EXCHANGES,
    }
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A transform attribute (RFC 7296 section 3.3.5).

    Attributes:
        type: 15 bits.
        value: an integer for the TV form, octets for the TLV form.
    """

    type: TransformAttributeType
    value: int | bytes


@dataclass(frozen=True, slots=True)
class Transform:
    """One algorithm offered for one purpose (RFC 7296 section 3.3.2).

    Attributes:
        type: what it is for.
        id: its number in the registry of that type (an open enumeration of ``doi.ikev2``, or a plain
            number where the type is unknown).
        attributes: as they came; for the ciphers of variable key length, the key length in bits.
    """

    type: TransformType
    id: int
    attributes: tuple[Attribute, ...] = ()

    @property
    def key_length(self) -> int | None:
        """The Key Length attribute, in bits; None without one."""
        for attribute in self.attributes:
            if attribute.type == TransformAttributeType.KEY_LENGTH and isinstance(attribute.value, int):
                return attribute.value
        return None

    @property
    def is_aead(self) -> bool:
        """Whether it is a cipher that needs no integrity algorithm, nor suffers one."""
        return self.type == TransformType.ENCRYPTION and EncryptionId(self.id).is_aead


@dataclass(frozen=True, slots=True)
class Proposal:
    """One alternative: for each transform type one of the transforms of that type (RFC 7296 section 3.3.1).

    Attributes:
        number: 1 for the first proposal of an SA payload, one more for each next.
        protocol: IKE, ESP or AH.
        spi: the sender's inbound SPI: none for IKE_SA_INIT, 8 octets for an IKE rekey, 4 for ESP and AH.
        transforms: in order of preference within each type.
    """

    number: int
    protocol: ProtocolId
    spi: bytes
    transforms: tuple[Transform, ...]

    def of(self, transform_type: TransformType) -> tuple[Transform, ...]:
        """The transforms of one type, in order of preference."""
        return tuple([transform for transform in self.transforms if transform.type == transform_type])

    @property
    def types(self) -> frozenset[TransformType]:
        """The transform types that it has."""
        return frozenset([transform.type for transform in self.transforms])


def without_key_exchange(proposal: Proposal) -> Proposal:
    """The same without key exchanges: for the Child SA that is made within IKE_AUTH.

    "The SA payload in the IKE_AUTH exchange cannot contain Transform Type 4 with any value other than NONE.
    Implementations SHOULD omit the whole transform substructure" (RFC 7296 section 1.2). The additional ones of
    RFC 9370 go with it.
    """
    kept = tuple(transform for transform in proposal.transforms if transform.type not in KEY_EXCHANGES)
    return replace(proposal, transforms=kept)


def without_additional(proposals: Iterable[Proposal]) -> tuple[Proposal, ...]:
    """What is left of proposals where no additional key exchange can be done: those that can do without, and do.

    A peer that does not know IKE_INTERMEDIATE cannot have it in IKE_SA_INIT (RFC 9370 section 2.2.1).
    """
    return tuple(
        replace(proposal, transforms=tuple(each for each in proposal.transforms if not _is_additional(each)))
        for proposal in proposals
        if all(
            NONE in {transform.id for transform in proposal.of(kind)}
            for kind in proposal.types.intersection(ADDITIONAL_KEY_EXCHANGES)
        )
    )


def _is_additional(transform: Transform) -> bool:
    return transform.type in ADDITIONAL_KEY_EXCHANGES and transform.id != NONE


def is_quantum_safe(proposal: Proposal) -> bool:
    """Whether every choice from a proposal has a key exchange that a quantum computer does not break."""
    return any(
        {transform.id for transform in proposal.of(kind)} <= QUANTUM_SAFE
        for kind in proposal.types.intersection(KEY_EXCHANGES)
    )


def goes_with(transform: Transform, chosen: Iterable[Transform]) -> bool:
    """Whether a transform can join those of the types before it in one suite.

    An AEAD cipher goes with no integrity algorithm (RFC 5282 section 8), any other with one (RFC 8221 section 6:
    AUTH_NONE "MUST NOT be selected"), AH never without (RFC 7296 section 3.3.3); no key exchange method is used
    twice, and none is additional to nothing (RFC 9370 section 2.2.2).
    """
    if transform.type == TransformType.INTEGRITY:
        is_aead = any(other.is_aead for other in chosen)
        return is_aead == (transform.id == IntegrityId.AUTH_NONE)
    if transform.type in KEY_EXCHANGES and transform.id != KeyExchangeId.NONE:
        others = [other.id for other in chosen if other.type in KEY_EXCHANGES and other.id != NONE]
        return transform.id not in others and (bool(others) or transform.type == TransformType.KEY_EXCHANGE)
    return True
