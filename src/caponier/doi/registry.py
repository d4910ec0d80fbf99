"""All registries in one table: what ``caponier doi`` prints, and what tests and documents are checked against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from caponier.doi import esp_ah, ikev2
from caponier.doi.keywords import TRANSFORM_IDS, keywords_of
from caponier.doi.open_enum import OpenEnum


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a registry.

    Attributes:
        registry: what the registry is called by those who keep it.
        number: the row's number.
        name: the registry's name for it.
        keyword: how a proposal spells it; several, parted by ", ", where each key length has its own; None where
            it is not a part of proposals or nobody spells it.
        source: the documents that define it.
        guidance: what RFC 8247 says of it for IKEv2 and RFC 8221 for ESP and AH (``"MUST"``, ``"SHOULD+"``,
            ``"MUST NOT"`` …); both where they differ; None where neither speaks of it: then it is a MAY.
    """

    registry: str
    number: int
    name: str
    keyword: str | None
    source: str
    guidance: str | None


#: In the order of the documents: messages, algorithms, identities, traffic, configuration, groups, then RFC 2407.
REGISTRIES: tuple[type[OpenEnum], ...] = (
    ikev2.ExchangeType,
    ikev2.PayloadType,
    ikev2.ProtocolId,
    ikev2.NotifyType,
    ikev2.EapCode,
    ikev2.TransformType,
    ikev2.TransformAttributeType,
    ikev2.EncryptionId,
    ikev2.PrfId,
    ikev2.IntegrityId,
    ikev2.KeyExchangeId,
    ikev2.SequenceNumbersId,
    ikev2.IdType,
    ikev2.CertEncoding,
    ikev2.AuthMethod,
    ikev2.HashAlgorithm,
    ikev2.SecurePasswordMethod,
    ikev2.PpkIdType,
    ikev2.TrafficSelectorType,
    ikev2.IpcompTransform,
    ikev2.RohcAttributeType,
    ikev2.ConfigType,
    ikev2.ConfigAttributeType,
    ikev2.GatewayIdType,
    ikev2.KeyWrapId,
    ikev2.GroupControllerAuthenticationId,
    ikev2.GsaAttribute,
    ikev2.GroupwidePolicyAttribute,
    ikev2.GroupKeyBagAttribute,
    ikev2.MemberKeyBagAttribute,
    esp_ah.IsakmpProtocolId,
    esp_ah.IsakmpTransformId,
    esp_ah.AhTransformId,
    esp_ah.EspTransformId,
    esp_ah.IpcompTransformId,
    esp_ah.IpProtocol,
)

#: The transform type under whose name a registry's keywords stand: the first of those that share it.
_TRANSFORM_TYPES: dict[type[OpenEnum], int] = {
    registry: transform_type for transform_type, registry in reversed(list(TRANSFORM_IDS.items()))
}

#: Of these both documents speak.
_OF_BOTH = (ikev2.EncryptionId, ikev2.IntegrityId)


@cache
def entries() -> tuple[Entry, ...]:
    """All rows, registry by registry, in the order of their numbers."""
    return tuple(entry for registry in REGISTRIES for entry in _rows(registry))


def _rows(registry: type[OpenEnum]) -> Iterator[Entry]:
    transform_type = _TRANSFORM_TYPES.get(registry)
    for member in sorted(registry):
        words = () if transform_type is None else keywords_of(transform_type, member)
        yield Entry(
            registry.registry, int(member), member.name, ", ".join(words) or None, member.source, _guidance(member)
        )


def _guidance(member: OpenEnum) -> str | None:
    if member.ike == member.esp or not isinstance(member, _OF_BOTH):
        return member.ike or member.esp
    said = (("IKEv2", member.ike), ("ESP and AH", member.esp))
    return "; ".join(f"{where}: {word}" for where, word in said if word)
