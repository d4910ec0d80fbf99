"""How long Child SAs last (RFC 4301 section 4.4.2.1, RFC 7296 section 2.8), in simulated time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import NotifyType
from caponier.errors import PeerRejected
from caponier.protocols.ike.events import ChildSaAged, ChildSaInstalled
from caponier.protocols.ike.policy import Connection, Lifetime, Start
from caponier.protocols.ike.v2.timers import REFUSED_RETRY_SECONDS
from tests.exchange.world import Weather, World, assert_tunnel, child, connection

FOREVER = Lifetime()


def with_lifetime(side: str, lifetime: Lifetime, start: Start = Start.MANUAL) -> Connection:
    """The usual connection, whose Child SA lasts so long."""
    usual = connection(side)
    return replace(usual, children=tuple(replace(each, lifetime=lifetime) for each in usual.children), start=start)


def tunnel(left: Lifetime, right: Lifetime = FOREVER, *, seed: int = 1, start: Start = Start.MANUAL) -> World:
    world = World(seed=seed)
    world.connect(with_lifetime("left", left, start), with_lifetime("right", right))
    world.run(1)
    assert_tunnel(world)
    return world


def ages(world: World, side: str) -> list[bool]:
    """Whether it was the hard limit, for each that was reached."""
    return [event.is_hard for event in world.host(side).happened(ChildSaAged) if isinstance(event, ChildSaAged)]


def test_new_keys_come_before_the_time_is_over_up_to_a_tenth_early() -> None:
    """RFC 7296 section 2.8: the soft limit, with jitter, "so that the two sides seldom want it at once"."""
    instants = set()
    for seed in range(8):
        world = tunnel(Lifetime(soft_seconds=1000.0), seed=seed)
        world.run(898 - world.now)
        assert len(world.left.happened(ChildSaInstalled)) == 1
        while len(world.left.happened(ChildSaInstalled)) == 1:
            world.run(1)
        instants.add(round(world.now))
        assert world.now <= 1003
        world.run(20)
        assert_tunnel(world)
    assert len(instants) > 3


@pytest.mark.parametrize("seed", range(4))
def test_the_keys_of_a_day_change_every_hour(seed: int) -> None:
    """Both sides want it, in bad weather, and nobody's hard limit is ever reached."""
    world = tunnel(Lifetime(soft_seconds=3600.0, hard_seconds=5400.0), Lifetime(soft_seconds=3600.0), seed=seed)
    world.weather = Weather(loss=0.2, duplication=0.2, delay=0.5)
    world.run(24 * 3600)
    world.weather = Weather()
    world.run(120)
    assert_tunnel(world)
    assert 23 <= len(world.left.happened(ChildSaInstalled)) <= 60
    assert True not in ages(world, "left")


@pytest.mark.parametrize("start", [Start.BOOT, Start.MANUAL])
def test_the_hard_limit_ends_it_and_boot_makes_another_one(start: Start) -> None:
    """RFC 4301 section 4.4.2.1: at the hard limit "the SA is discarded"."""
    world = tunnel(Lifetime(hard_seconds=600.0), start=start)
    (old,) = world.left.installed
    world.run(590)
    assert old in world.left.installed
    world.run(20)
    assert old in world.left.removed
    assert ages(world, "left") == [True]
    assert_tunnel(world, children=int(start is Start.BOOT))


def test_zero_is_never() -> None:
    world = tunnel(Lifetime())
    assert world.left.endpoint.next_timeout() is None


def test_what_is_gone_reaches_no_limit() -> None:
    world = tunnel(Lifetime(soft_seconds=1000.0, hard_seconds=1200.0))
    world.left.endpoint.terminate("office", world.now, "lan")
    world.settle()
    world.run(2000)
    assert not ages(world, "left")
    assert_tunnel(world, children=0)


def test_the_time_of_a_child_sa_goes_on_with_another_ike_sa() -> None:
    """RFC 7296 section 2.18: the successor inherits the Child SAs, and their age."""
    world = tunnel(Lifetime(soft_seconds=1000.0, hard_seconds=1100.0))
    world.run(500)
    world.left.endpoint.rekey("office", world.now)
    world.settle()
    world.run(300)
    assert len(world.left.happened(ChildSaInstalled)) == 1
    world.run(250)
    assert ages(world, "left") == [False]
    assert_tunnel(world)


def test_a_peer_that_refuses_new_keys_is_asked_again_later() -> None:
    """The old ones go on until the hard limit; the peer's mind may change before."""
    world = tunnel(Lifetime(soft_seconds=1000.0))
    sa = next(iter(world.right.endpoint._sas.values()))
    assert sa.connection is not None
    usual = sa.connection
    sa.connection = replace(usual, children=(child("lan", "10.2.0.0/16", "10.1.0.0/16", "aes128-sha256"),))
    world.run(1010)
    (failure,) = world.left.failures
    assert isinstance(failure.error, PeerRejected)
    assert failure.error.notify == NotifyType.NO_PROPOSAL_CHOSEN
    assert_tunnel(world)
    sa.connection = usual
    world.run(REFUSED_RETRY_SECONDS * 1.5)
    assert len(world.left.happened(ChildSaInstalled)) == 2
    assert_tunnel(world)
