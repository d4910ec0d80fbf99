"""BYPASS and DISCARD before all connections, as two daemons and their systems obey them (RFC 4301 sections 4.4.1 and 5)."""

from __future__ import annotations

import pytest

from caponier.demo.capture import Tap
from caponier.demo.topology import LEFT, RIGHT, WIRE
from caponier.demo.traffic import ping, transfer
from tests.daemon.site import FILLING, Pair, eventually, left, right
from tests.daemon.test_clear import open_country

pytestmark = pytest.mark.privileged


def policies(*wanted: tuple[str, str, str]) -> str:
    """Tables of the configuration: name, action, remote."""
    return "\n".join(
        f'[[policy]]\nname = "{name}"\naction = "{action}"\nremote = "{remote}"' for name, action, remote in wanted
    )


def reconfigure(pair: Pair, rest: str, lines: str = 'start = "boot"') -> list[str]:
    """Give gw1 other policies while it runs."""
    pair.configure(left(lines=lines, rest=rest))
    with pair.client("gw1") as client:
        return client.reload()


def answered(pair: Pair, host: str) -> bool:
    """Whether a host on the far side answers Alice."""
    return ping(pair.world.alice, host, count=2, seconds=0.3, payload=FILLING).received == 2


def test_bypass_goes_in_clear_and_comes_in_clear(pair: Pair) -> None:
    """Sections 5.1 and 5.2: one host of a protected network is spoken to without protection; its neighbours are not."""
    with open_country(pair):
        pair.absent("gw2")
        pair.configure(left(lines='start = "boot"', rest=policies(("bob", "bypass", RIGHT.host))))
        pair.start("gw1")
        with Tap(pair.world.gw1, WIRE) as tap:
            assert answered(pair, RIGHT.host)
            assert tap.stop().contains(FILLING)
        assert ping(pair.world.bob, LEFT.host, count=2, seconds=0.3).received == 2
        assert transfer(pair.world.alice, pair.world.bob, RIGHT.host, octets=1 << 18, filling=FILLING).intact
        assert not answered(pair, RIGHT.gateway_inner)
        assert not answered(pair, RIGHT.host6)
        assert reconfigure(pair, "") == ["changed the policies before all connections"]
        assert not answered(pair, RIGHT.host)
        assert ping(pair.world.bob, LEFT.host, count=2, seconds=0.3).received == 0


def test_bypass_in_ipv6(pair: Pair) -> None:
    with open_country(pair):
        pair.absent("gw2")
        pair.configure(left(lines='start = "boot"', rest=policies(("bob", "bypass", RIGHT.host6))))
        pair.start("gw1")
        assert answered(pair, RIGHT.host6)
        assert ping(pair.world.bob, LEFT.host6, count=2, seconds=0.3).received == 2


def test_the_first_that_fits_decides(pair: Pair) -> None:
    """Section 4.4.1: "the SPD is an ordered database"."""
    with open_country(pair):
        pair.absent("gw2")
        both = (("bob", "bypass", RIGHT.host), ("rest", "discard", RIGHT.network))
        pair.configure(left(lines='start = "manual"', rest=policies(*both)))
        pair.start("gw1")
        assert answered(pair, RIGHT.host)
        assert not answered(pair, RIGHT.gateway_inner)
        assert ping(pair.world.gw2, LEFT.host, count=2, seconds=0.3).received == 2  # from its outer address
        reconfigure(pair, policies(("rest", "discard", RIGHT.network)), 'start = "manual"')
        assert not answered(pair, RIGHT.host)
        reconfigure(pair, "", 'start = "manual"')
        assert answered(pair, RIGHT.host)


def test_discard_before_a_tunnel(pair: Pair) -> None:
    """A tunnel that stands does not carry what a policy before it discards; the rest it does."""
    rest = policies(("no-echo", "discard", f"{RIGHT.host}[icmp]"))
    pair.configure(left(lines='start = "boot"', rest=rest), right())
    pair.start("gw2", "gw1")
    assert eventually(pair.is_up)
    assert not answered(pair, RIGHT.host)
    assert answered(pair, RIGHT.gateway_inner)
    assert transfer(pair.world.alice, pair.world.bob, RIGHT.host, octets=1 << 18, filling=FILLING).intact


def test_discard_where_no_tunnel_is(pair: Pair) -> None:
    """Sections 5.1 and 5.2: dropped in both directions; IKE of ours is never asked about."""
    rest = policies(("peer", "discard", RIGHT.outer), ("peer6", "discard", RIGHT.outer6))
    pair.configure(left(rest=rest), right())
    pair.start("gw2", "gw1")
    for ours, theirs in ((LEFT.outer, RIGHT.outer), (LEFT.outer6, RIGHT.outer6)):
        assert ping(pair.world.gw1, theirs, count=1, seconds=0.3).received == 0
        assert ping(pair.world.gw2, ours, count=1, seconds=0.3).received == 0
    pair.up()
    assert answered(pair, RIGHT.host)


def test_the_status_shows_them(pair: Pair) -> None:
    pair.configure(left(rest=policies(("bob", "bypass", RIGHT.host), ("lab", "discard", "10.9.0.0/16[tcp/23]"))))
    pair.start("gw1")
    found = [(each.name, each.action, each.local, each.remote) for each in pair.status("gw1").policies]
    everything = ["0.0.0.0/0", "::/0"]
    assert found == [
        ("bob", "bypass", everything, [RIGHT.host]),
        ("lab", "discard", everything, ["10.9.0.0/16[tcp/23]"]),
    ]
