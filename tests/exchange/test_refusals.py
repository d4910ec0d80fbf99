"""What goes wrong, on both sides: who learns what, and which line is to be changed (RFC 7296 section 2.21)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import AuthenticationFailed, CaponierError, NoProposalChosen, PeerRejected, TsUnacceptable
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.octets import Secret
from caponier.protocols.ike.events import IkeSaEstablished
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import decode_header
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection
from tests.exchange.certificates import Party, authority
from tests.exchange.world import SECRET, World, child, connection, key

OTHER = PresharedKey(Secret(b"another secret than theirs"))


@dataclass(frozen=True)
class Case:
    """A pair of configurations that do not fit.

    Attributes:
        name: what is wrong.
        left: the initiator's.
        right: the responder's.
        initiator: what the initiator learns: the class of its error, the setting, and words that must be in it.
        responder: the same for the responder.
    """

    name: str
    left: Callable[[], Connection]
    right: Callable[[], Connection]
    initiator: tuple[type[CaponierError], str | None, tuple[str, ...]]
    responder: tuple[type[CaponierError], str | None, tuple[str, ...]]


def _certified(side: str, **changes: object) -> Connection:
    ca = authority("Test CA")
    party = Party.issued(ca, f"{side}.example.com")
    made = connection(side, credential=party.credential, requirement=ca.trust)
    return replace(made, **changes)  # type: ignore[arg-type]


CASES = (
    Case(
        "another preshared key",
        lambda: connection("left"),
        lambda: connection("right", credential=OTHER, requirement=OTHER),
        (PeerRejected, "local.secret", ("AUTHENTICATION_FAILED", "left.example.com")),
        (AuthenticationFailed, "local.secret", ("left.example.com",)),
    ),
    Case(
        "an identity that the responder does not expect",
        lambda: connection("left", identity="stranger.example.com"),
        lambda: connection("right"),
        (PeerRejected, "local.secret", ("AUTHENTICATION_FAILED", "stranger.example.com")),
        (AuthenticationFailed, "remote.id", ("stranger.example.com", "left.example.com")),
    ),
    Case(
        "an identity that the initiator does not expect",
        lambda: connection("left", peer="somebody.example.com"),
        lambda: connection("right"),
        (PeerRejected, "local.secret", ("AUTHENTICATION_FAILED",)),
        (AuthenticationFailed, "local.id", ("somebody.example.com", "right.example.com")),
    ),
    Case(
        "an address that is not the peer's own",  # RFC 4945 section 3.1.1
        lambda: connection("left", identity="198.51.100.9"),
        lambda: connection("right", peer="%any"),
        (PeerRejected, "local.secret", ("AUTHENTICATION_FAILED", "198.51.100.9")),
        (AuthenticationFailed, "remote.id", ("198.51.100.9", "192.0.2.1")),
    ),
    Case(
        "another secret for the peer than for ourselves",
        lambda: connection("left"),
        lambda: connection("right", requirement=OTHER),
        (PeerRejected, "local.secret", ("AUTHENTICATION_FAILED",)),
        (AuthenticationFailed, "remote.secret", ("left.example.com",)),
    ),
    Case(
        "no IKE proposal in common",
        lambda: connection("left"),
        lambda: connection("right", ike=("aes128-sha256-modp2048",)),
        (PeerRejected, "proposals", ("NO_PROPOSAL_CHOSEN", "aes256gcm16-prfsha256-x25519")),
        (NoProposalChosen, "proposals", ("aes256gcm16-prfsha256-x25519", "aes128-sha256-modp2048")),
    ),
    Case(
        "no ESP proposal in common",
        lambda: connection("left"),
        lambda: connection("right", esp="aes128-sha256"),
        (PeerRejected, "child.lan.proposals", ("NO_PROPOSAL_CHOSEN", "aes256gcm16")),
        (NoProposalChosen, "child.lan.proposals", ("aes256gcm16", "aes128-sha256")),
    ),
    Case(
        "no traffic selectors in common",
        lambda: connection("left", children=(child("lan", "10.1.0.0/16", "10.99.0.0/16"),)),
        lambda: connection("right"),
        (PeerRejected, "child.lan.remote", ("TS_UNACCEPTABLE", "10.99.0.0/16")),
        (TsUnacceptable, "child.lan.local", ("10.99.0.0/16", "10.2.0.0/16")),
    ),
    Case(
        "a preshared key where a certificate is wanted",
        lambda: connection("left"),
        lambda: _certified("right"),
        (PeerRejected, "local.secret", ("AUTHENTICATION_FAILED",)),
        (AuthenticationFailed, "remote.auth", ("SHARED_KEY_MIC", "a certificate")),
    ),
    Case(
        "a certificate where a preshared key is wanted",
        lambda: _certified("left"),
        lambda: connection("right"),
        (PeerRejected, "local.id", ("AUTHENTICATION_FAILED",)),
        (AuthenticationFailed, "remote.auth", ("DIGITAL_SIGNATURE", "a preshared key")),
    ),
    Case(
        "a certificate of an unknown authority",
        lambda: _certified("left"),
        lambda: _certified(
            "right", remote=replace(_certified("right").remote, requirement=authority("Other CA").trust)
        ),
        (PeerRejected, "local.id", ("AUTHENTICATION_FAILED",)),
        (AuthenticationFailed, "remote.ca", ("Test CA", "Other CA")),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_side_names_the_cause(case: Case) -> None:
    world = World()
    world.connect(case.left(), case.right())
    world.run(60)
    for host, expected in ((world.left, case.initiator), (world.right, case.responder)):
        failure = host.failures[0]
        kind, setting, words = expected
        assert type(failure.error) is kind
        assert failure.error.setting == setting
        told = _told(failure.error)
        for word in words:
            assert word in told
        assert failure.error.hint
        assert SECRET.decode() not in told
        assert not host.installed
        assert not host.spis
        assert failure.connection == "office"


def _told(error: CaponierError) -> str:
    extra = (getattr(error, name, "") for name in ("offered", "accepted", "hint"))
    return " ".join((str(error), *map(str, extra)))


def test_an_initiator_that_does_not_believe_the_responder_tells_it() -> None:
    """Section 2.21.2: the responder holds the IKE SA for good, so the initiator says that it does not."""
    world = World()
    world.connect(connection("left", requirement=OTHER), connection("right"))
    world.run(60)
    assert not world.left.sas
    assert not world.right.sas
    assert isinstance(world.left.failures[0].error, AuthenticationFailed)
    assert world.right.happened(IkeSaEstablished)
    assert not world.left.happened(IkeSaEstablished)
    assert not world.right.installed


def test_the_cause_of_a_failed_proof_never_goes_out() -> None:
    """A peer that fails to authenticate learns AUTHENTICATION_FAILED and nothing else."""
    lengths = set()
    for case in CASES:
        if case.responder[0] is not AuthenticationFailed:
            continue
        world = World()
        world.connect(case.left(), case.right())
        world.run(10)
        answers = [
            octets
            for side, octets, _ in world.sent
            if side == "right" and decode_header(octets).exchange == ExchangeType.IKE_AUTH
        ]
        lengths |= {len(octets) for octets in answers}
    assert len(lengths) == 1


@pytest.mark.parametrize(("identity", "peer"), [("192.0.2.1", "%any"), ("198.51.100.9", "198.51.100.9")])
def test_an_address_as_identity(identity: str, peer: str) -> None:
    """RFC 4945 section 3.1.1: the peer's own address, or the one that we named."""
    world = World()
    world.connect(connection("left", identity=identity), connection("right", peer=peer))
    world.run(5)
    assert [sa.remote_id for sa in world.right.sas] == [identity]


