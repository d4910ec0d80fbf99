"""How an IKE SA ends: Delete, silence, shutdown (RFC 7296 sections 1.4.1, 2.4, 2.25)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import ExchangeType, ProtocolId
from caponier.errors import MisuseError, Silent
from caponier.protocols.ike.events import IkeSaClosed
from caponier.protocols.ike.messages.message import decode_header
from caponier.protocols.ike.policy import Start
from tests.exchange.world import Weather, World, assert_tunnel, connection, up


def informational(world: World, since: int = 0) -> int:
    return sum(decode_header(octets).exchange == ExchangeType.INFORMATIONAL for _, octets, _ in world.sent[since:])


def closed(world: World, side: str) -> IkeSaClosed:
    (event,) = world.host(side).happened(IkeSaClosed)
    assert isinstance(event, IkeSaClosed)
    return event


@pytest.mark.parametrize("side", ["left", "right"])
def test_delete(side: str) -> None:
    """Section 1.4.1: deleting the IKE SA deletes its Child SAs, with nothing said about them."""
    world = up()
    world.host(side).endpoint.terminate("office", world.now)
    world.settle()
    world.run(2)
    assert informational(world) == 2
    for host in (world.left, world.right):
        assert not host.sas
        assert not host.installed
        assert not host.spis
    assert closed(world, side).error is None
    assert "the peer" in closed(world, "right" if side == "left" else "left").reason


def test_deletes_that_cross() -> None:
    """Section 2.25.2: both close, both are answered."""
    world = up()
    for host in (world.left, world.right):
        host.endpoint.terminate("office", world.now)
    world.settle()
    world.run(60)
    for side in ("left", "right"):
        assert not world.host(side).sas
        assert closed(world, side).error is None


@pytest.mark.parametrize("seed", range(8))
def test_delete_in_bad_weather(seed: int) -> None:
    """Section 2.1: a Delete is sent again, its answer too, though the SA is gone."""
    world = World(seed=seed)
    world.connect(connection("left"), connection("right"))
    world.run(1)
    world.weather = Weather(loss=0.4, duplication=0.5, delay=0.5)
    world.left.endpoint.terminate("office", world.now)
    world.settle()
    world.run(200)
    assert not world.left.sas
    assert not world.right.sas
    assert not world.right.spis


def test_a_silent_peer_is_asked_and_given_up() -> None:
    """Section 2.4: after some time of silence an empty INFORMATIONAL; without an answer the IKE SA is dead."""
    world = up(liveness=10.0)
    world.middle = lambda side, octets, path: None
    sent = len(world.sent)
    world.run(9)
    assert informational(world, sent) == 0
    world.run(300)
    assert informational(world, sent) >= world.settings.retransmission.attempts
    for side in ("left", "right"):
        assert isinstance(closed(world, side).error, Silent)
        assert not world.host(side).installed


def test_liveness_keeps_a_quiet_tunnel() -> None:
    world = up(liveness=10.0)
    world.run(600)
    assert_tunnel(world)
    # Each of our requests is a sign of life for the other side, which then needs none of its own.
    assert 30 <= informational(world) <= 260


def test_no_liveness_no_messages() -> None:
    world = up()
    world.run(3600)
    assert informational(world) == 0
    assert world.left.endpoint.next_timeout() is None


def test_shutdown_ends_everything_and_says_when() -> None:
    world = up()
    assert world.left.sas
    world.left.endpoint.shut_down(world.now)
    world.settle()
    world.run(1)
    assert world.left.endpoint.is_idle
    assert not world.right.sas
    with pytest.raises(MisuseError):
        world.initiate("left")


def test_shutdown_in_the_middle_of_the_initial_exchanges() -> None:
    """Whatever the moment: nothing is left here, and nothing for good there."""
    for steps in range(1, 12):
        world = World(seed=steps)
        world.connect(connection("left", liveness=5.0), connection("right", liveness=5.0))
        world.run(steps * 0.006)
        world.left.endpoint.shut_down(world.now)
        world.settle()
        world.run(300)
        assert world.left.endpoint.is_idle
        assert not world.left.spis
        assert not world.right.sas
        assert not world.right.spis


def test_removing_a_connection_ends_it_at_the_peer_too() -> None:
    world = up()
    world.right.endpoint.remove_connection("office", world.now)
    world.settle()
    world.run(2)
    assert not world.left.sas
    assert not world.right.sas


def test_a_closed_ike_sa_is_forgotten() -> None:
    """Its last answer lingers for a peer that missed it, then nothing is left."""
    world = up()
    world.left.endpoint.terminate("office", world.now)
    world.settle()
    world.run(200)
    for host in (world.left, world.right):
        assert not host.endpoint._sas
        assert not host.endpoint._waiting
        assert not host.endpoint.half_open
        assert len(host.endpoint._agenda) == 0


@pytest.mark.parametrize("again", [False, True])
def test_a_child_sa_whose_lifetime_is_over(again: bool) -> None:  # noqa: FBT001
    """RFC 7296 section 2.8: it is deleted, and where it is still wanted another takes its place."""
    world = World()
    start = Start.BOOT if again else Start.MANUAL
    world.connect(replace(connection("left"), start=start), connection("right"))
    world.run(1)
    (old,) = world.left.installed
    world.left.endpoint.expire_child(ProtocolId.ESP, old, world.now)
    world.settle()
    world.run(2)
    assert_tunnel(world, children=int(again))
    assert old not in world.left.installed
    assert old in world.left.removed
    world.left.endpoint.expire_child(ProtocolId.ESP, old, world.now)  # too late: it is gone
    world.left.endpoint.expire_child(ProtocolId.AH, next(iter(world.left.installed), 0), world.now)
    world.run(2)
    assert_tunnel(world, children=int(again))
