"""Security Association payload: proposals, transforms, attributes (RFC 7296 section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import (
    EncryptionId,
    IntegrityId,
    KeyExchangeId,
    PayloadType,
    PrfId,
    ProtocolId,
    SequenceNumbersId,
    TransformAttributeType,
    TransformType,
)
from caponier.doi.open_enum import OpenEnum
from caponier.errors import WireError
from caponier.mechanisms.negotiation.proposals import Attribute, Proposal, Transform
from caponier.octets import Reader, Writer
from caponier.protocols.ike.messages.limits import (
    MAX_PROPOSALS,
    MAX_TRANSFORM_ATTRIBUTES,
    MAX_TRANSFORMS,
    MAX_TRANSFORMS_IN_ALL,
)

_LAST = 0  #: Last Substruc of the last proposal or transform
_MORE_PROPOSALS = 2
_MORE_TRANSFORMS = 3
_TYPE_VALUE = 0x8000_0000  #: AF bit, in the attribute as one 32-bit word: it has the TV form

#: Registry of the transform ids, by transform type (RFC 7296 section 3.3.2; types 6 to 12: RFC 9370).
_REGISTRIES: dict[int, type[OpenEnum]] = {
    1: EncryptionId,
    2: PrfId,
    3: IntegrityId,
    4: KeyExchangeId,
    5: SequenceNumbersId,
    **dict.fromkeys(range(6, 13), KeyExchangeId),
}

#: Octets of an SPI (section 3.3.1). IKE: none in IKE_SA_INIT, where the header has it; which of the two
#: is right is for the exchange to say.
_SPI_SIZES: dict[int, tuple[int, ...]] = {ProtocolId.IKE: (0, 8), ProtocolId.AH: (4,), ProtocolId.ESP: (4,)}


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """SA payload body (RFC 7296 section 3.3): one or more proposals, best first.

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       ~                          <Proposals>                          ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """

    TYPE: ClassVar = PayloadType.SA
    proposals: tuple[Proposal, ...]

    @classmethod
    def decode(cls, r: Reader) -> Self:
        proposals = [_decode_proposal(r)]
        transforms = len(proposals[0].transforms)
        while r.remaining:
            if len(proposals) == MAX_PROPOSALS:
                raise WireError(f"{r.what}: more than {MAX_PROPOSALS} proposals", field="proposals")
            proposals.append(_decode_proposal(r))
            transforms += len(proposals[-1].transforms)
            if transforms > MAX_TRANSFORMS_IN_ALL:
                raise WireError(f"{r.what}: more than {MAX_TRANSFORMS_IN_ALL} transforms", field="transforms")
        _require_consecutive(proposals)
        return cls(tuple(proposals))

    def encode(self, w: Writer) -> None:
        for position, proposal in enumerate(self.proposals, 1):
            _encode_proposal(w, proposal, is_last=position == len(self.proposals))


def _require_consecutive(proposals: list[Proposal]) -> None:
    """Several proposals are an offer: they count from 1. One may be an answer, with any offered number."""
    first = 1 if len(proposals) > 1 else max(1, proposals[0].number)
    for expected, proposal in enumerate(proposals, first):
        if proposal.number != expected:
            raise WireError(
                f"SA payload: proposal number {proposal.number} where {expected} must stand",
                field="proposal number",
                section="RFC 7296 section 3.3.1",
            )


def _decode_proposal(r: Reader) -> Proposal:
    """Read a proposal substructure (RFC 7296 section 3.3.1).

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Last Substruc |   RESERVED    |         Proposal Length       |
       | Proposal Num  |  Protocol ID  |    SPI Size   |Num  Transforms|
       ~                        SPI (variable)                         ~
       ~                        <Transforms>                           ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """
    body = _substructure(r, "proposal", _MORE_PROPOSALS, section="RFC 7296 section 3.3.1")
    number, protocol = body.u8("proposal number"), ProtocolId(body.u8("protocol id"))
    spi_size, count = body.u8("SPI size"), body.u8("number of transforms")
    if spi_size not in _SPI_SIZES.get(protocol, (spi_size,)):
        raise WireError(
            f"proposal {number}: an SPI of {spi_size} octets for {protocol}",
            field="SPI size",
            section="RFC 7296 section 3.3.1",
        )
    if not 1 <= count <= MAX_TRANSFORMS:
        raise WireError(
            f"proposal {number}: {count} transforms, not 1 to {MAX_TRANSFORMS}",
            field="number of transforms",
            section="RFC 7296 section 3.3.1",
        )
    spi = body.octets(spi_size, "SPI")
    transforms = tuple(_decode_transform(body) for _ in range(count))
    # The count and the lengths must agree (section 3.3); the Last Substruc fields have agreed already.
    body.end()
    return Proposal(number, protocol, spi, transforms)


def _decode_transform(r: Reader) -> Transform:
    """Read a transform substructure (RFC 7296 section 3.3.2).

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Last Substruc |   RESERVED    |        Transform Length       |
       |Transform Type |   RESERVED    |          Transform ID         |
       ~                      Transform Attributes                     ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """
    body = _substructure(r, "transform", _MORE_TRANSFORMS, section="RFC 7296 section 3.3.2")
    word = body.u32("transform id")  # its second octet is reserved: ignored on receipt, section 2.5
    transform_type, number = TransformType(word >> 24), word & 0xFFFF
    registry = _REGISTRIES.get(transform_type)
    identifier = number if registry is None else registry(number)
    return Transform(transform_type, identifier, _decode_attributes(body) if body.remaining else ())


def _substructure(r: Reader, what: str, more: int, *, section: str) -> Reader:
    """Read the four octets that proposals and transforms share; return a reader of the rest."""
    word = r.u32(what)  # its second octet is reserved: ignored on receipt, section 2.5
    last, length = word >> 24, word & 0xFFFF
    body = r.sub(length - 4, what)
    expected = more if r.remaining else _LAST
    if last != expected:
        raise WireError(
            f"{what}: Last Substruc is {last} where {expected} must stand", field="last substructure", section=section
        )
    return body


def _decode_attributes(r: Reader) -> tuple[Attribute, ...]:
    """Read transform attributes (RFC 7296 section 3.3.5).

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |A|       Attribute Type        |    AF=0  Attribute Length     |
       |F|                             |    AF=1  Attribute Value      |
       |                   AF=0  Attribute Value                       |
       |                   AF=1  Not Transmitted                       |
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """
    attributes: dict[TransformAttributeType, Attribute] = {}
    while r.remaining:
        word = r.u32("attribute")
        attribute_type, low = TransformAttributeType(word >> 16 & 0x7FFF), word & 0xFFFF
        value = low if word & _TYPE_VALUE else r.octets(low, "attribute value")
        if attribute_type in attributes or len(attributes) == MAX_TRANSFORM_ATTRIBUTES:
            # "A transform MUST NOT have multiple attributes of the same type."
            raise WireError(
                f"transform: attribute {attribute_type} is one too many",
                field="attributes",
                section="RFC 7296 section 3.3",
            )
        if attribute_type == TransformAttributeType.KEY_LENGTH and isinstance(value, bytes):
            # A fixed-length attribute MUST NOT have the variable-length encoding.
            raise WireError(
                "transform: Key Length in the TLV form", field="attributes", section="RFC 7296 section 3.3.5"
            )
        attributes[attribute_type] = Attribute(attribute_type, value)
    return tuple(attributes.values())


def _encode_proposal(w: Writer, proposal: Proposal, *, is_last: bool) -> None:
    start = len(w)
    w.u8(_LAST if is_last else _MORE_PROPOSALS).u8(0).u16(0)
    w.u8(proposal.number).u8(proposal.protocol).u8(len(proposal.spi)).u8(len(proposal.transforms))
    w.octets(proposal.spi)
    for position, transform in enumerate(proposal.transforms, 1):
        _encode_transform(w, transform, is_last=position == len(proposal.transforms))
    w.patch_u16(start + 2, len(w) - start)


def _encode_transform(w: Writer, transform: Transform, *, is_last: bool) -> None:
    start = len(w)
    w.u8(_LAST if is_last else _MORE_TRANSFORMS).u8(0).u16(0).u8(transform.type).u8(0).u16(transform.id)
    for attribute in transform.attributes:
        if isinstance(attribute.value, int):
            w.u32(_TYPE_VALUE | attribute.type << 16 | attribute.value)
        else:
            w.u16(attribute.type).u16(len(attribute.value)).octets(attribute.value)
    w.patch_u16(start + 2, len(w) - start)
