"""The choice among proposals, against an oracle that enumerates all suites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

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
from caponier.errors import Disposition, NoProposalChosen, WireError
from caponier.mechanisms.negotiation.proposals import (
    DEFAULT_ESP_PROPOSALS,
    DEFAULT_IKE_PROPOSALS,
    Attribute,
    Proposal,
    Transform,
    accept,
    format_proposal,
    parse_ah_proposal,
    parse_esp_proposal,
    parse_ike_proposal,
    select,
    without_key_exchange,
)

SPI = bytes.fromhex("c0ffee01")
AUTH_NONE = Transform(TransformType.INTEGRITY, IntegrityId.AUTH_NONE)
KE_NONE = Transform(TransformType.KEY_EXCHANGE, KeyExchangeId.NONE)


def ike(*texts: str) -> list[Proposal]:
    return [parse_ike_proposal(text, number) for number, text in enumerate(texts, 1)]


def esp(*texts: str) -> list[Proposal]:
    return [replace(parse_esp_proposal(text, number), spi=SPI) for number, text in enumerate(texts, 1)]


def chosen(offered: list[Proposal], accepted: list[Proposal]) -> tuple[int, str]:
    proposal = select(offered, accepted)
    return proposal.number, format_proposal(proposal)


# -- the responder's choice, rule by rule


def test_exactly_one_transform_of_each_type() -> None:
    """RFC 7296 section 2.7: "The accepted cryptographic suite MUST contain exactly one transform of each type"."""
    offered = ike("aes256-aes128-sha256-sha384-prfsha256-prfsha384-ecp256-modp2048")
    proposal = select(offered, list(DEFAULT_IKE_PROPOSALS))
    assert len(proposal.transforms) == len(proposal.types) == 4
    assert set(proposal.transforms) <= set(offered[0].transforms)


def test_our_order_decides() -> None:
    """Our proposals first, within one our transforms."""
    offered = ike("aes128-sha256-modp2048", "aes128gcm16-aes256gcm16-prfsha256-ecp256-x25519")
    assert chosen(offered, ike("aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256", "aes128-sha256-modp2048")) == (
        2,
        "aes256gcm16-prfsha256-x25519",
    )
    assert chosen(offered, ike("aes128-sha256-modp2048", "aes256gcm16-prfsha256-x25519")) == (
        1,
        "aes128-sha256-modp2048",
    )


def test_the_number_and_the_spi_are_the_peers() -> None:
    """RFC 7296 section 3.3.1: the number of the accepted proposal is sent back."""
    proposal = select(esp("aes256gcm16", "aes128gcm16"), [parse_esp_proposal("aes128gcm16")])
    assert (proposal.number, proposal.spi) == (2, SPI)


def test_key_lengths_differ() -> None:
    """RFC 7296 section 3.3.5: the key length is a part of the transform."""
    with pytest.raises(NoProposalChosen):
        select(ike("aes128gcm16-prfsha256-ecp256"), ike("aes256gcm16-prfsha256-ecp256"))


def test_an_unknown_attribute_spoils_its_transform_only() -> None:
    """RFC 7296 section 3.3.6: "it MUST consider this transform unacceptable; other transforms with the same Transform
    Type are processed as usual"."""
    offered = esp("aes256gcm16-aes128gcm16")[0]
    first, *others = offered.transforms
    odd = replace(first, attributes=(*first.attributes, Attribute(TransformAttributeType(77), 1)))
    proposal = select([replace(offered, transforms=(odd, *others))], [parse_esp_proposal("aes256gcm16-aes128gcm16")])
    assert format_proposal(proposal) == "aes128gcm16"


def test_an_unknown_type_spoils_its_proposal_only() -> None:
    """RFC 7296 section 3.3.6: "it MUST consider this proposal unacceptable; however, other proposals in the same SA
    payload are processed as usual"."""
    first, second = esp("aes256gcm16", "aes256gcm16")
    odd = replace(first, transforms=(*first.transforms, Transform(TransformType(200), 1)))
    assert select([odd, second], [parse_esp_proposal("aes256gcm16")]).number == 2


@pytest.mark.parametrize("kind", [TransformType.ENCRYPTION, TransformType.SEQUENCE_NUMBERS])
def test_a_missing_mandatory_type_spoils_its_proposal(kind: TransformType) -> None:
    """RFC 7296 section 3.3.6, with the table of section 3.3.3."""
    offered = esp("aes256gcm16")[0]
    cut = replace(offered, transforms=tuple(transform for transform in offered.transforms if transform.type != kind))
    with pytest.raises(NoProposalChosen):
        select([cut], [parse_esp_proposal("aes256gcm16")])


