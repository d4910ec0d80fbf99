"""EAP payload (RFC 7296 section 3.16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import PayloadType
from caponier.errors import WireError
from caponier.octets import Reader, Writer

_HEADER_LENGTH = 4
_REQUEST, _RESPONSE, _SUCCESS, _FAILURE = 1, 2, 3, 4  # RFC 3748 section 4


@dataclass(frozen=True, slots=True)
class Eap:
    """EAP payload body (RFC 7296 section 3.16): one EAP message.

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |     Code      | Identifier    |           Length              |
       |     Type      | Type_Data...
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-

    Attributes:
        message: the EAP message, header and all. Other codes than RFC 3748's pass (RFC 6867 has two).
    """

    TYPE: ClassVar = PayloadType.EAP
    message: bytes

    @property
    def code(self) -> int:
        return self.message[0]

    @property
    def identifier(self) -> int:
        return self.message[1]

    @classmethod
    def decode(cls, r: Reader) -> Self:
        message = r.rest()
        header = Reader(message, r.what)
        code, _, length = header.u8("code"), header.u8("identifier"), header.u16("length")
        # "MUST be four less than the Payload Length of the encapsulating payload."
        if length != len(message):
            raise WireError(
                f"{r.what}: length {length} in {len(message)} octets", field="length", section="RFC 7296 section 3.16"
            )
        # Success and Failure: "the EAP message length MUST be four octets"; the other two have a type.
        if (code in (_SUCCESS, _FAILURE) and length != _HEADER_LENGTH) or (
            code in (_REQUEST, _RESPONSE) and length == _HEADER_LENGTH
        ):
            raise WireError(
                f"{r.what}: code {code} with {length} octets", field="length", section="RFC 7296 section 3.16"
            )
        return cls(message)

    def encode(self, w: Writer) -> None:
        w.octets(self.message)
