"""Reauthentication, make before break, in simulated time (RFC 7296 section 2.8.3, RFC 4478)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caponier.doi.ikev2 import NotifyType
from caponier.errors import WireError
from caponier.mechanisms.authentication.psk import PresharedKey
from caponier.octets import Secret
from caponier.protocols.ike.events import ChildSaRemoved, IkeSaClosed, IkeSaEstablished
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.v2.reauthentication import auth_lifetime
from caponier.protocols.ike.v2.timers import RETIRED_SECONDS
from tests.exchange.test_rekey_child import sending
from tests.exchange.world import Weather, World, assert_tunnel, child, connection

TWO = {
    "left": (child("lan", "10.1.0.0/16", "10.2.0.0/16"), child("voice", "10.3.0.0/16", "10.4.0.0/16")),
    "right": (child("lan", "10.2.0.0/16", "10.1.0.0/16"), child("voice", "10.4.0.0/16", "10.3.0.0/16")),
}


def tunnel(left: float | None, right: float | None, *, seed: int = 1, children: int = 1) -> World:
    """A tunnel whose sides want reauthentication after so many seconds."""
    world = World(seed=seed)
    ours, theirs = (
        replace(connection(side, children=TWO[side][:children]), reauth=seconds)
        for side, seconds in (("left", left), ("right", right))
    )
    world.connect(ours, theirs)
    world.run(2)
    assert_tunnel(world, children)
    return world


def established(world: World, side: str = "left") -> list[IkeSaEstablished]:
    return [each for each in world.host(side).happened(IkeSaEstablished) if isinstance(each, IkeSaEstablished)]


def role(world: World) -> str:
    """Of the left side."""
    (sa,) = world.left.sas
    return sa.role.value


def reasons(world: World, side: str) -> list[str]:
    return [each.reason for each in world.host(side).happened(IkeSaClosed) if isinstance(each, IkeSaClosed)]


@pytest.mark.parametrize("children", [1, 2])
def test_the_initiator_authenticates_anew(children: int) -> None:
    """Section 2.8.3: a new IKE SA from scratch with its Child SAs, then the old one is deleted."""
    world = tunnel(1000.0, None, children=children)
    (old,) = world.left.sas
    world.run(880)
    assert len(established(world)) == 1
    world.run(120 + RETIRED_SECONDS)
    assert_tunnel(world, children)
    assert world.left.sas[0].id != old.id
    assert role(world) == "initiator"
    assert reasons(world, "left") == ["we deleted the IKE SA"]
    assert reasons(world, "right") == ["the peer deleted the IKE SA"]
    assert not world.left.failures


@pytest.mark.parametrize("seed", range(12))
def test_no_instant_is_without_a_child_sa_that_both_have(seed: int) -> None:
    """What each side sends, the other one receives, at every instant, in bad weather too."""
    world = tunnel(100.0, None, seed=seed, children=2)
    world.weather = Weather(loss=0.1, duplication=0.2, delay=0.4)
    while len(established(world)) < 3 and world.now < 600:
        world.run(0.02)
        for ours, theirs in ((world.left, world.right), (world.right, world.left)):
            for name in ("lan", "voice"):
                candidates = [each for each in ours.installed.values() if each.name == name]
                current = [each for each in candidates if each.defers_to not in ours.installed]
                assert current, f"{name} has none at {world.now}"
                assert current[-1].spi_out in theirs.installed | theirs.retired
    world.weather = Weather()
    world.run(40)
    assert_tunnel(world, 2)
    for host in (world.left, world.right):
        removed = [each for each in host.happened(ChildSaRemoved) if isinstance(each, ChildSaRemoved)]
        assert len(removed) == 2 * (len(established(world)) - 1)


def test_an_initiator_obeys_the_lifetime_of_its_peer() -> None:
    """RFC 4478 section 3: it is early enough to try more than once, and the responder never has to end it."""
    world = tunnel(None, 1000.0)
    world.run(780)
    assert len(established(world)) == 1
    world.run(130)
    assert len(established(world)) == 2
    assert_tunnel(world)
    world.run(3000)
    assert set(reasons(world, "right")) == {"the peer deleted the IKE SA"}


def test_the_earlier_of_both_counts() -> None:
    world = tunnel(300.0, 1000.0)
    world.run(310)
    assert len(established(world)) == 2
    assert_tunnel(world)


def test_who_does_not_obey_loses_the_ike_sa() -> None:
    """RFC 4478 section 3: "If the initiator does not reauthenticate, the responder ... deletes" it at the end of the lifetime."""
    world = tunnel(None, 1000.0)
    (sa,) = world.left.endpoint._sas.values()
    sa.timers.stop_all()  # a peer that does not know of AUTH_LIFETIME
    world.left.endpoint._note(sa)
    world.run(990)
    assert world.right.sas
    world.run(20)
    assert not world.right.sas
    assert not world.left.sas
    assert reasons(world, "right") == ["we deleted the IKE SA"]


def test_new_keys_do_not_prolong_an_authentication() -> None:
    """Section 2.8.3; and who initiated it at first authenticates anew, though it answered the rekeying."""
    world = tunnel(1000.0, None)
    world.run(500)
    world.right.endpoint.rekey("office", world.now)
    world.settle()
    world.run(10)
    assert role(world) == "responder"
    world.run(500)
    assert role(world) == "initiator"
    assert_tunnel(world)


def test_what_was_brought_down_stays_down() -> None:
    world = tunnel(1000.0, None, children=2)
    world.left.endpoint.terminate("office", world.now, "voice")
    world.settle()
    world.run(1010)
    assert len(established(world)) == 2
    assert_tunnel(world, 1)
    assert sending(world.left).name == "lan"


def test_who_is_not_let_in_any_more_loses_the_old_ike_sa() -> None:
    """That is what reauthentication is for."""
    world = tunnel(1000.0, None)
    changed = connection("right", requirement=PresharedKey(Secret(b"another secret of eight")))
    world.right.endpoint._connections.remove("office")
    world.right.endpoint._connections.add(changed)
    world.run(1100)
    assert not world.left.sas
    assert not world.right.sas
    assert not world.left.spis
    assert not world.right.spis


def test_an_outage_is_no_refusal() -> None:
    """The old one goes on, and the new one is tried again."""
    world = tunnel(1000.0, None)
    world.run(850)
    world.middle = lambda side, octets, path: None
    world.run(200)
    assert "established" in {sa.phase for sa in world.left.sas}
    assert len(world.left.installed) == len(world.right.installed) == 1
    world.middle = lambda side, octets, path: (octets, path)
    world.run(200)
    assert len(established(world)) == 2
    assert_tunnel(world)
    assert [each.connection for each in world.left.failures] == ["office"]


@pytest.mark.parametrize("octets", [b"", b"\0\0\1", bytes(5)])
def test_a_lifetime_is_four_octets(octets: bytes) -> None:
    world = tunnel(None, None)
    (sa,) = world.left.endpoint._sas.values()
    with pytest.raises(WireError):
        sa.reauthentication.heed(Notify(NotifyType.AUTH_LIFETIME, data=octets))


def test_the_lifetime_on_the_wire() -> None:
    """RFC 4478 section 3: seconds, 32 bits."""
    assert auth_lifetime(connection("left")) == ()
    (notify,) = auth_lifetime(replace(connection("left"), reauth=3600.0))
    assert (notify.type, notify.data) == (NotifyType.AUTH_LIFETIME, bytes.fromhex("00000e10"))