def test_left_out_means_none() -> None:
    """RFC 7296 section 3.3.3: a proposal may omit an optional type "if the only value for them it will accept is
    NONE"; so NONE on one side and nothing on the other agree, both ways round."""
    ours, theirs = parse_esp_proposal("aes128gcm16"), esp("aes128gcm16-ecp256-none")
    assert select(theirs, [ours]).of(TransformType.KEY_EXCHANGE) == (KE_NONE,)
    assert (
        select(esp("aes128gcm16"), [parse_esp_proposal("aes128gcm16-ecp256-none")]).of(TransformType.KEY_EXCHANGE) == ()
    )
    with pytest.raises(NoProposalChosen):
        select(esp("aes128gcm16-ecp256"), [ours])
    with pytest.raises(NoProposalChosen):
        select(esp("aes128gcm16"), [parse_esp_proposal("aes128gcm16-ecp256")])


@pytest.mark.parametrize("ours", [ike("aes128gcm16-prfsha256-ecp256"), esp("aes128gcm16")])
def test_an_explicit_auth_none_goes_with_an_aead_cipher(ours: list[Proposal]) -> None:
    """RFC 7296 section 2.7: "combined-mode ciphers are not allowed to have any integrity algorithm other than NONE";
    one type of the offer is one type of the answer."""
    offered = replace(ours[0], transforms=(*ours[0].transforms, AUTH_NONE))
    assert select([offered], ours).of(TransformType.INTEGRITY) == (AUTH_NONE,)


def test_an_aead_cipher_never_takes_an_integrity_algorithm() -> None:
    """RFC 5282 section 8: "an integrity algorithm MUST NOT be selected for that SA"; a proposal that mixes both kinds of
    ciphers leaves the plain one."""
    plain, aead = parse_esp_proposal("aes128-sha256"), parse_esp_proposal("aes128gcm16")
    mixed = replace(plain, transforms=(*aead.of(TransformType.ENCRYPTION), *plain.transforms))
    with pytest.raises(NoProposalChosen):
        select([mixed], [aead])
    assert format_proposal(select([mixed], [plain])) == "aes128-sha256"
    assert format_proposal(select([mixed], [mixed])) == "aes128-sha256"


def test_a_plain_cipher_never_goes_without() -> None:
    """RFC 8221 section 6: AUTH_NONE MUST NOT be selected with a cipher that does not authenticate."""
    plain = parse_esp_proposal("aes128-sha256")
    naked = replace(plain, transforms=(*plain.of(TransformType.ENCRYPTION), *plain.of(TransformType.SEQUENCE_NUMBERS)))
    for offered in (naked, replace(naked, transforms=(*naked.transforms, AUTH_NONE))):
        for accepted in (plain, naked):
            with pytest.raises(NoProposalChosen):
                select([offered], [accepted])


def test_ah_never_goes_without_integrity() -> None:
    """RFC 7296 section 3.3.3: INTEG is mandatory for AH."""
    ah = parse_ah_proposal("sha256")
    assert select([ah], [ah]) == ah
    none = replace(ah, transforms=(AUTH_NONE, *ah.of(TransformType.SEQUENCE_NUMBERS)))
    with pytest.raises(NoProposalChosen):
        select([none], [none])


def test_no_method_is_chosen_twice() -> None:
    """RFC 9370 section 2.2.2: the key exchange methods of one SA differ, NONE excepted."""
    text = "aes128gcm16-prfsha256-x25519-ecp256-ke1_x25519-ke1_mlkem768-ke2_x25519-ke2_ecp256-ke2_none"
    assert chosen(ike(text), ike(text)) == (1, "aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke2_ecp256")
    same = "aes128gcm16-prfsha256-x25519-ke1_x25519"
    with pytest.raises(NoProposalChosen, match="no combination"):
        select(ike(same), ike(same))


def test_additional_key_exchanges_are_optional_by_none() -> None:
    """RFC 9370 section 2.2.2: NONE lets a peer without the method agree."""
    offered = ike("aes128gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none")
    assert chosen(offered, ike("aes128gcm16-prfsha256-x25519")) == (1, "aes128gcm16-prfsha256-x25519-ke1_none")
    with pytest.raises(NoProposalChosen):
        select(ike("aes128gcm16-prfsha256-x25519-ke1_mlkem768"), ike("aes128gcm16-prfsha256-x25519"))


