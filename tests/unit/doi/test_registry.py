"""The registries: unique, sourced, and as the RFCs at hand say."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from caponier.doi import ikev2
from caponier.doi.esp_ah import AhTransformId, EspTransformId, IpProtocol
from caponier.doi.ikev2 import AuthMethod, EncryptionId, HashAlgorithm, IntegrityId, KeyExchangeId, PrfId
from caponier.doi.open_enum import OpenEnum
from caponier.doi.registry import REGISTRIES, Entry, entries


def test_numbers_and_names_are_unique_in_each_registry() -> None:
    rows = entries()
    assert max(Counter((row.registry, row.number) for row in rows).values()) == 1
    assert max(Counter((row.registry, row.name) for row in rows).values()) == 1


def test_no_member_is_an_alias() -> None:
    """Two names with one number would silently become one row."""
    for registry in REGISTRIES:
        assert len(registry.__members__) == len(list(registry))


def test_registries_have_their_own_names() -> None:
    assert max(Counter(registry.registry for registry in REGISTRIES).values()) == 1


def test_every_row_has_a_source() -> None:
    form = re.compile(r"(RFC \d+|3GPP TS \d+\.\d+|draft-[a-z0-9-]+)(, (RFC \d+|deprecated by RFC \d+))*")
    assert [row for row in entries() if not form.fullmatch(row.source)] == []


def test_everything_that_is_exported_is_listed() -> None:
    exported = {getattr(ikev2, name) for name in ikev2.__all__}
    assert exported <= set(REGISTRIES)
    assert len(ikev2.__all__) == len(set(ikev2.__all__)) == len(exported)


def row(registry: type[OpenEnum], number: int) -> Entry:
    return next(row for row in entries() if (row.registry, row.number) == (registry.registry, number))


def test_a_row_says_all() -> None:
    assert row(EncryptionId, 12) == Entry(
        registry="Transform Type 1: Encryption Algorithm",
        number=12,
        name="ENCR_AES_CBC",
        keyword="aes128, aes192, aes256",
        source="RFC 3602",
        guidance="MUST",
    )
    assert row(KeyExchangeId, 31).keyword == "x25519"
    assert row(KeyExchangeId, 33).keyword is None


def test_both_guidances_stand_where_they_differ() -> None:
    """RFC 8247 section 2.1 against RFC 8221 section 5."""
    assert row(EncryptionId, 3).guidance == "IKEv2: MAY; ESP and AH: SHOULD NOT"
    assert row(EncryptionId, 20).guidance == "IKEv2: SHOULD; ESP and AH: MUST"
    assert row(EncryptionId, 11).guidance == "IKEv2: MUST NOT; ESP and AH: MUST"
    assert row(EncryptionId, 19).guidance is None


#: RFC 8247 section 2.1.
IKE_ENCRYPTION = {
    "ENCR_AES_CBC": "MUST",
    "ENCR_CHACHA20_POLY1305": "SHOULD",
    "ENCR_AES_GCM_16": "SHOULD",
    "ENCR_AES_CCM_8": "SHOULD",
    "ENCR_3DES": "MAY",
    "ENCR_DES": "MUST NOT",
    "ENCR_NULL": "MUST NOT",
}
#: RFC 8247 section 2.2.
IKE_PRF = {
    "PRF_HMAC_SHA2_256": "MUST",
    "PRF_HMAC_SHA2_512": "SHOULD+",
    "PRF_HMAC_SHA1": "MUST-",
    "PRF_AES128_XCBC": "SHOULD",
    "PRF_HMAC_MD5": "MUST NOT",
}
#: RFC 8247 section 2.3.
IKE_INTEGRITY = {
    "AUTH_HMAC_SHA2_256_128": "MUST",
    "AUTH_HMAC_SHA2_512_256": "SHOULD",
    "AUTH_HMAC_SHA1_96": "MUST-",
    "AUTH_AES_XCBC_96": "SHOULD",
    "AUTH_HMAC_MD5_96": "MUST NOT",
    "AUTH_DES_MAC": "MUST NOT",
    "AUTH_KPDK_MD5": "MUST NOT",
}
#: RFC 8247 section 2.4.
IKE_GROUPS = {
    14: "MUST",
    19: "SHOULD",
    5: "SHOULD NOT",
    2: "SHOULD NOT",
    1: "MUST NOT",
    22: "MUST NOT",
    23: "SHOULD NOT",
    24: "SHOULD NOT",
}
#: RFC 8221 section 5.
ESP_ENCRYPTION = {
    "DES_IV64": "MUST NOT",
    "DES": "MUST NOT",
    "3DES": "SHOULD NOT",
    "BLOWFISH": "MUST NOT",
    "3IDEA": "MUST NOT",
    "DES_IV32": "MUST NOT",
    "NULL": "MUST",
    "AES_CBC": "MUST",
    "AES_CCM_8": "SHOULD",
    "AES_GCM_16": "MUST",
}
#: RFC 8221 section 6.
ESP_INTEGRITY = {
    "AUTH_HMAC_MD5_96": "MUST NOT",
    "AUTH_HMAC_SHA1_96": "MUST-",
    "AUTH_DES_MAC": "MUST NOT",
    "AUTH_KPDK_MD5": "MUST NOT",
    "AUTH_AES_XCBC_96": "SHOULD / MAY",
    "AUTH_AES_128_GMAC": "MAY",
    "AUTH_AES_256_GMAC": "MAY",
    "AUTH_HMAC_SHA2_256_128": "MUST",
    "AUTH_HMAC_SHA2_512_256": "SHOULD",
}


@pytest.mark.parametrize(
    ("registry", "table"), [(EncryptionId, IKE_ENCRYPTION), (PrfId, IKE_PRF), (IntegrityId, IKE_INTEGRITY)]
)
def test_guidance_for_ike(registry: type[OpenEnum], table: dict[str, str]) -> None:
    """RFC 8247 sections 2.1 to 2.3."""
    assert {name: registry[name].ike for name in table} == table


def test_guidance_for_key_exchanges() -> None:
    """RFC 8247 section 2.4: the whole table, and nothing else."""
    assert {int(group): group.ike for group in KeyExchangeId if group.ike} == IKE_GROUPS


def test_guidance_for_authentication() -> None:
    """RFC 8247 sections 3.1 and 3.2."""
    methods = {1: "MUST", 2: "MUST", 3: "SHOULD NOT", 9: "SHOULD", 10: "SHOULD", 11: "SHOULD", 14: "SHOULD"}
    assert {int(method): method.ike for method in AuthMethod if method.ike} == methods
    hashes = {1: "MUST NOT", 2: "MUST", 3: "MAY", 4: "SHOULD"}
    assert {int(member): member.ike for member in HashAlgorithm if member.ike} == hashes


def test_guidance_for_esp_and_ah() -> None:
    """RFC 8221 sections 5 and 6."""
    assert {name: EncryptionId[f"ENCR_{name}"].esp for name in ESP_ENCRYPTION} == ESP_ENCRYPTION
    assert {name: IntegrityId[name].esp for name in ESP_INTEGRITY} == ESP_INTEGRITY
    assert EncryptionId.ENCR_CHACHA20_POLY1305.esp == "SHOULD"


def test_the_two_numberings_of_esp_agree() -> None:
    """RFC 2407 section 4.4.4 and transform type 1 of IKEv2 share their numbers up to AES-GCM, and the guidance."""
    for old in EspTransformId:
        if old <= 20 and EncryptionId(old).is_known:
            assert old.name.removeprefix("ESP_") == EncryptionId(old).name.removeprefix("ENCR_")
            assert old.esp in (EncryptionId(old).esp, None)
    assert AhTransformId.AH_SHA2_256.esp == IntegrityId.AUTH_HMAC_SHA2_256_128.esp


def test_combined_modes() -> None:
    """RFC 8221 section 5 and RFC 8247 section 2.1, column "AEAD"; by name for the ones that they do not list."""
    for cipher in EncryptionId:
        assert cipher.is_aead == any(mode in cipher.name for mode in ("CCM", "GCM", "GMAC", "POLY1305", "MGM"))
    assert not EncryptionId(1024).is_aead


@pytest.mark.parametrize(
    ("member", "number"),
    [
        (ikev2.ExchangeType.IKE_SA_INIT, 34),
        (ikev2.ExchangeType.INFORMATIONAL, 37),
        (ikev2.PayloadType.SA, 33),
        (ikev2.PayloadType.EAP, 48),
        (ikev2.PayloadType.SKF, 53),
        (ikev2.NotifyType.TEMPORARY_FAILURE, 43),
        (ikev2.NotifyType.SIGNATURE_HASH_ALGORITHMS, 16431),
        (ikev2.TransformType.ADDITIONAL_KEY_EXCHANGE_7, 12),
        (ikev2.IdType.ID_KEY_ID, 11),
        (ikev2.TrafficSelectorType.TS_IPV6_ADDR_RANGE, 8),
        (ikev2.ConfigAttributeType.INTERNAL_IP6_SUBNET, 15),
        (KeyExchangeId.ML_KEM_768, 36),
        (IpProtocol.ESP, 50),
        (IpProtocol.AGGFRAG, 144),
    ],
)
def test_numbers_on_the_wire(member: OpenEnum, number: int) -> None:
    """RFC 7296 sections 3.1 to 3.15, and the documents that the rows name."""
    assert member == number
