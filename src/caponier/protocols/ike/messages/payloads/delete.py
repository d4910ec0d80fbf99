"""Delete payload (RFC 7296 section 3.11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from caponier.doi.ikev2 import PayloadType, ProtocolId
from caponier.errors import MisuseError, WireError
from caponier.octets import Reader, Writer
from caponier.protocols.ike.messages.limits import MAX_DELETE_SPIS

#: "It MUST be zero for IKE (SPI is in message header) or four for AH and ESP."
_SPI_SIZES: dict[int, int] = {ProtocolId.IKE: 0, ProtocolId.AH: 4, ProtocolId.ESP: 4}


@dataclass(frozen=True, slots=True)
class Delete:
    """D payload body (RFC 7296 section 3.11).

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Protocol ID   |   SPI Size    |          Num of SPIs          |
       ~               Security Parameter Index(es) (SPI)              ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        protocol: IKE for the IKE SA that carries the message; AH or ESP for Child SAs.
        spis: the sender's inbound SPIs, all of one size: 4 octets for AH and ESP; none for IKE.
    """

    TYPE: ClassVar = PayloadType.D
    protocol: ProtocolId
    spis: tuple[bytes, ...] = ()

    @classmethod
    def decode(cls, r: Reader) -> Self:
        protocol = ProtocolId(r.u8("protocol id"))
        size, count = r.u8("SPI size"), r.u16("number of SPIs")
        if size != _SPI_SIZES.get(protocol, size) or (count and not size) or count > MAX_DELETE_SPIS:
            raise WireError(
                f"{r.what}: {count} SPIs of {size} octets for {protocol}",
                field="SPI size",
                section="RFC 7296 section 3.11",
            )
        return cls(protocol, tuple(r.octets(size, "SPI") for _ in range(count)))

    def encode(self, w: Writer) -> None:
        size = _SPI_SIZES.get(self.protocol, len(self.spis[0]) if self.spis else 0)
        if any(len(spi) != size for spi in self.spis):
            raise MisuseError(f"Delete for {self.protocol}: every SPI has {size} octets")
        w.u8(self.protocol).u8(size).u16(len(self.spis))
        for spi in self.spis:
            w.octets(spi)