def test_protocols_do_not_mix() -> None:
    """RFC 7296 section 2.7: "the SA response MUST contain the same protocol"."""
    with pytest.raises(NoProposalChosen, match="another protocol"):
        select([parse_ah_proposal("sha256")], [parse_esp_proposal("aes128gcm16")])
    with pytest.raises(NoProposalChosen):
        select([replace(parse_esp_proposal("aes128gcm16"), protocol=ProtocolId(9))], list(DEFAULT_ESP_PROPOSALS))


def test_a_refusal_explains_itself() -> None:
    with pytest.raises(NoProposalChosen) as caught:
        select(ike("aes128gcm16-prfsha256-modp1024", "3des-md5-modp768"), ike("aes128gcm16-prfsha256-x25519-ecp256"))
    error = caught.value
    assert (
        error.message == "no proposal in common: for key exchange the peer proposes modp1024, we accept x25519, ecp256"
    )
    assert error.offered == "aes128gcm16-prfsha256-modp1024, 3des-md5-modp768"
    assert error.accepted == "aes128gcm16-prfsha256-x25519-ecp256"
    assert error.setting == "proposals"
    assert error.hint
    assert error.disposition is Disposition.FAIL_CHILD


def test_a_refusal_names_an_unknown_type_and_what_is_missing() -> None:
    offered = esp("aes128gcm16")[0]
    with pytest.raises(NoProposalChosen, match="type 200, which we do not know"):
        select(
            [replace(offered, transforms=(*offered.transforms, Transform(TransformType(200), 1)))], esp("aes128gcm16")
        )
    with pytest.raises(NoProposalChosen, match="for sequence numbers the peer proposes nothing, we accept noesn"):
        select([replace(offered, transforms=offered.of(TransformType.ENCRYPTION))], esp("aes128gcm16"))
    with pytest.raises(NoProposalChosen, match="for integrity the peer proposes none, we accept sha256"):
        select([replace(offered, transforms=parse_esp_proposal("aes128-sha256").transforms[::2])], esp("aes128-sha256"))
    with pytest.raises(NoProposalChosen, match="the peer proposes another protocol"):
        select([], esp("aes128gcm16"))


def test_defaults_agree_with_themselves() -> None:
    assert chosen(list(DEFAULT_IKE_PROPOSALS), list(DEFAULT_IKE_PROPOSALS)) == (
        1,
        "aes256gcm16-prfsha384-x25519-ke1_mlkem768",
    )
    assert chosen(list(DEFAULT_ESP_PROPOSALS), list(DEFAULT_ESP_PROPOSALS)) == (1, "aes256gcm16-x25519-esn")
    first = [without_key_exchange(proposal) for proposal in DEFAULT_ESP_PROPOSALS]
    assert chosen(first, first) == (1, "aes256gcm16-esn")


# -- the initiator's check


def test_the_answer_is_one_of_ours() -> None:
    """RFC 7296 section 3.3.6."""
    offered = esp("aes256gcm16-aes128gcm16", "aes128-sha256")
    answer = replace(parse_esp_proposal("aes128-sha256", 2), spi=b"peer")
    assert accept([answer], offered) == answer


@pytest.mark.parametrize("count", [0, 2])
def test_an_answer_has_one_proposal(count: int) -> None:
    """RFC 7296 section 2.7: "The responder MUST accept a single proposal or reject them all"."""
    with pytest.raises(WireError, match=f"{count} proposals"):
        accept(esp("aes256gcm16") * count, esp("aes256gcm16"))


