"""Signatures of every kind between two endpoints (RFC 7296 sections 2.15, 3.6 and 3.7, RFC 7427, RFC 8420)."""

from __future__ import annotations

import pytest

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import AuthenticationFailed
from caponier.protocols.ike.messages.message import decode_message, encode_message
from caponier.protocols.ike.messages.payloads import CertificateRequest, Notify
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection
from tests.exchange.certificates import Authority, Party, authority
from tests.exchange.world import World, assert_tunnel, connection, key

CA = authority("Test CA")


def certified(side: str, kind: str = "p256", ca: Authority = CA) -> Connection:
    party = Party.issued(ca, f"{side}.example.com", kind)
    return connection(side, credential=party.credential, requirement=ca.trust)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("rsa", "rsa-pss-sha"),
        ("p256", "ecdsa-sha256"),
        ("p384", "ecdsa-sha384"),
        ("p521", "ecdsa-sha512"),
        ("ed25519", "ed25519"),
    ],
)
def test_every_kind_of_key(kind: str, method: str) -> None:
    """RFC 7427 section 4: each signs with what the other announced."""
    world = World()
    world.connect(certified("left", kind), certified("right", kind))
    world.run(2)
    assert_tunnel(world)
    for host in (world.left, world.right):
        (sa,) = host.sas
        assert sa.local_auth.startswith(method)
        assert sa.remote_auth.startswith(method)


def test_a_stripped_announcement_of_hashes_is_noticed() -> None:
    """RFC 7427 section 3, downgrade: AUTH covers the first message, so nobody can take the announcement out of it."""
    world = World()
    world.middle = _without_hashes
    world.connect(certified("left"), certified("right"))
    world.run(2)
    assert not world.left.sas
    assert isinstance(world.right.failures[0].error, AuthenticationFailed)


def _without_hashes(side: str, octets: bytes, path: Path) -> tuple[bytes, Path]:
    if octets[18] != ExchangeType.IKE_SA_INIT:
        return octets, path
    message = decode_message(octets)
    kept = [
        payload
        for payload in message.payloads
        if not (isinstance(payload, Notify) and payload.type == NotifyType.SIGNATURE_HASH_ALGORITHMS)
    ]
    return encode_message(message.header, kept), path


def test_different_kinds_on_both_sides() -> None:
    world = World()
    world.connect(certified("left", "rsa"), certified("right", "ed25519"))
    world.run(2)
    assert_tunnel(world)


def test_a_key_on_one_side_and_a_certificate_on_the_other() -> None:
    """Section 2.15: "there is no requirement that the initiator and responder sign with the same ... algorithms"."""
    party = Party.issued(CA, "right.example.com")
    world = World()
    world.connect(
        connection("left", credential=key(), requirement=CA.trust),
        connection("right", credential=party.credential, requirement=key()),
    )
    world.run(2)
    assert_tunnel(world)
    assert (world.left.sas[0].local_auth, world.left.sas[0].remote_auth) == ("psk", "ecdsa-sha256")


def test_intermediate_authorities_travel_along() -> None:
    """Section 3.6: further CERT payloads lead to the trust anchor."""
    middle = CA.below("Middle CA")
    party = Party.issued(middle, "left.example.com", through=(middle,))
    world = World()
    world.connect(connection("left", credential=party.credential, requirement=CA.trust), certified("right"))
    world.run(2)
    assert_tunnel(world)


def test_certificates_are_asked_for_only_where_they_are_wanted() -> None:
    """Section 3.7: CERTREQ names the authorities that are trusted."""
    world = World()
    world.connect(certified("left"), certified("right"))
    world.run(2)
    assert decode_message(world.sent[1][1]).all(CertificateRequest)
    plain = World()
    plain.connect(connection("left"), connection("right"))
    plain.run(2)
    assert not decode_message(plain.sent[1][1]).all(CertificateRequest)
