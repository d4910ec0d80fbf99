"""What a peer may ask to be configured with, and where it may be sent (RFC 7296 section 3.15; RFC 5685)."""

from __future__ import annotations

from caponier.doi.open_enum import OpenEnum


class ConfigType(OpenEnum, bits=8, registry="IKEv2 Configuration Payload CFG Types"):
    """Which step of a configuration exchange it is (RFC 7296 section 3.15)."""

    CFG_REQUEST = 1, "RFC 7296"
    CFG_REPLY = 2, "RFC 7296"
    CFG_SET = 3, "RFC 7296"
    CFG_ACK = 4, "RFC 7296"


class ConfigAttributeType(OpenEnum, bits=15, registry="IKEv2 Configuration Payload Attribute Types"):
    """What is configured (RFC 7296 section 3.15.1)."""

    INTERNAL_IP4_ADDRESS = 1, "RFC 7296"
    INTERNAL_IP4_NETMASK = 2, "RFC 7296"
    INTERNAL_IP4_DNS = 3, "RFC 7296"
    INTERNAL_IP4_NBNS = 4, "RFC 7296"
    INTERNAL_IP4_DHCP = 6, "RFC 7296"
    APPLICATION_VERSION = 7, "RFC 7296"
    INTERNAL_IP6_ADDRESS = 8, "RFC 7296"
    INTERNAL_IP6_DNS = 10, "RFC 7296"
    INTERNAL_IP6_DHCP = 12, "RFC 7296"
    INTERNAL_IP4_SUBNET = 13, "RFC 7296"
    SUPPORTED_ATTRIBUTES = 14, "RFC 7296"
    INTERNAL_IP6_SUBNET = 15, "RFC 7296"
    MIP6_HOME_PREFIX = 16, "RFC 5026"
    INTERNAL_IP6_LINK = 17, "RFC 5739"
    INTERNAL_IP6_PREFIX = 18, "RFC 5739"
    HOME_AGENT_ADDRESS = 19, "3GPP TS 24.302"
    P_CSCF_IP4_ADDRESS = 20, "RFC 7651"
    P_CSCF_IP6_ADDRESS = 21, "RFC 7651"
    FTT_KAT = 22, "3GPP TS 24.302"
    EXTERNAL_SOURCE_IP4_NAT_INFO = 23, "3GPP TS 29.139"
    TIMEOUT_PERIOD_FOR_LIVENESS_CHECK = 24, "3GPP TS 24.302"
    INTERNAL_DNS_DOMAIN = 25, "RFC 8598"
    INTERNAL_DNSSEC_TA = 26, "RFC 8598"
    ENCDNS_IP4 = 27, "RFC 9464"
    ENCDNS_IP6 = 28, "RFC 9464"
    ENCDNS_DIGEST_INFO = 29, "RFC 9464"


class GatewayIdType(OpenEnum, bits=8, registry="IKEv2 Gateway Identity Types"):
    """How a REDIRECT names the other gateway (RFC 5685 section 7.2)."""

    IPV4_ADDRESS = 1, "RFC 5685"
    IPV6_ADDRESS = 2, "RFC 5685"
    FQDN = 3, "RFC 5685"