def test_an_answer_has_one_transform_of_a_type() -> None:
    """RFC 7296 section 2.7."""
    with pytest.raises(WireError, match="several transforms"):
        accept(esp("aes256gcm16-aes128gcm16"), esp("aes256gcm16-aes128gcm16"))


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (parse_esp_proposal("aes128gcm16", 1), "encryption is aes128gcm16"),
        (parse_esp_proposal("aes256gcm16", 3), "it has the number 3"),
        (parse_esp_proposal("aes256gcm16", 2), "encryption is aes256gcm16"),
        (parse_esp_proposal("aes256gcm16-esn", 1), "sequence numbers is esn"),
        (parse_esp_proposal("aes256gcm16-ecp256", 1), "key exchange is ecp256"),
        (parse_ah_proposal("sha256", 1), "it is for AH"),
        (
            Proposal(1, ProtocolId.ESP, b"", parse_esp_proposal("aes256gcm16").transforms[:1]),
            "sequence numbers is nothing",
        ),
        (
            Proposal(
                1, ProtocolId.ESP, b"", (*parse_esp_proposal("aes256gcm16").transforms, Transform(TransformType(99), 1))
            ),
            "a transform of type 99",
        ),
    ],
)
def test_an_answer_that_we_did_not_offer_is_refused(answer: Proposal, fault: str) -> None:
    """RFC 7296 section 3.3.6: "if not MUST terminate the exchange"."""
    with pytest.raises(NoProposalChosen, match=fault) as caught:
        accept([answer], esp("aes256gcm16", "aes128-sha256"))
    assert caught.value.offered == format_proposal(answer)
    assert caught.value.accepted == "aes256gcm16, aes128-sha256"


def test_an_answer_without_an_offered_none_is_understood() -> None:
    """RFC 7296 section 3.3.3: left out means NONE, also in an answer."""
    answer = parse_esp_proposal("aes256gcm16")
    assert accept([answer], esp("aes256gcm16-ecp256-none")) == answer
    explicit = replace(answer, transforms=(*answer.transforms, KE_NONE))
    assert accept([explicit], esp("aes256gcm16")) == explicit
    with pytest.raises(NoProposalChosen, match="key exchange is none"):
        accept([answer], esp("aes256gcm16-ecp256"))


def test_an_answer_must_be_sound() -> None:
    """RFC 5282 section 8 holds for the answer, whatever we offered."""
    plain, aead = parse_esp_proposal("aes128-sha256"), parse_esp_proposal("aes128gcm16")
    mixed = replace(plain, transforms=(*aead.of(TransformType.ENCRYPTION), *plain.transforms))
    bad = replace(plain, transforms=(*aead.of(TransformType.ENCRYPTION), *plain.transforms[1:]))
    with pytest.raises(NoProposalChosen, match="integrity is sha256"):
        accept([bad], [mixed])


# -- the oracle

ESP_UNIVERSE: dict[TransformType, tuple[int, ...]] = {
    TransformType.ENCRYPTION: (EncryptionId.ENCR_3DES, EncryptionId.ENCR_CHACHA20_POLY1305, EncryptionId.ENCR_NULL),
    TransformType.INTEGRITY: (0, IntegrityId.AUTH_HMAC_SHA1_96, IntegrityId.AUTH_HMAC_SHA2_256_128),
    TransformType.KEY_EXCHANGE: (0, KeyExchangeId.ECP_256, KeyExchangeId.CURVE25519),
    TransformType.SEQUENCE_NUMBERS: (SequenceNumbersId.SEQUENTIAL_32, SequenceNumbersId.PARTIAL_64),
    TransformType.ADDITIONAL_KEY_EXCHANGE_1: (0, KeyExchangeId.ECP_256, KeyExchangeId.ML_KEM_768),
}
IKE_UNIVERSE: dict[TransformType, tuple[int, ...]] = {
    TransformType.ENCRYPTION: (EncryptionId.ENCR_3DES, EncryptionId.ENCR_CHACHA20_POLY1305),
    TransformType.PRF: (PrfId.PRF_HMAC_SHA1, PrfId.PRF_HMAC_SHA2_256),
    TransformType.INTEGRITY: (0, IntegrityId.AUTH_HMAC_SHA1_96),
    TransformType.KEY_EXCHANGE: (KeyExchangeId.ECP_256, KeyExchangeId.CURVE25519),
    TransformType.ADDITIONAL_KEY_EXCHANGE_1: (0, KeyExchangeId.ECP_256, KeyExchangeId.ML_KEM_768),
}
MANDATORY = {
    ProtocolId.ESP: {TransformType.ENCRYPTION, TransformType.SEQUENCE_NUMBERS},
    ProtocolId.IKE: {TransformType.ENCRYPTION, TransformType.PRF, TransformType.KEY_EXCHANGE},
}
UNKNOWN = TransformType(77)


