"""Notify payload (RFC 7296 section 3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import NotifyType, PayloadType, ProtocolId
from caponier.errors import WireError
from caponier.octets import Reader, Writer

#: Octets of the SPI (section 3.10). "For a notification concerning the IKE SA, the SPI Size MUST be zero."
_SPI_SIZES: dict[int, tuple[int, ...]] = {ProtocolId.IKE: (0,), ProtocolId.AH: (0, 4), ProtocolId.ESP: (0, 4)}


@dataclass(frozen=True, slots=True)
class Notify:
    """N payload body (RFC 7296 section 3.10).

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |  Protocol ID  |   SPI Size    |      Notify Message Type      |
       ~                Security Parameter Index (SPI)                 ~
       ~                       Notification Data                       ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        type: an error below 16384, a status from there on; unknown ones are kept.
        protocol: of the SA that ``spi`` names; NONE without an SPI, whatever the peer wrote.
        spi: 4 octets for AH and ESP; empty where no SA is named, and for the IKE SA itself.
        data: its form is the type's.
    """

    TYPE: ClassVar = PayloadType.N
    type: NotifyType
    protocol: ProtocolId = ProtocolId.NONE
    spi: bytes = b""
    data: bytes = b""

    @classmethod
    def decode(cls, r: Reader) -> Self:
        protocol, spi_size = ProtocolId(r.u8("protocol id")), r.u8("SPI size")
        notify_type = NotifyType(r.u16("notify message type"))
        if spi_size not in _SPI_SIZES.get(protocol, (spi_size,)):
            raise WireError(
                f"{r.what} {notify_type}: an SPI of {spi_size} octets for {protocol}",
                field="SPI size",
                section="RFC 7296 section 3.10",
            )
        spi = r.octets(spi_size, "SPI")
        # "If the SPI field is empty, this field MUST be sent as zero and MUST be ignored on receipt."
        return cls(notify_type, protocol if spi else ProtocolId.NONE, spi, r.rest())

    def encode(self, w: Writer) -> None:
        w.u8(self.protocol if self.spi else ProtocolId.NONE).u8(len(self.spi)).u16(self.type)
        w.octets(self.spi).octets(self.data)