def test_a_failed_connection_can_be_tried_again_at_once() -> None:
    world = World()
    world.connect(connection("left"), connection("right", credential=OTHER, requirement=OTHER))
    world.run(5)
    world.right.endpoint.remove_connection("office", world.now)
    world.right.endpoint.add_connection(connection("right", credential=key(), requirement=key()))
    world.initiate("left")
    world.run(5)
    assert len(world.left.sas) == len(world.right.sas) == 1


def test_nobody_is_expected_from_there() -> None:
    """Section 2.21.1: NO_PROPOSAL_CHOSEN, once for each request, and one report."""
    world = World()
    world.connect(connection("left"), None)
    world.run(30)
    assert isinstance(world.left.failures[0].error, PeerRejected)
    assert len(world.right.failures) == 1
    assert world.right.failures[0].connection is None
    assert "no connection" in str(world.right.failures[0].error)


@pytest.mark.parametrize(
    ("change", "notify"),
    [
        (lambda header: replace(header, major=3), NotifyType.INVALID_MAJOR_VERSION),
        (lambda header: replace(header, spi_r=b"12345678", exchange=ExchangeType.INFORMATIONAL), 4),
    ],
)
def test_strangers_are_told_little_and_change_nothing(change: Callable[[Header], Header], notify: int) -> None:
    """Sections 2.5 and 2.21.4."""
    world = World()
    world.connect(connection("left"), connection("right"))
    world.run(1)
    before = world.right.sas
    sent = len(world.sent)
    request = world.sent[0][1]
    header = change(decode_header(request))
    path = Path(world.right.sas[0].path.local, 500, world.right.sas[0].path.remote, 500)
    world.deliver("right", _with_header(header, request), path)
    assert world.right.sas == before
    (answer,) = [octets for side, octets, _ in world.sent[sent:] if side == "right"]
    assert len(answer) < 80
    assert int(NotifyType(notify)).to_bytes(2) in answer


def _with_header(header: Header, octets: bytes) -> bytes:
    version = header.major << 4 | header.minor
    return header.spi_i + header.spi_r + octets[16:17] + bytes((version, int(header.exchange))) + octets[19:]
