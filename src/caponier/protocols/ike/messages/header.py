"""The IKE header (RFC 7296 section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from caponier.doi.ikev2 import ExchangeType, PayloadType
from caponier.errors import MisuseError
from caponier.octets import Reader, Writer

HEADER_LENGTH = 28  #: octets
MAJOR_VERSION = 2
MINOR_VERSION = 0

_INITIATOR = 0x08
_RESPONSE = 0x20


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The fixed IKE header (RFC 7296 section 3.1).

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |                       IKE SA Initiator's SPI                  |
       |                                                               |
       |                       IKE SA Responder's SPI                  |
       |                                                               |
       |  Next Payload | MjVer | MnVer | Exchange Type |     Flags     |
       |                          Message ID                           |
       |                            Length                             |
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    ``next_payload`` and ``length`` follow from what comes behind the header: encoding a message
    computes them, and comparing two headers leaves them out.

    Attributes:
        spi_i: the initiator's SPI, 8 octets. Zero only in a message outside of any IKE SA (section 1.5).
        spi_r: the responder's SPI, 8 octets; zero in the first message.
        exchange: which exchange the message belongs to.
        is_initiator: whether the sender is the original initiator of the IKE SA.
        is_response: whether the message answers one with the same message id.
        message_id: 32 bits.
        next_payload: type of the first payload.
        major: version of the message's format, 4 bits.
        minor: 4 bits; ignored on receipt.
        length: octets of the whole message.
    """

    spi_i: bytes
    spi_r: bytes
    exchange: ExchangeType
    is_initiator: bool
    is_response: bool
    message_id: int
    next_payload: PayloadType = field(default=PayloadType.NO_NEXT, compare=False)
    major: int = MAJOR_VERSION
    minor: int = MINOR_VERSION
    length: int = field(default=0, compare=False)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        """Read a header of any version; the caller looks at ``major`` and ``length``.

        Raises:
            WireError: fewer than 28 octets.
        """
        spi_i, spi_r = r.octets(8, "initiator's SPI"), r.octets(8, "responder's SPI")
        next_payload = PayloadType(r.u8("next payload"))
        version = r.u8("version")
        exchange = ExchangeType(r.u8("exchange type"))
        # The V bit and the reserved bits are ignored on receipt (section 3.1).
        flags = r.u8("flags")
        return cls(
            spi_i=spi_i,
            spi_r=spi_r,
            exchange=exchange,
            is_initiator=bool(flags & _INITIATOR),
            is_response=bool(flags & _RESPONSE),
            message_id=r.u32("message id"),
            next_payload=next_payload,
            major=version >> 4,
            minor=version & 0x0F,
            length=r.u32("length"),
        )

    def encode(self, w: Writer) -> None:
        """Write the 28 octets; the V bit and the reserved bits are zero (section 3.1).

        Raises:
            MisuseError: an SPI is not 8 octets long.
        """
        if len(self.spi_i) != 8 or len(self.spi_r) != 8:
            raise MisuseError(f"IKE SPIs have 8 octets, not {len(self.spi_i)} and {len(self.spi_r)}")
        flags = self.is_initiator * _INITIATOR | self.is_response * _RESPONSE
        w.octets(self.spi_i).octets(self.spi_r)
        w.u8(self.next_payload).u8(self.major << 4 | self.minor).u8(self.exchange).u8(flags)
        w.u32(self.message_id).u32(self.length)
