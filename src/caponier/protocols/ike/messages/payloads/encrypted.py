"""Encrypted payload and Encrypted Fragment payload (RFC 7296 section 3.14, RFC 7383 section 2.5).

Both are opaque here: ``messages.message`` seals and opens them. Their Next Payload field is an exception:
it tells the first payload inside, not one behind, so that decoding needs it from the generic header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import PayloadType
from caponier.errors import WireError
from caponier.octets import Reader, Writer


@dataclass(frozen=True, slots=True)
class Encrypted:
    """SK payload body (RFC 7296 section 3.14), still sealed.

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Next Payload  |C|  RESERVED   |         Payload Length        |
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |                     Initialization Vector                     |
       ~                    Encrypted IKE Payloads                     ~
       +               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |               |             Padding (0-255 octets)            |
       +-+-+-+-+-+-+-+-+                               +-+-+-+-+-+-+-+-+
       |                                               |  Pad Length   |
       ~                    Integrity Checksum Data                    ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        first: type of the first payload inside; NO_NEXT where there is none.
        protected: IV, ciphertext and checksum.
    """

    TYPE: ClassVar = PayloadType.SK
    first: PayloadType
    protected: bytes

    @classmethod
    def decode(cls, r: Reader, first: PayloadType = PayloadType.NO_NEXT) -> Self:
        return cls(first, r.rest())

    def encode(self, w: Writer) -> None:
        w.octets(self.protected)


@dataclass(frozen=True, slots=True)
class EncryptedFragment:
    """SKF payload body (RFC 7383 section 2.5), still sealed.

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Next Payload  |C|  RESERVED   |         Payload Length        |
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |        Fragment Number        |        Total Fragments        |
       |                     Initialization Vector                     |
       ~                      Encrypted content                        ~
       ~               Padding, Pad Length, Integrity Checksum         ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        first: type of the first payload inside the whole message; NO_NEXT in all fragments but the first.
        number: 1 for the first fragment.
        total: fragments of the message.
        protected: IV, ciphertext and checksum.
    """

    TYPE: ClassVar = PayloadType.SKF
    first: PayloadType
    number: int
    total: int
    protected: bytes

    @classmethod
    def decode(cls, r: Reader, first: PayloadType = PayloadType.NO_NEXT) -> Self:
        number, total = r.u16("fragment number"), r.u16("total fragments")
        if not 1 <= number <= total:
            raise WireError(
                f"{r.what}: fragment {number} of {total}", field="fragment number", section="RFC 7383 section 2.5"
            )
        if number > 1 and first != PayloadType.NO_NEXT:
            raise WireError(
                f"{r.what}: fragment {number} names a first payload",
                field="next payload",
                section="RFC 7383 section 2.5",
            )
        return cls(first, number, total, r.rest())

    def encode(self, w: Writer) -> None:
        w.u16(self.number).u16(self.total).octets(self.protected)
