"""What a Child SA carries: traffic selectors, compression (RFC 7296 sections 2.22 and 3.13; RFC 5857)."""

from __future__ import annotations

from caponier.doi.open_enum import OpenEnum


class TrafficSelectorType(OpenEnum, bits=8, registry="IKEv2 Traffic Selector Types"):
    """What a traffic selector selects by (RFC 7296 section 3.13.1)."""

    TS_IPV4_ADDR_RANGE = 7, "RFC 7296"
    TS_IPV6_ADDR_RANGE = 8, "RFC 7296"
    TS_FC_ADDR_RANGE = 9, "RFC 4595"
    TS_SECLABEL = 10, "RFC 9478"


class IpcompTransform(OpenEnum, bits=8, registry="IKEv2 Notification IPCOMP Transform IDs"):
    """Compression in an IPCOMP_SUPPORTED notification (RFC 7296 section 2.22); the guidance is RFC 8221 section 7."""

    OUI = 1, "RFC 7296", None, "MUST NOT"
    DEFLATE = 2, "RFC 2394", None, "MAY"
    LZS = 3, "RFC 2395", None, "MAY"
    LZJH = 4, "RFC 3051", None, "MAY"


class RohcAttributeType(OpenEnum, bits=15, registry="IKEv2 ROHC Attribute Types"):
    """Attributes of a ROHC_SUPPORTED notification (RFC 5857 section 2.1.2)."""

    MAX_CID = 1, "RFC 5857"
    ROHC_PROFILE = 2, "RFC 5857"
    ROHC_INTEG = 3, "RFC 5857"
    ROHC_ICV_LEN = 4, "RFC 5857"
    MRRU = 5, "RFC 5857"
