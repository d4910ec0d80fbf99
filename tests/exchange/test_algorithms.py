"""Every algorithm of IKE in whole handshakes and rekeys, and combinations that must not come to be (RFC 7296 sections 2.7, 3.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import (
    EncryptionId,
    IntegrityId,
    KeyExchangeId,
    ProtocolId,
    TransformAttributeType,
    TransformType,
)
from caponier.doi.keywords import KEYWORDS
from caponier.errors import NoProposalChosen, PeerRejected, WireError
from caponier.mechanisms.algorithms.catalog import is_implemented, key_exchange
from caponier.mechanisms.algorithms.key_exchange import Ecp, Modp, MontgomeryCurve
from caponier.mechanisms.negotiation.proposals import (
    Attribute,
    Proposal,
    Transform,
    accept,
    format_proposal,
    parse_ike_proposal,
    select,
)
from caponier.protocols.ike.events import IkeSaClosed
from tests.exchange.suites import SUITES
from tests.exchange.world import World, assert_tunnel, connection, up


def test_every_algorithm_occurs() -> None:
    """Else the tests below, and those with strongSwan, would leave one out. ML-KEM is an additional exchange everywhere."""
    named = {(each.type, each.id, each.key_length) for text in SUITES for each in parse_ike_proposal(text).transforms}
    for name in KEYWORDS.values():
        is_none = (name.transform_type, name.id) in (
            (TransformType.KEY_EXCHANGE, KeyExchangeId.NONE),
            (TransformType.INTEGRITY, IntegrityId.AUTH_NONE),
        )
        if is_none or name.transform_type > TransformType.KEY_EXCHANGE or name.keyword.startswith("mlkem"):
            continue
        if is_implemented(name.transform_type, name.id, name.key_length):
            assert (name.transform_type, name.id, name.key_length) in named, name.keyword


@pytest.mark.parametrize("ike", SUITES)
def test_a_whole_handshake(ike: str) -> None:
    """RFC 7296 section 1.2: IKE_SA_INIT, IKE_AUTH, and the same keys on both sides."""
    world = up(ike=(ike,))
    assert format_proposal(parse_ike_proposal(world.left.sas[0].suite)) == format_proposal(parse_ike_proposal(ike))


@pytest.mark.parametrize(
    "ike",
    [
        "aes128ccm8-prfaesxcbc-ecp256bp",
        "camellia128-aescmac-x448",
        "3des-md5-modp1024s160",
        "aes256ctr-aesxcbc-modp2048",
    ],
)
def test_a_whole_life(ike: str) -> None:
    """RFC 7296 sections 2.17 and 2.18: rekeys of the child and of the IKE SA, whose SKEYSEED takes both nonces whole."""
    world = up(ike=(ike,), esp=f"aes256gcm16-{ike.rsplit('-', maxsplit=1)[1]}")
    (first,) = world.left.installed
    world.left.endpoint.rekey_child(ProtocolId.ESP, first, world.now)
    world.settle()
    world.run(20)
    assert_tunnel(world)
    assert first not in world.left.installed
    (old,) = world.left.sas
    world.left.endpoint.rekey("office", world.now)
    world.settle()
    world.run(20)
    assert_tunnel(world)
    assert world.left.sas[0].id != old.id


@pytest.mark.parametrize(
    ("group", "value"),
    [
        ("modp2048s256", (2).to_bytes(256)),  # in no subgroup
        ("modp8192", (1).to_bytes(1024)),
        ("ecp384bp", bytes(96)),  # on no curve
        ("x448", bytes(56)),  # of low order
    ],
    ids=["modp2048s256", "modp8192", "ecp384bp", "x448"],
)
def test_a_public_value_that_must_not_be(monkeypatch: pytest.MonkeyPatch, group: str, value: bytes) -> None:
    """RFC 6989 section 2.5: in CREATE_CHILD_SA "the Responder MUST reply with an INVALID_SYNTAX error notification and drop the
    IKE SA"; the peer is at fault, and nothing of it stays."""
    world = up(esp=f"aes256gcm16-{group}")
    number = KEYWORDS[group].id

    class Faulty:
        """Our initiator's half of the key exchange, with another public value."""

        public = value

    monkeypatch.setattr(Modp, "generate", lambda *_: Faulty())
    monkeypatch.setattr(Ecp, "generate", lambda *_: Faulty())
    monkeypatch.setattr(MontgomeryCurve, "generate", lambda *_: Faulty())
    (first,) = world.left.installed
    world.left.endpoint.rekey_child(ProtocolId.ESP, first, world.now)
    world.settle()
    monkeypatch.undo()
    world.run(600)
    assert key_exchange(KeyExchangeId(number)).public_length == len(value)
    for host in (world.left, world.right):
        assert not host.sas
        assert not host.installed
        assert not host.spis
    (closed,) = world.right.happened(IkeSaClosed)
    assert isinstance(closed, IkeSaClosed)
    assert isinstance(closed.error, WireError)


