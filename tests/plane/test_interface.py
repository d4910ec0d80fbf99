"""The plane's interface and its threads: made, taken down, taken away, closed."""

from __future__ import annotations

import errno

import pytest

from caponier._plane import Plane, PlaneError
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Topology
from caponier.demo.traffic import ping, transfer
from tests.plane.suites import CBC, GCM, Suite
from tests.plane.tunnel import CARRIERS, MARK, UDP4, Carrier, Event, eventually, of, route, told, tunnel

pytestmark = pytest.mark.privileged


def interfaces(gateway: Namespace) -> set[str]:
    with gateway.netlink() as netlink:
        return {link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
@pytest.mark.parametrize("suite", [GCM, CBC], ids=lambda suite: suite.name)
def test_several_workers_carry_as_one(world: Topology, suite: Suite, carrier: Carrier) -> None:
    """RFC 4303 section 3.3.3: the threads share the SA's one counter, and number no packet twice."""
    with tunnel(world, workers=3) as pair, pair.protected(suite, carrier):
        assert ping(world.alice, RIGHT.host, count=3).received == 3
        for source, sink, address in (
            (world.alice, world.bob, RIGHT.host),
            (world.bob, world.alice, LEFT.host6),
            (world.alice, world.bob, RIGHT.host6),
        ):
            assert transfer(source, sink, address, octets=1_000_000, filling=b"many threads").intact
        assert eventually(pair.agrees), [(end.outbound(), end.inbound()) for end in pair.ends]


def test_an_interface_may_be_down_for_a_while(world: Topology) -> None:
    """What comes in meanwhile is counted as not written; afterwards all is as before."""
    with tunnel(world) as pair, pair.protected(GCM, UDP4):
        right = pair.right.plane
        assert ping(world.alice, RIGHT.host, count=1).received == 1
        set_state(world.gw2, right.interface, "down")
        assert ping(world.alice, RIGHT.host, count=2, seconds=0.2).received == 0
        assert eventually(lambda: right.drops().get("write-failed") == 2), (right.drops(), pair.right.inbound())
        set_state(world.gw2, right.interface, "up")
        route(world.gw2, right.interface, LEFT)
        assert ping(world.alice, RIGHT.host, count=3).received == 3
        assert told(right) == []


def set_state(gateway: Namespace, interface: str, state: str) -> None:
    with gateway.netlink() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state=state)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interface_that_somebody_removes_is_reported(world: Topology, workers: int) -> None:
    """The plane cannot go on; every thread says so once, and ends."""
    with tunnel(world, workers=workers) as pair:
        left = pair.left.plane
        with world.gw1.netlink() as netlink:
            netlink.link("del", index=netlink.link_lookup(ifname=left.interface)[0])
        heard: list[Event] = []

        def all_have_told() -> bool:
            heard.extend(told(left))
            return len(heard) >= workers

        assert eventually(all_have_told), heard
        assert heard == [("port-failed", errno.EBADFD, {"interface": 0})] * workers


def test_a_closed_plane_leaves_nothing(world: Topology) -> None:
    """The interface goes, the SAs go, and a second close does nothing."""
    before = interfaces(world.gw1)
    with world.gw1.inside():
        plane = Plane(interface="gone%d", mark=MARK)
    assert interfaces(world.gw1) - before == {plane.interface}
    plane.start()
    plane.install_inbound(
        spi=0x1000,
        **GCM.keys(1),
        replay_window=64,
        local=of(LEFT),
        remote=of(RIGHT),
        local_address=LEFT.outer,
        remote_address=RIGHT.outer,
    )
    plane.close()
    plane.close()
    assert interfaces(world.gw1) == before
    with pytest.raises(PlaneError, match="no inbound SA"):
        plane.inbound_counters(0x1000)
    for call in (plane.start, lambda: plane.attach_udp(0)):
        with pytest.raises(PlaneError, match="closed"):
            call()


def test_descriptors_that_are_no_sockets_are_refused(world: Topology) -> None:
    with world.gw1.inside():
        plane = Plane(interface="cap%d", mark=MARK)
    try:
        with open("/dev/null", "rb") as file:  # noqa: PTH123 - a descriptor is what is wanted
            for descriptor in (-1, 9999, file.fileno()):
                with pytest.raises(PlaneError):
                    plane.attach_udp(descriptor)
                with pytest.raises(PlaneError):
                    plane.attach_raw(descriptor)
    finally:
        plane.close()


@pytest.mark.parametrize("name", ["", "a/b", "a name", "sixteen-letters-", "lo"])
def test_interface_names_that_cannot_be_are_refused(world: Topology, name: str) -> None:
    before = interfaces(world.gw1)
    with world.gw1.inside(), pytest.raises(PlaneError):
        Plane(interface=name, mark=MARK)
    assert interfaces(world.gw1) == before


@pytest.mark.parametrize("workers", [0, 65, 1000])
def test_numbers_of_workers_are_bounded(world: Topology, workers: int) -> None:
    before = interfaces(world.gw1)
    with world.gw1.inside(), pytest.raises(PlaneError, match="workers"):
        Plane(interface="cap%d", mark=MARK, workers=workers)
    assert interfaces(world.gw1) == before
