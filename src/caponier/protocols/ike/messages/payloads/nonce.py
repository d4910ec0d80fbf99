"""Nonce payload (RFC 7296 section 3.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import PayloadType
from caponier.errors import MisuseError, WireError
from caponier.octets import Reader, Writer

MIN_NONCE = 16  #: octets: "The size of the Nonce Data MUST be between 16 and 256 octets, inclusive."
MAX_NONCE = 256  #: octets


@dataclass(frozen=True, slots=True)
class Nonce:
    """Ni or Nr payload body (RFC 7296 section 3.9).

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       ~                            Nonce Data                         ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        data: 16 to 256 octets. That it has half the PRF's key length is for the exchange to check (section 2.10).
    """

    TYPE: ClassVar = PayloadType.NONCE
    data: bytes

    @classmethod
    def decode(cls, r: Reader) -> Self:
        if not MIN_NONCE <= r.remaining <= MAX_NONCE:
            raise WireError(
                f"{r.what}: {r.remaining} octets, not {MIN_NONCE} to {MAX_NONCE}",
                field="nonce data",
                section="RFC 7296 section 3.9",
            )
        return cls(r.rest())

    def encode(self, w: Writer) -> None:
        if not MIN_NONCE <= len(self.data) <= MAX_NONCE:
            raise MisuseError(f"a nonce of {len(self.data)} octets, not {MIN_NONCE} to {MAX_NONCE}")
        w.octets(self.data)
