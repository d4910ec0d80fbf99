"""Traffic Selector payloads (RFC 7296 section 3.13; security labels: RFC 9478)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Self

from caponier.doi.ikev2 import PayloadType, TrafficSelectorType
from caponier.errors import WireError
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.octets import Reader, Writer
from caponier.protocols.ike.messages.limits import MAX_TRAFFIC_SELECTORS

_ADDRESS_LENGTHS: dict[int, int] = {
    TrafficSelectorType.TS_IPV4_ADDR_RANGE: 4,
    TrafficSelectorType.TS_IPV6_ADDR_RANGE: 16,
}
_HEADER_LENGTH = 4  #: type, protocol, length
_OPAQUE = (65_535, 0)  #: "MUST set the start port to 65535 and the end port to 0", section 3.13.1


@dataclass(frozen=True, slots=True)
class UnknownTrafficSelector:
    """A selector of a type that has no addresses for us: TS_SECLABEL, TS_FC_ADDR_RANGE, and all to come.

    Only the type and the length mean the same in all types (RFC 7296 section 3.13.1).

    Attributes:
        type: the selector's type.
        protocol: its second octet, an IP protocol in the types that have one; reserved in TS_SECLABEL.
        body: what stands behind the length; for TS_SECLABEL the label (RFC 9478 section 2.1).
    """

    type: TrafficSelectorType
    protocol: int
    body: bytes


@dataclass(frozen=True, slots=True)
class TrafficSelectors:
    """TS payload body (RFC 7296 section 3.13), of both types: one or more selectors.

    ::

                            1                   2                   3
        0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       | Number of TSs |                 RESERVED                      |
       ~                       <Traffic Selectors>                     ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

    Attributes:
        selectors: in the sender's order. The first may be of the packet that asked for the SA (section 2.9).
    """

    selectors: tuple[TrafficSelector | UnknownTrafficSelector, ...]

    @property
    def ranges(self) -> tuple[TrafficSelector, ...]:
        """The selectors of the two types that we can apply."""
        return tuple(selector for selector in self.selectors if isinstance(selector, TrafficSelector))

    @classmethod
    def decode(cls, r: Reader) -> Self:
        count = r.u8("number of traffic selectors")
        r.octets(3, "reserved")  # ignored on receipt, section 2.5
        if not 1 <= count <= MAX_TRAFFIC_SELECTORS:
            raise WireError(
                f"{r.what}: {count} traffic selectors",
                field="number of traffic selectors",
                section="RFC 7296 section 3.13",
            )
        return cls(tuple(_decode_selector(r) for _ in range(count)))

    def encode(self, w: Writer) -> None:
        w.u8(len(self.selectors)).octets(bytes(3))
        for selector in self.selectors:
            _encode_selector(w, selector)


class TrafficSelectorsInitiator(TrafficSelectors):
    """TSi payload (RFC 7296 section 3.13)."""

    __slots__ = ()
    TYPE: ClassVar = PayloadType.TSi


class TrafficSelectorsResponder(TrafficSelectors):
    """TSr payload (RFC 7296 section 3.13)."""

    __slots__ = ()
    TYPE: ClassVar = PayloadType.TSr


def _decode_selector(r: Reader) -> TrafficSelector | UnknownTrafficSelector:
    """Read one selector (RFC 7296 section 3.13.1).

    ::

       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
       |   TS Type     |IP Protocol ID |       Selector Length         |
       |           Start Port          |           End Port            |
       ~                         Starting Address                      ~
       ~                         Ending Address                        ~
       +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """
    selector_type, protocol = TrafficSelectorType(r.u8("TS type")), r.u8("IP protocol id")
    body = r.sub(r.u16("selector length") - _HEADER_LENGTH, "traffic selector")
    address_length = _ADDRESS_LENGTHS.get(selector_type)
    if address_length is None:
        return UnknownTrafficSelector(selector_type, protocol, body.rest())
    start_port, end_port = body.u16("start port"), body.u16("end port")
    start, end = body.octets(address_length, "starting address"), body.octets(address_length, "ending address")
    body.end()
    if start > end or (start_port > end_port and (start_port, end_port) != _OPAQUE):
        raise WireError(
            "traffic selector: a range that ends before it starts",
            field="starting address" if start > end else "start port",
            section="RFC 7296 section 3.13.1",
        )
    address = IPv4Address if address_length == 4 else IPv6Address
    return TrafficSelector(protocol, start_port, end_port, address(start), address(end))


def _encode_selector(w: Writer, selector: TrafficSelector | UnknownTrafficSelector) -> None:
    w.u8(selector.type).u8(selector.protocol)
    if isinstance(selector, UnknownTrafficSelector):
        w.u16(_HEADER_LENGTH + len(selector.body)).octets(selector.body)
        return
    start, end = selector.start.packed, selector.end.packed
    w.u16(_HEADER_LENGTH + 4 + len(start) + len(end)).u16(selector.start_port).u16(selector.end_port)
    w.octets(start).octets(end)
