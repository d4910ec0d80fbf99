"""Authentication payload (RFC 7296 section 3.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import AuthMethod, PayloadType
from caponier.octets import Reader, Writer


@dataclass(frozen=True, slots=True)
class Authentication:
    """AUTH payload body (RFC 7296 section 3.8).

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Auth Method   |                RESERVED                       |
       ~                      Authentication Data                      ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        method: how the peer proves its identity.
        data: signature or MAC; its form is the method's.
    """

    TYPE: ClassVar = PayloadType.AUTH
    method: AuthMethod
    data: bytes

    @classmethod
    def decode(cls, r: Reader) -> Self:
        method = AuthMethod(r.u8("auth method"))
        r.octets(3, "reserved")  # ignored on receipt, section 2.5
        return cls(method, r.rest())

    def encode(self, w: Writer) -> None:
        w.u8(self.method).octets(bytes(3)).octets(self.data)
