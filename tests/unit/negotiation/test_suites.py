"""From a chosen proposal to a suite."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import EncryptionId, IntegrityId, KeyExchangeId, PrfId, ProtocolId, TransformType
from caponier.errors import MisuseError
from caponier.mechanisms.algorithms.suites import ChildSuite, IkeSuite
from caponier.mechanisms.negotiation.proposals import (
    DEFAULT_IKE_PROPOSALS,
    Proposal,
    Transform,
    child_suite,
    ike_suite,
    parse_ah_proposal,
    parse_esp_proposal,
    parse_ike_proposal,
)


def test_ike_suites() -> None:
    """RFC 7296 section 3.3: one transform of each type; no integrity algorithm with an AEAD cipher."""
    assert ike_suite(parse_ike_proposal("aes256gcm16-prfsha384-ecp384")) == IkeSuite(
        encryption=EncryptionId.ENCR_AES_GCM_16,
        key_length=256,
        integrity=None,
        prf=PrfId.PRF_HMAC_SHA2_384,
        key_exchange=KeyExchangeId.ECP_384,
    )
    assert ike_suite(parse_ike_proposal("aes128-sha256-modp2048")) == IkeSuite(
        encryption=EncryptionId.ENCR_AES_CBC,
        key_length=128,
        integrity=IntegrityId.AUTH_HMAC_SHA2_256_128,
        prf=PrfId.PRF_HMAC_SHA2_256,
        key_exchange=KeyExchangeId.MODP_2048,
    )


def test_child_suites() -> None:
    assert child_suite(parse_esp_proposal("chacha20poly1305")) == ChildSuite(
        ProtocolId.ESP,
        encryption=EncryptionId.ENCR_CHACHA20_POLY1305,
        key_length=None,
        integrity=None,
        key_exchange=None,
        esn=False,
    )
    assert child_suite(parse_esp_proposal("aes256-sha512-x25519-esn")) == ChildSuite(
        ProtocolId.ESP,
        encryption=EncryptionId.ENCR_AES_CBC,
        key_length=256,
        integrity=IntegrityId.AUTH_HMAC_SHA2_512_256,
        key_exchange=KeyExchangeId.CURVE25519,
        esn=True,
    )


def test_none_is_nothing() -> None:
    """RFC 7296 section 3.3.3: an explicit NONE says the same as leaving the type out."""
    proposal = parse_esp_proposal("aes128gcm16")
    none = tuple(Transform(kind, 0) for kind in (TransformType.INTEGRITY, TransformType.KEY_EXCHANGE))
    assert child_suite(replace(proposal, transforms=(*proposal.transforms, *none))) == child_suite(proposal)


@pytest.mark.parametrize(
    "proposal", [parse_esp_proposal("aes256-aes128-sha256"), parse_ike_proposal("aes256gcm16-prfsha384-ecp384")]
)
def test_only_a_chosen_proposal_has_a_child_suite(proposal: Proposal) -> None:
    with pytest.raises(MisuseError):
        child_suite(proposal)


@pytest.mark.parametrize(
    "proposal", [*DEFAULT_IKE_PROPOSALS, parse_esp_proposal("aes256gcm16"), parse_ah_proposal("sha256")]
)
def test_only_a_chosen_proposal_has_an_ike_suite(proposal: Proposal) -> None:
    with pytest.raises(MisuseError):
        ike_suite(proposal)


def test_the_text_of_a_suite_is_the_spelling_of_its_proposal() -> None:
    for text in ("aes256gcm16-prfsha384-ecp384", "chacha20poly1305-prfsha256-x25519"):
        assert ike_suite(parse_ike_proposal(text)).text == text
    assert child_suite(parse_esp_proposal("aes128gcm16")).text == "aes128gcm16"