@st.composite
def proposals(draw: st.DrawFn, protocol: ProtocolId, *, is_ours: bool = False) -> Proposal:
    """Any proposal over the universe; a peer's may have a type that nobody knows."""
    universe = ESP_UNIVERSE if protocol == ProtocolId.ESP else IKE_UNIVERSE
    transforms: list[Transform] = []
    for kind, numbers in universe.items():
        ids = draw(st.lists(st.sampled_from(numbers), unique=True))
        transforms += [Transform(kind, number) for number in ids]
    if not is_ours and draw(st.integers(0, 9)) == 0:
        transforms.append(Transform(UNKNOWN, 0))
    return Proposal(draw(st.integers(1, 9)), protocol, b"", tuple(draw(st.permutations(transforms))))


Suite = tuple[tuple[TransformType, int], ...]


def suites_of(proposal: Proposal) -> list[Suite]:
    """Every suite that a proposal stands for, best first; written with NONE where a type is left out."""
    universe = ESP_UNIVERSE if proposal.protocol == ProtocolId.ESP else IKE_UNIVERSE
    present = {transform.type for transform in proposal.transforms}
    if UNKNOWN in present or not MANDATORY[proposal.protocol] <= present:
        return []
    ids = [[t.id for t in proposal.transforms if t.type == kind] or [0] for kind in sorted(universe)]
    found = (tuple(zip(sorted(universe), suite, strict=True)) for suite in product(*ids))
    return [suite for suite in found if is_sound(dict(suite))]


def is_sound(suite: dict[TransformType, int]) -> bool:
    aead = suite[TransformType.ENCRYPTION] == EncryptionId.ENCR_CHACHA20_POLY1305
    first, second = suite[TransformType.KEY_EXCHANGE], suite[TransformType.ADDITIONAL_KEY_EXCHANGE_1]
    return aead == (suite[TransformType.INTEGRITY] == 0) and (second == 0 or first not in (0, second))


def written_out(proposal: Proposal) -> Suite:
    universe = ESP_UNIVERSE if proposal.protocol == ProtocolId.ESP else IKE_UNIVERSE
    ids = {transform.type: transform.id for transform in proposal.transforms}
    return tuple((kind, ids.get(kind, 0)) for kind in sorted(universe))


def best(offered: Sequence[Proposal], accepted: Sequence[Proposal]) -> tuple[Proposal, Suite] | None:
    for ours in accepted:
        for theirs in offered:
            common = [suite for suite in suites_of(ours) if suite in suites_of(theirs)]
            if common:
                return theirs, common[0]
    return None


@pytest.mark.parametrize("protocol", [ProtocolId.ESP, ProtocolId.IKE])
@given(data=st.data())
def test_select_against_the_oracle(protocol: ProtocolId, data: st.DataObject) -> None:
    """RFC 7296 sections 2.7, 3.3.3 and 3.3.6: the enumeration of all suites and the search agree on the best one."""
    offered = data.draw(st.lists(proposals(protocol), max_size=3))
    accepted = data.draw(st.lists(proposals(protocol, is_ours=True), max_size=3))
    expected = best(offered, accepted)
    if expected is None:
        with pytest.raises(NoProposalChosen):
            select(offered, accepted)
        return
    answer = select(offered, accepted)
    assert (answer.number, written_out(answer)) == (expected[0].number, expected[1])
    assert answer.types == expected[0].types
    numbered = [replace(proposal, number=number) for number, proposal in enumerate(offered, 1)]
    returned = select(numbered, accepted)
    assert accept([returned], numbered) == returned


@pytest.mark.parametrize("protocol", [ProtocolId.ESP, ProtocolId.IKE])
@given(data=st.data())
def test_accept_against_the_oracle(protocol: ProtocolId, data: st.DataObject) -> None:
    """RFC 7296 section 3.3.6: an answer passes if and only if it is a suite of the offer with its number."""
    offered = [
        replace(proposal, number=number)
        for number, proposal in enumerate(
            data.draw(st.lists(proposals(protocol, is_ours=True), min_size=1, max_size=3)), 1
        )
    ]
    wide = data.draw(proposals(protocol))
    kinds = sorted(wide.types)
    answer = Proposal(data.draw(st.integers(1, 3)), protocol, b"", tuple(wide.of(kind)[0] for kind in kinds))
    ours = next((proposal for proposal in offered if proposal.number == answer.number), None)
    if ours is not None and suites_of(answer) and suites_of(answer)[0] in suites_of(ours):
        assert accept([answer], offered) == answer
    else:
        with pytest.raises(NoProposalChosen):
            accept([answer], offered)
