"""The IKEv2 registries (IANA, "Internet Key Exchange Version 2 (IKEv2) Parameters"; RFC 7296 section 6).

Every name of the submodules can be imported from here.
"""

from caponier.doi.ikev2.authentication import (
    AuthMethod,
    CertEncoding,
    HashAlgorithm,
    IdType,
    PpkIdType,
    SecurePasswordMethod,
)
from caponier.doi.ikev2.configuration import ConfigAttributeType, ConfigType, GatewayIdType
from caponier.doi.ikev2.group import (
    GroupControllerAuthenticationId,
    GroupKeyBagAttribute,
    GroupwidePolicyAttribute,
    GsaAttribute,
    KeyWrapId,
    MemberKeyBagAttribute,
)
from caponier.doi.ikev2.messages import EapCode, ExchangeType, NotifyType, PayloadType, ProtocolId
from caponier.doi.ikev2.traffic import IpcompTransform, RohcAttributeType, TrafficSelectorType
from caponier.doi.ikev2.transforms import (
    EncryptionId,
    IntegrityId,
    KeyExchangeId,
    PrfId,
    SequenceNumbersId,
    TransformAttributeType,
    TransformType,
)

__all__ = [
    "ExchangeType",
    "PayloadType",
    "NotifyType",
    "ProtocolId",
    "EapCode",
    "TransformType",
    "TransformAttributeType",
    "EncryptionId",
    "PrfId",
    "IntegrityId",
    "KeyExchangeId",
    "SequenceNumbersId",
    "IdType",
    "CertEncoding",
    "AuthMethod",
    "HashAlgorithm",
    "SecurePasswordMethod",
    "PpkIdType",
    "TrafficSelectorType",
    "IpcompTransform",
    "RohcAttributeType",
    "ConfigType",
    "ConfigAttributeType",
    "GatewayIdType",
    "KeyWrapId",
    "GroupControllerAuthenticationId",
    "GsaAttribute",
    "GroupwidePolicyAttribute",
    "GroupKeyBagAttribute",
    "MemberKeyBagAttribute",
]
