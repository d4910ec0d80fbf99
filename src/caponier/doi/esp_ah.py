"""Identifiers of ESP and AH: the IPsec DOI of ISAKMP (RFC 2407 section 4.4) and the IP protocol numbers.

IKEv1 negotiates by these numbers; IKEv2 has registries of its own (:mod:`caponier.doi.ikev2`). Where a row was added
after RFC 2407, its source is the document that added it.
"""

from __future__ import annotations

from caponier.doi.open_enum import OpenEnum


class IsakmpProtocolId(OpenEnum, bits=8, registry="IPSEC Security Protocol Identifiers"):
    """Which protocol a proposal of IKEv1 is for (RFC 2407 section 4.4.1)."""

    PROTO_ISAKMP = 1, "RFC 2407"
    PROTO_IPSEC_AH = 2, "RFC 2407"
    PROTO_IPSEC_ESP = 3, "RFC 2407"
    PROTO_IPCOMP = 4, "RFC 2407"


class IsakmpTransformId(OpenEnum, bits=8, registry="IPSEC ISAKMP Transform Identifiers"):
    """Transform of PROTO_ISAKMP (RFC 2407 section 4.4.2)."""

    KEY_IKE = 1, "RFC 2407"


class AhTransformId(OpenEnum, bits=8, registry="IPSEC AH Transform Identifiers"):
    """Transform of PROTO_IPSEC_AH (RFC 2407 section 4.4.3)."""

    AH_MD5 = 2, "RFC 2407, RFC 2403", None, "MUST NOT"
    AH_SHA = 3, "RFC 2407, RFC 2404", None, "MUST-"
    AH_DES = 4, "RFC 2407", None, "MUST NOT"
    AH_SHA2_256 = 5, "RFC 4868", None, "MUST"
    AH_SHA2_384 = 6, "RFC 4868"
    AH_SHA2_512 = 7, "RFC 4868", None, "SHOULD"
    AH_RIPEMD = 8, "RFC 2857"
    AH_AES_XCBC_MAC = 9, "RFC 3566", None, "SHOULD / MAY"
    AH_RSA = 10, "RFC 4359"
    AH_AES_128_GMAC = 11, "RFC 4543", None, "MAY"
    AH_AES_192_GMAC = 12, "RFC 4543"
    AH_AES_256_GMAC = 13, "RFC 4543", None, "MAY"


class EspTransformId(OpenEnum, bits=8, registry="IPSEC ESP Transform Identifiers"):
    """Transform of PROTO_IPSEC_ESP (RFC 2407 section 4.4.4)."""

    ESP_DES_IV64 = 1, "RFC 2407", None, "MUST NOT"
    ESP_DES = 2, "RFC 2407, RFC 2405", None, "MUST NOT"
    ESP_3DES = 3, "RFC 2407, RFC 2451", None, "SHOULD NOT"
    ESP_RC5 = 4, "RFC 2407, RFC 2451"
    ESP_IDEA = 5, "RFC 2407, RFC 2451"
    ESP_CAST = 6, "RFC 2407, RFC 2451"
    ESP_BLOWFISH = 7, "RFC 2407, RFC 2451", None, "MUST NOT"
    ESP_3IDEA = 8, "RFC 2407", None, "MUST NOT"
    ESP_DES_IV32 = 9, "RFC 2407", None, "MUST NOT"
    ESP_RC4 = 10, "RFC 2407"
    ESP_NULL = 11, "RFC 2407, RFC 2410", None, "MUST"
    ESP_AES_CBC = 12, "RFC 3602", None, "MUST"
    ESP_AES_CTR = 13, "RFC 3686", None, "MAY"
    ESP_AES_CCM_8 = 14, "RFC 4309", None, "SHOULD"
    ESP_AES_CCM_12 = 15, "RFC 4309"
    ESP_AES_CCM_16 = 16, "RFC 4309"
    ESP_AES_GCM_8 = 18, "RFC 4106"
    ESP_AES_GCM_12 = 19, "RFC 4106"
    ESP_AES_GCM_16 = 20, "RFC 4106", None, "MUST"
    ESP_SEED_CBC = 21, "RFC 4196"
    ESP_CAMELLIA = 22, "RFC 4312"
    ESP_NULL_AUTH_AES_GMAC = 23, "RFC 4543"


class IpcompTransformId(OpenEnum, bits=8, registry="IPSEC IPCOMP Transform Identifiers"):
    """Transform of PROTO_IPCOMP (RFC 2407 section 4.4.5)."""

    IPCOMP_OUI = 1, "RFC 2407", None, "MUST NOT"
    IPCOMP_DEFLATE = 2, "RFC 2407, RFC 2394", None, "MAY"
    IPCOMP_LZS = 3, "RFC 2407, RFC 2395", None, "MAY"
    IPCOMP_LZJH = 4, "RFC 3051", None, "MAY"


class IpProtocol(OpenEnum, bits=8, registry="Assigned Internet Protocol Numbers"):
    """What an IP packet carries: the protocols that IPsec handles or that people write in traffic selectors."""

    HOPOPT = 0, "RFC 8200"
    ICMP = 1, "RFC 792"
    IGMP = 2, "RFC 1112"
    IPIP = 4, "RFC 2003"
    TCP = 6, "RFC 9293"
    EGP = 8, "RFC 888"
    UDP = 17, "RFC 768"
    DCCP = 33, "RFC 4340"
    IPV6 = 41, "RFC 2473"
    IPV6_ROUTE = 43, "RFC 8200"
    IPV6_FRAG = 44, "RFC 8200"
    RSVP = 46, "RFC 2205"
    GRE = 47, "RFC 2784"
    ESP = 50, "RFC 4303"
    AH = 51, "RFC 4302"
    IPV6_ICMP = 58, "RFC 8200"
    IPV6_NO_NEXT = 59, "RFC 8200"
    IPV6_OPTS = 60, "RFC 8200"
    OSPF = 89, "RFC 2328"
    ETHERIP = 97, "RFC 3378"
    PIM = 103, "RFC 7761"
    IPCOMP = 108, "RFC 2393"
    VRRP = 112, "RFC 5798"
    L2TP = 115, "RFC 3931"
    SCTP = 132, "RFC 9260"
    MOBILITY_HEADER = 135, "RFC 6275"
    UDPLITE = 136, "RFC 3828"
    HIP = 139, "RFC 7401"
    SHIM6 = 140, "RFC 5533"
    WESP = 141, "RFC 5840"
    ROHC = 142, "RFC 5858"
    ETHERNET = 143, "RFC 8986"
    AGGFRAG = 144, "RFC 9347"
