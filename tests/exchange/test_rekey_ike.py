"""Rekeying of IKE SAs, both ends in simulated time (RFC 7296 sections 1.3.2, 2.8.2, 2.18 and 2.25.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import ExchangeType, NotifyType, ProtocolId
from caponier.protocols.ike.events import ChildSaInstalled, ChildSaRemoved, IkeSaClosed, IkeSaEstablished, Role
from caponier.protocols.ike.messages.message import decode_header
from caponier.protocols.ike.policy import Retransmission, Settings
from caponier.protocols.ike.v2.timers import LINGER_SECONDS, REKEY_RETRY_SECONDS
from tests.exchange.test_children import LAN, VOICE, both
from tests.exchange.test_rekey_child import rekey as rekey_child
from tests.exchange.world import IKE, Weather, World, assert_tunnel, connection, up

PATIENT = Settings(retransmission=Retransmission(factor=1.3, attempts=15))


def rekey(world: World, side: str) -> None:
    world.host(side).endpoint.rekey("office", world.now)
    world.settle()


def only_id(world: World) -> object:
    (sa,) = world.left.sas
    return sa.id


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("ike", [IKE, "aes128-sha256-ecp256", "chacha20poly1305-prfsha512-x25519"])
def test_a_successor_inherits_the_child_sas(side: str, ike: str) -> None:
    """Sections 1.3.2 and 2.18: new SPIs and keys, the same Child SAs; who asked is the new original initiator."""
    world = up(ike=(ike,))
    old, children = only_id(world), dict(world.left.installed)
    rekey(world, side)
    world.run(2)
    assert_tunnel(world)
    assert only_id(world) != old
    assert world.left.installed == children
    assert world.host(side).sas[0].role is Role.INITIATOR
    assert not world.left.removed
    assert world.left.sas[0].local_id == "left.example.com"
    (closed,) = world.host(side).happened(IkeSaClosed)
    assert isinstance(closed, IkeSaClosed)
    assert closed.error is None
    world.run(LINGER_SECONDS + 1)
    for host in (world.left, world.right):
        assert len(host.endpoint._sas) == 1


def test_message_ids_begin_at_zero() -> None:
    """Section 2.18: "The new IKE SA MUST reset its message counters to 0", in both directions."""
    world = up()
    rekey(world, "right")
    world.run(2)
    before = len(world.sent)
    rekey_child(world, "left")
    world.run(2)
    rekey_child(world, "right")
    world.run(2)
    headers = [decode_header(octets) for _, octets, _ in world.sent[before:]]
    assert {each.message_id for each in headers} == {0, 1}
    assert len(headers) == 8


def test_life_goes_on_after_it() -> None:
    """The successor does all that the old one did: Child SAs, their rekeying, its own, and the end."""
    world = World()
    world.connect(*both(LAN, VOICE))
    world.run(1)
    for round_ in range(5):
        rekey(world, "left" if round_ % 2 else "right")
        world.run(2)
        rekey_child(world, "right" if round_ % 2 else "left")
        world.run(10)
        assert_tunnel(world, children=2)
    world.left.endpoint.terminate("office", world.now, "voice")
    world.settle()
    world.run(2)
    assert_tunnel(world, children=1)
    world.right.endpoint.terminate("office", world.now)
    world.settle()
    world.run(2)
    assert not world.left.sas
    assert not world.left.spis


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_both_sides_at_once(loss: float) -> None:
    """Section 2.8.2: one of the two successors lives, the same on both sides, and it has all Child SAs."""
    redundant = 0
    for seed in range(60):
        world = World(seed=seed, settings=PATIENT, weather=Weather(loss=loss, duplication=0.2, delay=0.5))
        world.connect(*both(LAN, VOICE))
        world.run(100)
        old = only_id(world)
        rekey(world, "left")
        world.run(0.01 * (seed % 7))
        rekey(world, "right")
        world.run(600)
        assert_tunnel(world, children=2)
        assert only_id(world) != old
        assert not world.left.happened(ChildSaRemoved)
        redundant += len(world.left.happened(IkeSaClosed)) == len(world.right.happened(IkeSaClosed)) == 2
    assert redundant


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_everything_at_once(loss: float) -> None:
    """Sections 2.8 and 2.25: rekeying of both kinds, on both sides, at any instants: both sides agree in the end, and
    nothing is left over."""
    for seed in range(60):
        world = World(seed=seed, settings=PATIENT, weather=Weather(loss=loss, duplication=0.2, delay=0.5))
        world.connect(*both(LAN, VOICE))
        world.run(100)
        moves = [(rekey, "left"), (rekey, "right"), (rekey_child, "left"), (rekey_child, "right")]
        for _ in range(4):
            move, side = world.random.choice(moves)
            move(world, side)
            world.run(world.random.uniform(0, 0.7))
        world.run(600)
        assert_tunnel(world, children=2)
        for host in (world.left, world.right):
            assert len(host.endpoint._sas) == 1
            assert not host.retired
            assert not host.endpoint._waiting


@pytest.mark.parametrize("who", ["left", "right"])
def test_brought_down_in_the_middle(who: str) -> None:
    """Section 2.25.2: who is asked to close what it rekeys forgets its rekeying; nothing is left."""
    for seed in range(40):
        world = World(seed=seed, settings=PATIENT, weather=Weather(loss=0.1, duplication=0.2, delay=0.5))
        world.connect(*both(LAN, VOICE))
        world.run(100)
        rekey(world, "left")
        world.run(0.04 * (seed % 10))
        world.host(who).endpoint.terminate("office", world.now)
        world.settle()
        world.run(600)
        for host in (world.left, world.right):
            assert not host.spis
        assert not world.host(who).sas


def test_a_child_sa_that_is_being_made_comes_first() -> None:
    """Section 2.25.2: TEMPORARY_FAILURE to who rekeys the IKE SA while we ask for a Child SA, and the other way round; both
    come later."""
    for seed in range(20):
        world = World(seed=seed, weather=Weather(delay=0.5))
        world.connect(*both(LAN, VOICE))
        world.run(30)
        old, children = only_id(world), set(world.left.installed)
        rekey(world, "left")
        world.right.endpoint.rekey_child(ProtocolId.ESP, next(iter(world.right.installed)), world.now)
        world.settle()
        world.run(6 * REKEY_RETRY_SECONDS)
        assert_tunnel(world, children=2)
        assert only_id(world) != old
        assert len(children & set(world.left.installed)) == 1
        assert not world.left.failures
        assert not world.right.failures


def change_of_mind(world: World, ike: str) -> None:
    """From here on the right side accepts this proposal alone."""
    sa = next(iter(world.right.endpoint._sas.values()))
    assert sa.connection is not None
    sa.connection = replace(sa.connection, proposals=connection("right", ike=(ike,)).proposals)


def test_a_refused_successor_costs_nothing() -> None:
    """What cannot be agreed on any more leaves the old IKE SA as it is, and says why."""
    world = up()
    change_of_mind(world, "aes128-sha256-ecp256")
    rekey(world, "left")
    world.run(60)
    assert_tunnel(world)
    (failure,) = world.left.failures
    assert getattr(failure.error, "notify", None) == NotifyType.NO_PROPOSAL_CHOSEN
    assert failure.error.setting == "proposals"


def test_the_group_that_the_peer_wants() -> None:
    """Section 1.3: INVALID_KE_PAYLOAD names another group of ours."""
    world = up(ike=("aes256gcm16-prfsha256-x25519-ecp256",))
    change_of_mind(world, "aes256gcm16-prfsha256-ecp256")
    rekey(world, "left")
    world.run(5)
    assert_tunnel(world)
    assert world.left.sas[0].suite.endswith("ecp256")


def test_time_makes_it_happen() -> None:
    """Section 2.8: "SAs have a lifetime that is managed by each end"; a little jitter keeps the two sides apart."""
    world = World()
    left, right = (replace(connection(side), rekey=1000.0) for side in ("left", "right"))
    world.connect(left, right)
    world.run(1)
    ids = {only_id(world)}
    for _ in range(4):
        world.run(1000)
        assert_tunnel(world)
        ids.add(only_id(world))
    assert len(ids) == 5
    assert len(world.left.happened(ChildSaInstalled)) == 1
    assert len(world.left.happened(IkeSaEstablished)) >= 5


def test_a_peer_that_does_not_delete_the_old_one() -> None:
    """It is deleted for it, some time later."""
    world = up()

    def without_deletes(side: str, octets: bytes, path: object) -> tuple[bytes, object] | None:
        header = decode_header(octets)
        is_delete = side == "left" and header.exchange == ExchangeType.INFORMATIONAL and not header.is_response
        return None if is_delete and world.now < 60 else (octets, path)

    world.middle = without_deletes  # type: ignore[assignment]
    rekey(world, "left")
    world.run(400)
    assert_tunnel(world)


def test_a_successor_that_goes_before_it_inherits() -> None:
    """Section 2.8.2: both rekey at once, one side is through with it and brings its successor down, and that Delete comes
    before the other side knows who inherits: its Child SAs go too."""
    for seed in range(60):
        world = World(seed=seed, settings=PATIENT, weather=Weather(delay=0.5))
        world.connect(*both(LAN, VOICE))
        world.run(30)
        rekey(world, "left")
        rekey(world, "right")
        while not any(sa.phase == "established" for sa in world.left.sas) and world.now < 60:
            world.run(0.02)
        world.left.endpoint.terminate("office", world.now)
        world.settle()
        world.run(600)
        for host in (world.left, world.right):
            assert not host.spis
            assert not host.endpoint._by_child


def test_what_is_being_rekeyed_is_up() -> None:
    """Bringing it up means nothing new, at either side, whatever instant it is."""
    for seed in range(20):
        world = World(seed=seed, weather=Weather(delay=0.5))
        world.connect(*both(LAN, VOICE))
        world.run(30)
        rekey(world, "left")
        world.run(0.05 * seed)
        world.initiate("left")
        world.initiate("right")
        world.run(120)
        assert_tunnel(world, children=2)
