"""Identification payloads (RFC 7296 section 3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import IdType, PayloadType
from caponier.errors import WireError
from caponier.mechanisms.authentication.identity import Identity
from caponier.octets import Reader, Writer

#: Octets of the Identification Data, where the type fixes them (ID_NULL: RFC 7619 section 2.2).
_LENGTHS: dict[int, int] = {IdType.ID_IPV4_ADDR: 4, IdType.ID_IPV6_ADDR: 16, IdType.ID_NULL: 0}


def identification_body(identity: Identity) -> bytes:
    """The octets that AUTH covers: our ID payload without its generic header (RFC 7296 section 2.15)."""
    return bytes((identity.type, 0, 0, 0)) + identity.value


@dataclass(frozen=True, slots=True)
class Identification:
    """ID payload body (RFC 7296 section 3.5), of both types.

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |   ID Type     |                 RESERVED                      |
       ~                   Identification Data                         ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        identity: type and value.
        reserved: 3 octets. Zero from us and without a meaning, but AUTH covers them as they came.
    """

    identity: Identity
    reserved: bytes = bytes(3)

    @property
    def body(self) -> bytes:
        """The octets that AUTH covers: IDi' or IDr' of RFC 7296 section 2.15."""
        return bytes((self.identity.type,)) + self.reserved + self.identity.value

    @classmethod
    def decode(cls, r: Reader) -> Self:
        id_type, reserved, value = IdType(r.u8("ID type")), r.octets(3, "reserved"), r.rest()
        if len(value) != _LENGTHS.get(id_type, len(value)):
            raise WireError(
                f"{r.what}: {id_type} with {len(value)} octets, not {_LENGTHS[id_type]}",
                field="identification data",
                section="RFC 7296 section 3.5",
            )
        return cls(Identity(id_type, value), reserved)

    def encode(self, w: Writer) -> None:
        w.octets(self.body)


class IdentificationInitiator(Identification):
    """IDi payload (RFC 7296 section 3.5)."""

    __slots__ = ()
    TYPE: ClassVar = PayloadType.IDi


class IdentificationResponder(Identification):
    """IDr payload (RFC 7296 section 3.5)."""

    __slots__ = ()
    TYPE: ClassVar = PayloadType.IDr
