"""Ends that move while packets pass: another address, another interface, another of the gateway's addresses (RFC 4555)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, WIRE, Topology
from caponier.demo.traffic import ping
from tests.daemon.site import CONNECTION, Pair, eventually, left, pinging, right

pytestmark = pytest.mark.privileged

SECOND = "wan1"
ROAD = "192.0.2.77"
LEFT_TOO, RIGHT_TOO = "198.51.100.1", "198.51.100.2"


def up(pair: Pair, *, ours: str | None = None, theirs: tuple[str, ...] = (RIGHT.outer,), lines: str = "") -> None:
    """The tunnel, with our address as the system chooses it unless ``ours`` names one."""
    pair.configure(left(lines=lines), right(lines=lines))
    for name, old, new in (
        ("gw1", f'address = "{LEFT.outer}"', "" if ours is None else f'address = "{ours}"'),
        ("gw2", f'address = "{RIGHT.outer}"', f"address = {list(theirs)}"),
        ("gw2", f'address = "{LEFT.outer}"', ""),
    ):
        file = pair.directory / f"{name}.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
    pair.start("gw2", "gw1")
    pair.up()
    assert eventually(pair.is_up)
    sa = pair.ike_sa("gw1")
    assert sa is not None
    assert sa.movable


def address(namespace: Namespace, verb: str, interface: str, text: str) -> None:
    with namespace.netlink() as netlink:
        netlink.addr(verb, index=netlink.link_lookup(ifname=interface)[0], address=text, prefixlen=24)


def link(namespace: Namespace, interface: str, state: str) -> None:
    with namespace.netlink() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state=state)


def is_at(pair: Pair, ours: str, theirs: str = RIGHT.outer) -> Callable[[], bool]:
    """Whether both sides say so."""

    def agree() -> bool:
        here, there = pair.ike_sa("gw1"), pair.ike_sa("gw2")
        return (
            here is not None
            and there is not None
            and (here.local_address, here.remote_address) == (ours, theirs)
            and (there.remote_address, there.local_address) == (ours, theirs)
        )

    return agree


def moved_without_loss(pair: Pair, change: Callable[[], None], ours: str, theirs: str = RIGHT.outer) -> None:
    """The same SAs, somewhere else; of the pings only those were lost that were on their way."""
    before, child = pair.ike_sa("gw1"), pair.child("gw1")
    with pinging(pair, seconds=0.3) as pings:
        change()
        assert eventually(is_at(pair, ours, theirs)), pair.log("gw1")[-3000:] + pair.log("gw2")[-3000:]
        assert eventually(lambda: ping(pair.world.bob, LEFT.host, count=1, seconds=0.5).received == 1)
    after, still = pair.ike_sa("gw1"), pair.child("gw1")
    assert before is not None
    assert after is not None
    assert child is not None
    assert still is not None
    assert (before.spi_i, child.spi_in) == (after.spi_i, still.spi_in)
    assert pings.lost <= 5, pings
    pair.carries(1 << 19)
    assert f"ike-sa-moved connection={CONNECTION}" in pair.log("gw1")
    assert f"ike-sa-moved connection={CONNECTION}" in pair.log("gw2")


@pytest.mark.parametrize("lines", ["", 'encapsulation = "nat"'])
def test_the_initiator_gets_another_address(pair: Pair, lines: str) -> None:
    """RFC 4555 section 3.5, with ESP in UDP and without."""
    up(pair, lines=lines)

    def change() -> None:
        address(pair.world.gw1, "del", WIRE, LEFT.outer)
        address(pair.world.gw1, "add", WIRE, ROAD)

    try:
        moved_without_loss(pair, change, ROAD)
    finally:
        address(pair.world.gw1, "del", WIRE, ROAD)
        address(pair.world.gw1, "add", WIRE, LEFT.outer)


@contextmanager
def second_link(world: Topology) -> Iterator[None]:
    """Another link between the gateways, by which each reaches the other's address on the first one too."""
    with world.gw1.netlink() as netlink:
        netlink.link("add", ifname=SECOND, kind="veth", peer={"ifname": SECOND, "net_ns_fd": world.gw2.name})
    try:
        for gateway, ours, theirs in ((world.gw1, LEFT_TOO, RIGHT_TOO), (world.gw2, RIGHT_TOO, LEFT_TOO)):
            address(gateway, "add", SECOND, ours)
            link(gateway, SECOND, "up")
            with gateway.netlink() as netlink:
                netlink.route("add", dst="192.0.2.0/24", gateway=theirs, priority=500)
        yield
    finally:
        with world.gw1.netlink() as netlink:
            netlink.link("del", index=netlink.link_lookup(ifname=SECOND)[0])


def test_an_interface_goes_down_and_another_one_takes_over(pair: Pair) -> None:
    with second_link(pair.world):
        up(pair)
        try:
            moved_without_loss(pair, lambda: link(pair.world.gw1, WIRE, "down"), LEFT_TOO)
        finally:
            link(pair.world.gw1, WIRE, "up")
        assert eventually(is_at(pair, LEFT.outer))  # the better way again, once it has been tried
        pair.carries(1 << 19)
        with pair.client("gw1") as client:
            client.down(CONNECTION)


def test_the_gateway_loses_one_of_its_addresses(pair: Pair) -> None:
    """RFC 4555 sections 3.4 to 3.6: it told that it has another one, and moves there by itself."""
    with second_link(pair.world):
        up(pair, theirs=(RIGHT.outer, RIGHT_TOO))
        assert eventually(lambda: _further(pair) == [RIGHT_TOO])  # which the gateway may have just noticed itself
        try:
            before = pair.child("gw1")
            address(pair.world.gw2, "del", WIRE, RIGHT.outer)
            assert eventually(lambda: _remote(pair) == RIGHT_TOO), pair.log("gw1")[-3000:] + pair.log("gw2")[-3000:]
            assert eventually(lambda: ping(pair.world.alice, RIGHT.host, count=1, seconds=0.5).received == 1)
            after = pair.child("gw1")
            assert before is not None
            assert after is not None
            assert before.spi_in == after.spi_in
            with pair.client("gw1") as client:
                client.down(CONNECTION)
        finally:
            address(pair.world.gw2, "add", WIRE, RIGHT.outer)


def _further(pair: Pair) -> list[str]:
    sa = pair.ike_sa("gw1")
    return [] if sa is None else sa.peer_addresses


def _remote(pair: Pair) -> str | None:
    sa = pair.ike_sa("gw1")
    return None if sa is None else sa.remote_address


def test_one_that_may_not_move_stays(pair: Pair) -> None:
    pair.configure(left(lines="mobike = false"), right())
    pair.start("gw2", "gw1")
    pair.up()
    sa = pair.ike_sa("gw2")
    assert sa is not None
    assert not sa.movable
