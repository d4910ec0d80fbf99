"""Postquantum preshared keys, both ends in simulated time (RFC 8784)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import NotifyType
from caponier.errors import AuthenticationFailed
from caponier.mechanisms.authentication.ppk import Ppk
from caponier.octets import Secret
from caponier.protocols.ike.messages.message import decode_header, decode_message, encode_message
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Retransmission, Settings
from caponier.protocols.ike.v2 import ppk as ppk_of_ike
from tests.exchange.test_certificates import certified
from tests.exchange.world import Weather, World, assert_tunnel, connection

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
HYBRID = "aes256gcm16-prfsha384-x25519-ke1_mlkem768"


def ppk(secret: bytes = KEY, name: str = "office-2026", *, required: bool = True) -> Ppk:
    return Ppk(name, Secret(secret), required)


def meeting(left: Ppk | None, right: Ppk | None, ike: str = "aes256gcm16-prfsha384-x25519") -> World:
    world = World()
    ours, theirs = (replace(connection(side, ike=(ike,)), ppk=key) for side, key in (("left", left), ("right", right)))
    world.connect(ours, theirs)
    world.run(60)
    return world


def assert_safe(world: World, by: tuple[str, ...]) -> None:
    assert_tunnel(world)
    for host in (world.left, world.right):
        assert host.sas[0].children[0].quantum_safe == by


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_both_have_it(left: bool, right: bool) -> None:  # noqa: FBT001 - required or not
    """Section 3, table 1, last row: it is used, whether it is required or not."""
    world = meeting(ppk(required=left), ppk(required=right))
    assert_safe(world, ("PPK",))
    assert world.left.sas[0].quantum_safe == world.right.sas[0].quantum_safe == ()


def test_it_goes_into_sk_d() -> None:
    """Section 3: the keys of the Child SA differ from those of the same exchange without it."""
    seen = [meeting(None, None), meeting(ppk(), ppk()), meeting(ppk(OTHER), ppk(OTHER))]
    keys = {frozenset(world.left.keys.values()) for world in seen}
    assert len(keys) == 3


def test_it_protects_the_ike_sa_from_the_first_rekeying_on() -> None:
    """Section 6."""
    world = meeting(ppk(), ppk())
    world.left.endpoint.rekey("office", world.now)
    world.settle()
    world.run(5)
    assert_safe(world, ("PPK",))
    assert world.left.sas[0].quantum_safe == world.right.sas[0].quantum_safe == ("PPK",)


def test_with_ml_kem() -> None:
    """RFC 9370: both; the PPK is mixed into the keys of the last round."""
    world = meeting(ppk(), ppk(), HYBRID)
    assert_safe(world, ("ML-KEM-768", "PPK"))
    assert world.left.sas[0].quantum_safe == ("ML-KEM-768",)


@pytest.mark.parametrize("required", [True, False])
def test_with_certificates(required: bool) -> None:  # noqa: FBT001
    """Section 3: a peer that may do without signs twice."""
    world = World()
    left, right = (replace(each, ppk=ppk(required=required)) for each in (certified("left"), certified("right")))
    world.connect(left, right)
    world.run(5)
    assert_safe(world, ("PPK",))


def test_bad_weather() -> None:
    patient = Settings(retransmission=Retransmission(factor=1.3, attempts=15))
    for seed in range(20):
        world = World(seed=seed, settings=patient, weather=Weather(loss=0.2, duplication=0.3, delay=0.5))
        left, right = (replace(connection(side, ike=(HYBRID,)), ppk=ppk()) for side in ("left", "right"))
        world.connect(left, right)
        world.run(200)
        assert_safe(world, ("ML-KEM-768", "PPK"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (ppk(required=False), None),
        (None, ppk(required=False)),
        (ppk(required=False), ppk(name="another", required=False)),
    ],
    ids=["only left", "only right", "of different names"],
)
def test_optional_ones_do_not_stand_in_the_way(left: Ppk | None, right: Ppk | None) -> None:
    """Section 3: without USE_PPK on both sides, or by NO_PPK_AUTH, the IKE SA comes up without it."""
    assert_safe(meeting(left, right), ())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (ppk(), None),
        (None, ppk()),
        (ppk(), ppk(name="another")),
        (ppk(), ppk(name="another", required=False)),
        (ppk(required=False), ppk(name="another")),
        (ppk(), ppk(OTHER)),
        (ppk(required=False), ppk(OTHER, required=False)),
    ],
)
def test_required_ones_do(left: Ppk | None, right: Ppk | None) -> None:
    """Section 3, table 1: "Abort negotiation"; and of one name with two secrets nothing comes either."""
    world = meeting(left, right)
    assert not world.left.sas
    assert not world.right.sas
    assert not world.left.spis
    assert not world.right.spis
    (failure,) = world.left.failures
    assert "PPK" in f"{failure.error.hint} {failure.error.message}" or left is None


def test_the_refusal_says_where_to_look() -> None:
    (failure,) = meeting(ppk(), ppk(OTHER)).right.failures
    assert isinstance(failure.error, AuthenticationFailed)
    assert "PPK" in (failure.error.hint or "")
    (failure,) = meeting(ppk(), None).left.failures
    assert failure.error.setting == "ppk"


def without_use_ppk(side: str, octets: bytes, path: Path) -> tuple[bytes, Path]:
    header = decode_header(octets)
    if header.message_id or side == "left":
        return octets, path
    message = decode_message(octets)
    kept = [each for each in message.payloads if not (isinstance(each, Notify) and each.type == NotifyType.USE_PPK)]
    return encode_message(header, kept), path


@pytest.mark.parametrize("required", [True, False])
def test_nobody_on_the_way_talks_them_out_of_it(required: bool) -> None:  # noqa: FBT001
    """Section 4: USE_PPK taken out of the answer. AUTH covers the answer, so that nothing comes up (RFC 7296 section 2.15)."""
    world = World(middle=without_use_ppk)
    left, right = (replace(connection(side), ppk=ppk(required=required)) for side in ("left", "right"))
    world.connect(left, right)
    world.run(120)
    assert not world.left.installed
    assert not world.right.installed


def test_a_peer_that_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 3: "If no PPK_IDENTITY notification is found ... the responder MUST send back AUTHENTICATION_FAILED"."""
    left, right = (replace(connection(side), ppk=ppk()) for side in ("left", "right"))
    honest = ppk_of_ike.choose

    def choose(sa, found, message, *, is_agreed):  # type: ignore[no-untyped-def]
        kept = [
            each for each in message.payloads if not (isinstance(each, Notify) and each.type == NotifyType.PPK_IDENTITY)
        ]
        return honest(sa, found, replace(message, payloads=tuple(kept)), is_agreed=is_agreed)

    monkeypatch.setattr(ppk_of_ike, "choose", choose)
    world = World()
    world.connect(left, right)
    world.run(30)
    assert not world.right.sas
    assert "names none" in world.right.failures[0].error.message
    assert getattr(world.left.failures[0].error, "notify", None) == NotifyType.AUTHENTICATION_FAILED
