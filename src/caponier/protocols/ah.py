"""AH outside of the daemon (RFC 4302): what everybody can read of a packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from caponier.octets import Reader


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of the Authentication Header (RFC 4302 section 2).

    ::

        | Next Header   |  Payload Len  |          RESERVED             |
        |                 Security Parameters Index (SPI)               |
        |                    Sequence Number Field                      |
        +                Integrity Check Value-ICV (variable)           |

    Attributes:
        next_header: the IP protocol of what follows.
        spi: host order.
        sequence: the lower 32 bits.
    """

    next_header: int
    spi: int
    sequence: int

    @classmethod
    def decode(cls, r: Reader) -> Self:
        """Read the fixed part; the length and the reserved bits are the transform's business.

        Raises:
            WireError: fewer than 12 octets.
        """
        next_header = r.u8("next header")
        r.octets(3, "payload length and reserved")
        return cls(next_header, r.u32("SPI"), r.u32("sequence number"))
