"""Which numbers of the registries this implementation speaks: what ``caponier doi`` marks.

Algorithms are told by :func:`caponier.mechanisms.algorithms.catalog.is_implemented` and :func:`~.packets.carries`. A test compares the notify types here
with those that the exchanges name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from caponier.doi.ikev2 import (
    AuthMethod,
    CertEncoding,
    ConfigAttributeType,
    ConfigType,
    EncryptionId,
    ExchangeType,
    HashAlgorithm,
    IdType,
    IntegrityId,
    KeyExchangeId,
    NotifyType,
    PayloadType,
    PrfId,
    ProtocolId,
    SequenceNumbersId,
    TrafficSelectorType,
    TransformAttributeType,
    TransformType,
)
from caponier.doi.open_enum import OpenEnum
from caponier.mechanisms.algorithms.catalog import is_implemented
from caponier.mechanisms.algorithms.packets import carries
from caponier.mechanisms.authentication.signatures import LEGACY_METHODS, SUPPORTED_HASHES
from caponier.protocols.ike.messages.attributes import SUPPORTED
from caponier.protocols.ike.v2.repertoire import REPERTOIRE

_KEY_LENGTHS = (None, 128, 192, 256)
_TRANSFORMS: Mapping[type[OpenEnum], TransformType] = {
    EncryptionId: TransformType.ENCRYPTION,
    PrfId: TransformType.PRF,
    IntegrityId: TransformType.INTEGRITY,
    KeyExchangeId: TransformType.KEY_EXCHANGE,
    SequenceNumbersId: TransformType.SEQUENCE_NUMBERS,
}

NOTIFIES = frozenset(
    (
        NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD,
        NotifyType.INVALID_IKE_SPI,
        NotifyType.INVALID_MAJOR_VERSION,
        NotifyType.INVALID_SYNTAX,
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.INVALID_KE_PAYLOAD,
        NotifyType.AUTHENTICATION_FAILED,
        NotifyType.SINGLE_PAIR_REQUIRED,
        NotifyType.NO_ADDITIONAL_SAS,
        NotifyType.INTERNAL_ADDRESS_FAILURE,
        NotifyType.FAILED_CP_REQUIRED,
        NotifyType.TS_UNACCEPTABLE,
        NotifyType.TEMPORARY_FAILURE,
        NotifyType.CHILD_SA_NOT_FOUND,
        NotifyType.INITIAL_CONTACT,
        NotifyType.NAT_DETECTION_SOURCE_IP,
        NotifyType.NAT_DETECTION_DESTINATION_IP,
        NotifyType.COOKIE,
        NotifyType.USE_TRANSPORT_MODE,
        NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED,
        NotifyType.REKEY_SA,
        NotifyType.IKEV2_FRAGMENTATION_SUPPORTED,
        NotifyType.SIGNATURE_HASH_ALGORITHMS,
        NotifyType.STATE_NOT_FOUND,
        NotifyType.ADDITIONAL_KEY_EXCHANGE,
        NotifyType.USE_PPK,
        NotifyType.PPK_IDENTITY,
        NotifyType.NO_PPK_AUTH,
        NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED,
        NotifyType.AUTH_LIFETIME,
        NotifyType.UNACCEPTABLE_ADDRESSES,
        NotifyType.UNEXPECTED_NAT_DETECTED,
        NotifyType.MOBIKE_SUPPORTED,
        NotifyType.ADDITIONAL_IP4_ADDRESS,
        NotifyType.ADDITIONAL_IP6_ADDRESS,
        NotifyType.NO_ADDITIONAL_ADDRESSES,
        NotifyType.UPDATE_SA_ADDRESSES,
        NotifyType.COOKIE2,
        NotifyType.NO_NATS_ALLOWED,
    )
)

_SPOKEN: Mapping[type[OpenEnum], frozenset[int]] = MappingProxyType(
    {
        ExchangeType: frozenset((ExchangeType.IKE_SA_INIT, *REPERTOIRE.responders)),
        PayloadType: frozenset(
            (
                PayloadType.NO_NEXT,
                PayloadType.SA,
                PayloadType.KE,
                PayloadType.IDi,
                PayloadType.IDr,
                PayloadType.CERT,
                PayloadType.CERTREQ,
                PayloadType.AUTH,
                PayloadType.NONCE,
                PayloadType.N,
                PayloadType.D,
                PayloadType.V,
                PayloadType.TSi,
                PayloadType.TSr,
                PayloadType.SK,
                PayloadType.CP,
                PayloadType.SKF,
            )
        ),
        ProtocolId: frozenset((ProtocolId.NONE, ProtocolId.IKE, ProtocolId.ESP)),
        NotifyType: NOTIFIES,
        TransformType: frozenset((*_TRANSFORMS.values(), *map(TransformType, range(6, 13)))),
        TransformAttributeType: frozenset((TransformAttributeType.KEY_LENGTH,)),
        IdType: frozenset(
            (
                IdType.ID_IPV4_ADDR,
                IdType.ID_FQDN,
                IdType.ID_RFC822_ADDR,
                IdType.ID_IPV6_ADDR,
                IdType.ID_DER_ASN1_DN,
                IdType.ID_KEY_ID,
            )
        ),
        CertEncoding: frozenset((CertEncoding.X509_SIGNATURE,)),
        AuthMethod: frozenset((AuthMethod.SHARED_KEY_MIC, AuthMethod.DIGITAL_SIGNATURE, *LEGACY_METHODS)),
        ConfigType: frozenset((ConfigType.CFG_REQUEST, ConfigType.CFG_REPLY)),
        ConfigAttributeType: frozenset(SUPPORTED),
        HashAlgorithm: frozenset(SUPPORTED_HASHES),
        TrafficSelectorType: frozenset(
            (TrafficSelectorType.TS_IPV4_ADDR_RANGE, TrafficSelectorType.TS_IPV6_ADDR_RANGE)
        ),
    }
)


def _is_spoken(transform_type: TransformType, number: int, key_length: int | None) -> bool:
    """For IKE, ESP or AH."""
    return is_implemented(transform_type, number, key_length) or any(
        carries(protocol, transform_type, number, key_length) for protocol in (ProtocolId.ESP, ProtocolId.AH)
    )


def is_supported(registry: type[OpenEnum], number: int) -> bool:
    """Whether this implementation speaks a number of a registry."""
    transform_type = _TRANSFORMS.get(registry)
    if transform_type is not None:
        return any(_is_spoken(transform_type, number, length) for length in _KEY_LENGTHS)
    return number in _SPOKEN.get(registry, frozenset())
