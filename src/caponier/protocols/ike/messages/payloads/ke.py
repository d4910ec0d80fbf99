"""Key Exchange payload (RFC 7296 section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import KeyExchangeId, PayloadType
from caponier.octets import Reader, Writer


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """KE payload body (RFC 7296 section 3.4).

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |   Diffie-Hellman Group Num    |           RESERVED            |
       ~                       Key Exchange Data                       ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        group: transform type 4, or 6 to 12 (RFC 9370).
        public: its length is for the group to check, not for the codec.
    """

    TYPE: ClassVar = PayloadType.KE
    group: KeyExchangeId
    public: bytes

    @classmethod
    def decode(cls, r: Reader) -> Self:
        group = KeyExchangeId(r.u16("group"))
        r.u16("reserved")  # ignored on receipt, section 2.5
        return cls(group, r.rest())

    def encode(self, w: Writer) -> None:
        w.u16(self.group).u16(0).octets(self.public)
