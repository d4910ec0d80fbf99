"""Vendor ID payload (RFC 7296 section 3.12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import PayloadType
from caponier.octets import Reader, Writer


@dataclass(frozen=True, slots=True)
class VendorId:
    """V payload body (RFC 7296 section 3.12): a constant by which implementations know each other.

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       ~                        Vendor ID (VID)                        ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """

    TYPE: ClassVar = PayloadType.V
    data: bytes

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.rest())

    def encode(self, w: Writer) -> None:
        w.octets(self.data)
