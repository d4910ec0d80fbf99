"""Traffic selectors and their narrowing (RFC 7296 sections 2.9 and 3.13)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from caponier.doi.ikev2 import TrafficSelectorType

IpAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """A range of addresses, a protocol, a range of ports (RFC 7296 section 3.13.1).

    Attributes:
        protocol: IP protocol number; 0 for any.
        start_port: first port, host order (for ICMP: type and code in 16 bits). 0 to 65535 is any,
            65535 to 0 is OPAQUE.
        end_port: last port.
        start: first address; both addresses are of one family.
        end: last address.
    """

    protocol: int
    start_port: int
    end_port: int
    start: IpAddress
    end: IpAddress

    @property
    def type(self) -> TrafficSelectorType:
        if self.start.version == 4:
            return TrafficSelectorType.TS_IPV4_ADDR_RANGE
        return TrafficSelectorType.TS_IPV6_ADDR_RANGE
