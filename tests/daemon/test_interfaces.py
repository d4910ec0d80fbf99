"""An interface of its own for a connection: a route-based VPN (RFC 4301 section 4.4.1: an SPD for each interface)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT
from caponier.demo.traffic import ping
from tests.daemon.kernel import dump, links, routes
from tests.daemon.site import Pair, eventually, left, right

pytestmark = pytest.mark.privileged

EVERYTHING = 'local = ["0.0.0.0/0", "::/0"]\nremote = ["0.0.0.0/0", "::/0"]'
VPN = 'interface = "vpn0"'


@contextmanager
def routed(namespace: Namespace, interface: str, *networks: str) -> Iterator[None]:
    """Routes into an interface, as people write them."""
    for network in networks:
        done = namespace.run(["ip", "route", "add", network, "dev", interface])
        assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        for network in networks:
            namespace.run(["ip", "route", "del", network, "dev", interface])


def up(pair: Pair, lines: str = VPN) -> None:
    pair.configure(left(lines=lines, child=EVERYTHING), right(lines=lines, child=EVERYTHING))
    pair.start("gw1", "gw2")
    pair.up()
    assert eventually(pair.is_up)


def test_what_is_routed_into_it_is_protected(pair: Pair) -> None:
    up(pair)
    assert routes(pair.world.gw1, 220) == set()
    assert ping(pair.world.gw1, RIGHT.outer, count=1).received == 1  # everything else goes its way
    with ExitStack() as undo:
        undo.enter_context(routed(pair.world.gw1, "vpn0", RIGHT.network, RIGHT.network6))
        undo.enter_context(routed(pair.world.gw2, "vpn0", LEFT.network, LEFT.network6))
        pair.carries()
        child = pair.child("gw1")
        assert child is not None
        assert child.inbound is not None
        assert child.inbound.packets > 10


def test_it_comes_and_goes_with_its_connection(pair: Pair) -> None:
    pair.absent("gw1")
    before = dump(pair.world.gw1)
    up(pair)
    assert {"cap0", "vpn0"} <= links(pair.world.gw1)
    assert [each.interface for each in pair.status("gw1").connections] == ["vpn0"]
    pair.configure(left(lines=VPN + "\nliveness = 31", child=EVERYTHING))
    with pair.client("gw1") as client:
        assert client.reload() == ["changed office"]
        assert "vpn0" in links(pair.world.gw1)
        client.up("office")
    pair.configure(left())
    with pair.client("gw1") as client:
        client.reload()
    assert eventually(lambda: "vpn0" not in links(pair.world.gw1))
    pair.stop("gw1")
    assert dump(pair.world.gw1) == before


def test_routes_into_it_when_asked(pair: Pair) -> None:
    lines = VPN + "\nroutes = true"
    pair.configure(left(lines=lines), right(lines=lines))
    pair.start("gw1", "gw2")
    pair.up()
    assert routes(pair.world.gw1, 220) == {RIGHT.network, RIGHT.network6}
    pair.carries(1 << 18)
    assert ping(pair.world.gw2, LEFT.gateway_inner, count=1).received == 1


def test_on_demand_by_a_route(pair: Pair) -> None:
    """Section 5.1: the first packet that comes into the interface asks for the SA."""
    pair.configure(left(lines=VPN + '\nstart = "on-demand"', child=EVERYTHING), right(child=EVERYTHING, lines=VPN))
    pair.start("gw2", "gw1")
    with ExitStack() as undo:
        undo.enter_context(routed(pair.world.gw1, "vpn0", RIGHT.network))
        undo.enter_context(routed(pair.world.gw2, "vpn0", LEFT.network))
        assert ping(pair.world.alice, RIGHT.host, count=1, seconds=5).received == 1


def test_a_name_that_is_taken_is_told(pair: Pair) -> None:
    pair.configure(left(lines='interface = "lo"\nstart = "boot"', child=EVERYTHING), right())
    pair.start("gw2", "gw1")
    assert any("the interface lo cannot be created" in each.problem.message for each in pair.troubles("gw1"))
