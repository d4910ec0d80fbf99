"""Group key management, G-IKEv2 (RFC 9838)."""

from __future__ import annotations

from caponier.doi.open_enum import OpenEnum


class KeyWrapId(OpenEnum, bits=16, registry="Transform Type 13: Key Wrap Algorithm"):
    """Transform type 13."""

    KW_5649_128 = 1, "RFC 9838"
    KW_5649_192 = 2, "RFC 9838"
    KW_5649_256 = 3, "RFC 9838"
    KW_ARX = 4, "RFC 9838"


class GroupControllerAuthenticationId(
    OpenEnum, bits=16, registry="Transform Type 14: Group Controller Authentication Method"
):
    """Transform type 14."""

    IMPLICIT = 1, "RFC 9838"
    DIGITAL_SIGNATURE = 2, "RFC 9838"


class GsaAttribute(OpenEnum, bits=15, registry="GSA Attributes"):
    """Attributes of a group SA policy."""

    GSA_KEY_LIFETIME = 1, "RFC 9838"
    GSA_INITIAL_MESSAGE_ID = 2, "RFC 9838"
    GSA_NEXT_SPI = 3, "RFC 9838"


class GroupwidePolicyAttribute(OpenEnum, bits=15, registry="Group-wide Policy Attributes"):
    """Attributes of a group-wide policy."""

    GWP_ATD = 1, "RFC 9838"
    GWP_DTD = 2, "RFC 9838"
    GWP_SENDER_ID_BITS = 3, "RFC 9838"


class GroupKeyBagAttribute(OpenEnum, bits=15, registry="Group Key Bag Attributes"):
    """Keys for the group."""

    SA_KEY = 1, "RFC 9838"


class MemberKeyBagAttribute(OpenEnum, bits=15, registry="Member Key Bag Attributes"):
    """Keys for one member."""

    WRAP_KEY = 1, "RFC 9838"
    AUTH_KEY = 2, "RFC 9838"
    GM_SENDER_ID = 3, "RFC 9838"
