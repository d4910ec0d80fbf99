"""Proposals of an SA payload and the choice among them (RFC 7296 sections 2.7 and 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from caponier.doi.ikev2 import ProtocolId, TransformAttributeType, TransformType


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
