"""Proposals as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import (
    EncryptionId,
    IntegrityId,
    KeyExchangeId,
    PrfId,
    ProtocolId,
    SequenceNumbersId,
    TransformAttributeType,
    TransformType,
)
from caponier.doi.keywords import KEYWORDS
from caponier.errors import ConfigError
from caponier.mechanisms.negotiation.proposals import (
    DEFAULT_ESP_PROPOSALS,
    DEFAULT_IKE_PROPOSALS,
    Attribute,
    Proposal,
    Transform,
    format_proposal,
    format_proposals,
    parse_ah_proposal,
    parse_esp_proposal,
    parse_ike_proposal,
    weak_algorithms,
    weak_in,
    without_key_exchange,
)

Parser = Callable[[str, int], Proposal]
NOESN = Transform(TransformType.SEQUENCE_NUMBERS, SequenceNumbersId.SEQUENTIAL_32)


def sized(cipher: EncryptionId, bits: int) -> Transform:
    return Transform(TransformType.ENCRYPTION, cipher, (Attribute(TransformAttributeType.KEY_LENGTH, bits),))


def test_an_ike_proposal() -> None:
    """RFC 7296 section 3.3.3: ENCR, PRF, D-H, and no INTEG with an AEAD cipher."""
    assert parse_ike_proposal("aes256gcm16-prfsha384-ecp384", 3) == Proposal(
        3,
        ProtocolId.IKE,
        b"",
        (
            sized(EncryptionId.ENCR_AES_GCM_16, 256),
            Transform(TransformType.PRF, PrfId.PRF_HMAC_SHA2_384),
            Transform(TransformType.KEY_EXCHANGE, KeyExchangeId.ECP_384),
        ),
    )


def test_the_prf_follows_the_hash() -> None:
    """As the field does: without a PRF the hashes name the PRFs, in their order."""
    assert parse_ike_proposal("aes256-sha512-sha256-modp2048").transforms == (
        sized(EncryptionId.ENCR_AES_CBC, 256),
        Transform(TransformType.PRF, PrfId.PRF_HMAC_SHA2_512),
        Transform(TransformType.PRF, PrfId.PRF_HMAC_SHA2_256),
        Transform(TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA2_512_256),
        Transform(TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA2_256_128),
        Transform(TransformType.KEY_EXCHANGE, KeyExchangeId.MODP_2048),
    )


def test_with_an_aead_cipher_a_hash_names_the_prf_only() -> None:
    """RFC 5282 section 8: no integrity algorithm with an AEAD cipher; the field still writes a hash there."""
    assert parse_ike_proposal("aes256gcm16-sha384-ecp384") == parse_ike_proposal("aes256gcm16-prfsha384-ecp384")


def test_an_esp_proposal_has_sequence_numbers() -> None:
    """RFC 7296 section 3.3.3: ESN is mandatory for ESP and AH, so that leaving it out means noesn."""
    assert parse_esp_proposal("aes128gcm16").transforms == (sized(EncryptionId.ENCR_AES_GCM_16, 128), NOESN)
    esn = [transform.id for transform in parse_esp_proposal("aes128gcm16-esn-noesn").of(TransformType.SEQUENCE_NUMBERS)]
    assert esn == [SequenceNumbersId.PARTIAL_64, SequenceNumbersId.SEQUENTIAL_32]
    assert parse_ah_proposal("sha256").transforms == (
        Transform(TransformType.INTEGRITY, IntegrityId.AUTH_HMAC_SHA2_256_128),
        NOESN,
    )


def test_key_exchange_none_is_for_esp() -> None:
    """RFC 7296 section 3.3.3: D-H is optional in ESP; NONE among others says that both will do."""
    groups = [
        transform.id for transform in parse_esp_proposal("aes128gcm16-ecp256-none").of(TransformType.KEY_EXCHANGE)
    ]
    assert groups == [KeyExchangeId.ECP_256, KeyExchangeId.NONE]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("AES256GCM128-PRFSHA384-ECP384", "aes256gcm16-prfsha384-ecp384"),
        (" ecp384-prfsha384-aes256gcm16 ", "aes256gcm16-prfsha384-ecp384"),
        ("aes256-sha256-modp2048", "aes256-sha256-modp2048"),
        ("aes-sha-prfsha256-curve25519", "aes128-sha1-prfsha256-x25519"),
        ("aes256-sha256-prfsha256-ecp256", "aes256-sha256-ecp256"),
        ("aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none", "aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none"),
    ],
)
def test_one_spelling_is_written(text: str, written: str) -> None:
    assert format_proposal(parse_ike_proposal(text)) == written


@pytest.mark.parametrize(
    ("parser", "text", "message", "hint"),
    [
        (parse_ike_proposal, "", "empty", "aes256gcm16-prfsha384-ecp384"),
        (parse_ike_proposal, "aes256gcm16-prfsha384-ecp348", "'ecp348'", "did you mean 'ecp384'?"),
        (parse_ike_proposal, "aes256gcm16--ecp384", "''", "caponier doi"),
        (parse_ike_proposal, "aes256gcm16-ecp384", "no pseudorandom function", "prfsha384"),
        (parse_ike_proposal, "aes256gcm16-prfsha384", "no key exchange", "ecp384"),
        (parse_ike_proposal, "prfsha384-ecp384", "no encryption", "aes256gcm16"),
        (parse_ike_proposal, "aes256-prfsha384-ecp384", "aes256 needs an integrity algorithm", "sha256"),
        (parse_ike_proposal, "aes256gcm16-sha256-prfsha256-ecp384", "protects integrity itself", "leave 'sha256' out"),
        (parse_ike_proposal, "aes256gcm16-aes256-sha256-ecp384", "RFC 5282 section 8", "two proposals"),
        (parse_ike_proposal, "aes256gcm16-prfsha384-ecp384-ecp384", "twice", "'ecp384'"),
        (parse_ike_proposal, "aes256gcm16-prfsha384-ecp384-esn", "'esn' has no place", "leave 'esn' out"),
        (parse_ike_proposal, "aes256gcm16-prfsha384-none", "without a key exchange", "'none'"),
        (parse_ike_proposal, "null-sha256-ecp384", "null does not encrypt", "AES"),
        (parse_ike_proposal, "aes128gmac-prfsha256-ecp384", "does not encrypt", "AES"),
        (parse_ike_proposal, "-".join(["ecp256"] * 101), "more than 100", None),
        (parse_esp_proposal, "aes256gcm16-prfsha384", "'prfsha384' has no place", "leave 'prfsha384' out"),
        (parse_esp_proposal, "aes256", "aes256 needs an integrity algorithm", "sha256"),
        (parse_esp_proposal, "null", "null needs an integrity algorithm", "AEAD"),
        (parse_esp_proposal, "aes256gcm16-sha256", "protects integrity itself", "leave 'sha256' out"),
        (parse_esp_proposal, "aes256-aes256gcm16-sha256", "RFC 5282 section 8", "two proposals"),
        (parse_esp_proposal, "sha256", "no encryption", "aes256gcm16"),
        (parse_ah_proposal, "aes256gcm16", "'aes256gcm16' has no place", "leave"),
        (parse_ah_proposal, "ecp256", "no integrity", "sha256"),
    ],
)
def test_refusals_name_the_word_and_the_remedy(parser: Parser, text: str, message: str, hint: str | None) -> None:
    """RFC 7296 sections 2.7 and 3.3.3, RFC 5282 section 8, RFC 8247 section 2.1."""
    with pytest.raises(ConfigError) as caught:
        parser(text, 1)
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


WORDS = st.lists(st.sampled_from(sorted(KEYWORDS)), min_size=1, max_size=6).map("-".join)


@given(WORDS, st.sampled_from([parse_ike_proposal, parse_esp_proposal, parse_ah_proposal]))
def test_what_is_written_is_read_as_the_same(text: str, parser: Parser) -> None:
    try:
        proposal = parser(text, 1)
    except ConfigError:
        return
    assert parser(format_proposal(proposal), 1) == proposal


@given(st.text(max_size=60), st.sampled_from([parse_ike_proposal, parse_esp_proposal, parse_ah_proposal]))
def test_any_text_is_read_or_refused(text: str, parser: Parser) -> None:
    try:
        parser(text, 1)
    except ConfigError as error:
        assert error.message  # most texts are refused, some are not


def transforms() -> st.SearchStrategy[Transform]:
    attributes = st.lists(
        st.builds(
            Attribute,
            st.integers(0, 32_767).map(TransformAttributeType),
            st.integers(0, 65_535) | st.binary(max_size=4),
        ),
        max_size=2,
    )
    return st.builds(Transform, st.integers(0, 255).map(TransformType), st.integers(0, 65_535), attributes.map(tuple))


@given(st.lists(transforms(), max_size=10), st.integers(0, 255).map(ProtocolId))
def test_whatever_a_peer_offers_can_be_written(chosen: list[Transform], protocol: ProtocolId) -> None:
    """The text of a refusal must not fail on what a stranger made up."""
    proposal = Proposal(1, protocol, b"", tuple(chosen))
    assert format_proposal(proposal)
    weak_algorithms(proposal)


def test_long_offers_are_cut() -> None:
    many = [parse_ike_proposal("aes256gcm16-prfsha384-ecp384", number) for number in range(1, 256)]
    assert len(format_proposals(many)) < 2100
    assert format_proposals(()) == "nothing"
    assert format_proposal(Proposal(1, ProtocolId.ESP, b"", ())) == "nothing"


def test_what_a_peer_may_add_is_shown() -> None:
    odd = Transform(TransformType.ENCRYPTION, 1024, (Attribute(TransformAttributeType(77), b"x"),))
    none = Transform(TransformType.INTEGRITY, IntegrityId.AUTH_NONE)
    gcm = sized(EncryptionId.ENCR_AES_GCM_16, 128)
    assert format_proposal(Proposal(1, ProtocolId.ESP, b"", (odd, NOESN))) == "encr1024+attribute77"
    assert format_proposal(Proposal(1, ProtocolId.ESP, b"", (gcm, none, NOESN))) == "aes128gcm16"
    assert format_proposal(Proposal(1, ProtocolId.ESP, b"", (odd, none))) == "encr1024+attribute77-auth_none"
    assert format_proposal(Proposal(1, ProtocolId.ESP, b"", (Transform(TransformType(99), 7),))) == "type99_7"


@pytest.mark.parametrize(
    ("proposal", "weak"),
    [
        (parse_ike_proposal("aes256gcm16-prfsha384-ecp384"), ()),
        (
            parse_ike_proposal("3des-md5-modp1024"),
            (
                ("3des", "SHOULD NOT (RFC 8221)"),
                ("prfmd5", "MUST NOT (RFC 8247)"),
                ("md5", "MUST NOT (RFC 8247)"),
                ("modp1024", "SHOULD NOT (RFC 8247)"),
            ),
        ),
        (parse_esp_proposal("3des-sha1"), (("3des", "SHOULD NOT (RFC 8221)"),)),
        (
            parse_esp_proposal("des-sha256-modp768"),
            (("des", "MUST NOT (RFC 8221)"), ("modp768", "MUST NOT (RFC 8247)")),
        ),
        (parse_esp_proposal("null-sha256"), ()),
        (parse_esp_proposal("blowfish128-sha256"), (("blowfish128", "MUST NOT (RFC 9395)"),)),
        (parse_ah_proposal("md5"), (("md5", "MUST NOT (RFC 8221)"),)),
    ],
)
def test_weak_algorithms(proposal: Proposal, weak: tuple[tuple[str, str], ...]) -> None:
    """RFC 8247 section 2 for IKE and key exchanges, RFC 8221 sections 5 and 6 for ESP and AH."""
    assert weak_algorithms(proposal) == weak


@pytest.mark.parametrize(
    ("protocol", "suite", "weak"),
    [
        (ProtocolId.IKE, "3des-md5-prfmd5-modp1024s160", ("3des", "prfmd5", "md5", "modp1024s160")),
        (ProtocolId.IKE, "aes256gcm16-prfsha384-x25519-ke1_mlkem768", ()),
        (ProtocolId.ESP, "3des-sha1-modp1536", ("3des", "modp1536")),
        (ProtocolId.ESP, "null-sha256-esn", ()),
        (ProtocolId.AH, "md5", ("md5",)),
        (ProtocolId.IKE, "", ()),
    ],
)
def test_weak_in_what_was_agreed_on(protocol: ProtocolId, suite: str, weak: tuple[str, ...]) -> None:
    """RFC 8247 section 2, RFC 8221 sections 5 and 6, of a suite as the status writes it."""
    assert weak_in(protocol, suite) == weak


def test_defaults_are_modern() -> None:
    """Nothing that any RFC advises against, no SHA-1, at least 128 bits; numbered as an SA payload needs them."""
    for defaults in (DEFAULT_IKE_PROPOSALS, DEFAULT_ESP_PROPOSALS):
        assert [proposal.number for proposal in defaults] == list(range(1, len(defaults) + 1))
        for proposal in defaults:
            assert weak_algorithms(proposal) == ()
            assert "sha1" not in format_proposal(proposal)
            assert proposal.spi == b""
    assert DEFAULT_IKE_PROPOSALS[0].transforms[0].is_aead
    assert DEFAULT_ESP_PROPOSALS[0].transforms[0].is_aead


def test_the_first_child_sa_has_no_key_exchange() -> None:
    """RFC 7296 section 1.2: the SA payload of IKE_AUTH has no transform type 4 but NONE, and better none at all."""
    proposal = parse_esp_proposal("aes128gcm16-x25519-none-ke1_mlkem768-esn", 2)
    assert without_key_exchange(proposal) == parse_esp_proposal("aes128gcm16-esn", 2)


@pytest.mark.parametrize(("bits", "number"), [(128, 9), (192, 10), (256, 11)])
def test_gmac_of_ah_is_an_integrity_algorithm(bits: int, number: int) -> None:
    """RFC 4543 section 5.4: in ESP it is an encryption algorithm (21), in AH an integrity algorithm for each key length."""
    ah, esp = parse_ah_proposal(f"aes{bits}gmac-sha256"), parse_esp_proposal(f"aes{bits}gmac")
    assert [(each.type, each.id, each.key_length) for each in ah.transforms[:2]] == [(3, number, None), (3, 12, None)]
    assert [(each.type, each.id, each.key_length) for each in esp.transforms[:1]] == [(1, 21, bits)]
    assert format_proposal(ah) == f"aes{bits}gmac-sha256"
    assert format_proposal(esp) == f"aes{bits}gmac"