def proposal(*changed: Transform, text: str = "aes256-sha256-modp2048") -> Proposal:
    """An IKE proposal with some types replaced."""
    base = parse_ike_proposal(text)
    kinds = {each.type for each in changed}
    kept = [each for each in base.transforms if each.type not in kinds]
    return replace(base, transforms=tuple(sorted((*kept, *changed), key=lambda each: each.type)))


def sized(kind: TransformType, number: int, bits: int) -> Transform:
    return Transform(kind, number, (Attribute(TransformAttributeType.KEY_LENGTH, bits),))


ENCRYPTION, INTEGRITY, PRF, GROUP = (TransformType(number) for number in (1, 3, 2, 4))
#: What a peer may put together that no RFC allows, or that nobody can carry out.
UNSOUND = {
    "AES-CBC without key length": proposal(Transform(ENCRYPTION, EncryptionId.ENCR_AES_CBC)),
    "AES-CBC with a key of no bits": proposal(sized(ENCRYPTION, EncryptionId.ENCR_AES_CBC, 0)),
    "AES-CBC with a key of 65535 bits": proposal(sized(ENCRYPTION, EncryptionId.ENCR_AES_CBC, 65535)),
    "3DES with a key length": proposal(sized(ENCRYPTION, EncryptionId.ENCR_3DES, 192)),
    "ChaCha20-Poly1305 with a key length": proposal(
        sized(ENCRYPTION, EncryptionId.ENCR_CHACHA20_POLY1305, 256), text="chacha20poly1305-prfsha256-modp2048"
    ),
    "no encryption": proposal(Transform(ENCRYPTION, EncryptionId.ENCR_NULL)),
    "AES-GMAC, which does not encrypt": proposal(
        sized(ENCRYPTION, EncryptionId.ENCR_NULL_AUTH_AES_GMAC, 128), text="aes128gcm16-prfsha256-modp2048"
    ),
    "AES-CBC without integrity": proposal(Transform(INTEGRITY, IntegrityId.AUTH_NONE)),
    "AES-GCM with integrity": proposal(sized(ENCRYPTION, EncryptionId.ENCR_AES_GCM_16, 256)),
    "a PRF with a key length": proposal(sized(PRF, 5, 256)),
    "integrity with a key length": proposal(sized(INTEGRITY, 12, 256)),
    "a group with a key length": proposal(sized(GROUP, 14, 2048)),
    "no group": proposal(Transform(GROUP, KeyExchangeId.NONE)),
    "a PRF of nobody's": proposal(Transform(PRF, 1024)),
}
EVERYTHING = tuple(parse_ike_proposal(text, number) for number, text in enumerate(SUITES, start=1))


@pytest.mark.parametrize("offer", UNSOUND.values(), ids=UNSOUND.keys())
def test_unsound_offers_are_not_chosen(offer: Proposal) -> None:
    """RFC 7296 sections 3.3.3, 3.3.5 and 3.3.6, RFC 5282 section 8: a responder that accepts every algorithm chooses none of
    these, and keeps nothing of the peer that sent them."""
    with pytest.raises(NoProposalChosen):
        select((offer,), EVERYTHING)
    if offer.of(GROUP)[0].id == KeyExchangeId.NONE:
        return  # our own initiator has nothing to send with it
    world = World()
    world.connect(replace(connection("left"), proposals=(offer,)), connection("right", ike=SUITES))
    world.run(5)
    assert isinstance(world.left.failures[0].error, PeerRejected)
    assert not world.left.sas
    assert not world.right.sas
    assert not world.right.spis
    up_again = up(ike=SUITES[:1])
    assert up_again.left.sas


@pytest.mark.parametrize("offer", UNSOUND.values(), ids=UNSOUND.keys())
def test_unsound_choices_are_refused(offer: Proposal) -> None:
    """RFC 7296 section 3.3.6: an initiator accepts no combination that it did not offer, also where it offered all the parts."""
    ciphers = "3des-aes128-aes256-camellia128", "aes128gcm16-aes256gcm16-chacha20poly1305"
    for text in (f"{ciphers[0]}-sha256-sha1-prfsha256-modp2048", f"{ciphers[1]}-prfsha256-modp2048"):
        with pytest.raises(NoProposalChosen):
            accept((offer,), (parse_ike_proposal(text),))
