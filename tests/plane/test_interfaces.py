"""Several TUN interfaces in one plane: route-based VPN, and what becomes of the others when one fails."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from caponier._plane import Plane, PlaneError
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, WIRE, Site, Topology
from caponier.demo.traffic import ping, transfer
from tests.plane.suites import GCM
from tests.plane.tunnel import MARK, MTU, UDP4, End, Tunnel, eventually, told, tunnel, whole

pytestmark = pytest.mark.privileged

OWN = 2  #: the policy of the added interface
EVERYTHING = whole("0.0.0.0/0")


@dataclass
class Interface:
    """An interface that was added to a running plane, and the SAs of its own that it has."""

    end: End
    gateway: Namespace
    number: int
    name: str
    handle: int = 0

    @property
    def spi_in(self) -> int:
        return self.end.spi_in + 0x100

    def install(self) -> None:
        """Whatever is routed into it is protected: the selectors are everything."""
        self.install_inbound()
        self.handle = self.end.plane.install_outbound(
            spi=self.end.spi_out + 0x100, **GCM.keys(self.end.sends), **UDP4.ends(self.end.here, self.end.there)
        )
        self.install_policy()

    def install_inbound(self) -> None:
        self.end.plane.install_inbound(
            spi=self.spi_in,
            **GCM.keys(self.end.receives),
            replay_window=1024,
            local=EVERYTHING,
            remote=EVERYTHING,
            local_address=self.end.here.outer,
            remote_address=self.end.there.outer,
            interface=self.number,
        )

    def install_policy(self) -> None:
        self.end.plane.install_policy(
            policy=OWN,
            order=1,
            interface=self.number,
            local=EVERYTHING,
            remote=EVERYTHING,
            action="protect",
            outbound=self.handle,
        )

    def remove(self) -> None:
        self.end.plane.remove_policy(OWN)
        self.end.plane.remove_outbound(self.handle)
        self.end.plane.remove_inbound(self.spi_in)

    def set_state(self, state: str) -> None:
        with self.gateway.netlink() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname=self.name)[0], state=state)

    def route_host(self, site: Site) -> None:
        """Bring it up; the other site's host is behind it, the rest of that site behind the shared interface."""
        with self.gateway.netlink() as netlink:
            index = netlink.link_lookup(ifname=self.name)[0]
            netlink.link("set", index=index, state="up", mtu=MTU)
            netlink.route("replace", dst=f"{site.host}/32", oif=index)

    def unroute_host(self, site: Site) -> None:
        with self.gateway.netlink() as netlink:
            netlink.route("del", dst=f"{site.host}/32", oif=netlink.link_lookup(ifname=self.name)[0])

    def written(self) -> int:
        """How many frames the plane wrote into it."""
        with self.gateway.netlink() as netlink:
            link = netlink.get_links(netlink.link_lookup(ifname=self.name)[0])[0]
        count: int = link.get_attr("IFLA_STATS64")["rx_packets"]
        return count

    def carried(self) -> tuple[int, int]:
        """Packets of its SAs, in and out."""
        plane = self.end.plane
        return plane.inbound_counters(self.spi_in)[0], plane.outbound_counters(self.handle)[0]


@contextmanager
def own_interfaces(pair: Tunnel) -> Iterator[tuple[Interface, Interface]]:
    """One more in each running plane, between which Alice and Bob talk IPv4; for IPv6 they have the shared ones."""
    made = []
    for end, gateway in ((pair.left, pair.world.gw1), (pair.right, pair.world.gw2)):
        with gateway.inside():
            number, name = end.plane.add_interface("own%d")
        made.append(Interface(end, gateway, number, name))
    for each in made:
        each.install()
        each.route_host(each.end.there)
    try:
        yield made[0], made[1]
    finally:
        for each in made:
            each.remove()
            if exists(each.gateway, each.name):
                each.end.plane.remove_interface(each.number)


def exists(gateway: Namespace, name: str) -> bool:
    with gateway.netlink() as netlink:
        return bool(netlink.link_lookup(ifname=name))


def reaches(world: Topology, address: str, count: int = 3) -> bool:
    return ping(world.alice, address, count=count, seconds=0.5).received == count


@pytest.mark.parametrize("workers", [1, 3])
def test_each_interface_has_its_policies_and_its_sas(world: Topology, workers: int) -> None:
    """RFC 4301 section 4.4.1: an SPD for each; what was routed into one interface comes out of the other end's."""
    with tunnel(world, workers=workers) as pair, pair.protected(GCM, UDP4), own_interfaces(pair) as (left, right):
        assert reaches(world, RIGHT.host)
        assert reaches(world, RIGHT.host6)
        assert left.carried() == right.carried() == (3, 3)
        assert left.written() == right.written() == 3
        assert pair.left.outbound()[0] == pair.right.inbound()[0] == 3
        for address in (RIGHT.host, RIGHT.host6):
            done = transfer(world.alice, world.bob, address, octets=1_000_000, filling=b"by both")
            assert done.intact
        assert eventually(pair.agrees)
        assert right.written() > 3
        assert told(pair.left.plane) == told(pair.right.plane) == []


def test_a_policy_is_for_its_interface_only(world: Topology) -> None:
    with tunnel(world) as pair, pair.protected(GCM, UDP4), own_interfaces(pair) as (left, _):
        before = pair.left.plane.drops().get("no-policy", 0)
        pair.left.plane.remove_policy(OWN)
        assert not reaches(world, RIGHT.host, 1)
        assert pair.left.plane.drops()["no-policy"] > before
        left.remove = lambda: None  # type: ignore[method-assign]


def test_an_interface_is_removed_under_way(world: Topology) -> None:
    """Its packets are dropped by name, and the shared interface carries on; another one may come, with another number."""
    with tunnel(world, workers=2) as pair, pair.protected(GCM, UDP4), own_interfaces(pair) as (left, right):
        assert reaches(world, RIGHT.host)
        pair.right.plane.remove_interface(right.number)
        assert not exists(world.gw2, right.name)
        assert not reaches(world, RIGHT.host, 1)
        counted = pair.right.plane.inbound_counters(right.spi_in)
        assert eventually(lambda: pair.right.plane.inbound_counters(right.spi_in)[2] == {"no-interface": 1}), counted
        assert reaches(world, RIGHT.host6)
        with world.gw2.inside():
            number, name = pair.right.plane.add_interface("own%d")
        assert number == right.number + 1
        pair.right.plane.remove_inbound(right.spi_in)
        right.number, right.name = number, name
        right.install_inbound()
        right.install_policy()
        right.route_host(LEFT)
        assert reaches(world, RIGHT.host)
        assert left.carried() == (6, 7)
        assert right.written() == 3
        for plane in (pair.left.plane, pair.right.plane):
            for wrong in (0, 99, right.number - 1 if plane is pair.right.plane else 7):
                with pytest.raises(PlaneError, match="no interface"):
                    plane.remove_interface(wrong)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interface_that_somebody_removes_takes_no_other_with_it(world: Topology, workers: int) -> None:
    with tunnel(world, workers=workers) as pair, pair.protected(GCM, UDP4), own_interfaces(pair) as (left, right):
        assert reaches(world, RIGHT.host)
        with world.gw1.netlink() as netlink:
            netlink.link("del", index=netlink.link_lookup(ifname=left.name)[0])
        heard: list[object] = []

        def all_have_told() -> bool:
            heard.extend(told(pair.left.plane))
            return len(heard) >= workers

        assert eventually(all_have_told), heard
        assert heard == [("port-failed", errno.EBADFD, {"interface": left.number})] * workers
        assert reaches(world, RIGHT.host6)
        right.unroute_host(LEFT)
        assert reaches(world, RIGHT.host)  # by the shared interfaces now
        assert told(pair.left.plane) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_interfaces_go_down_and_up_under_load(world: Topology, workers: int) -> None:
    """No SA is lost, no port is given up, and the transfer that went on meanwhile ends as it should."""
    with tunnel(world, workers=workers) as pair, pair.protected(GCM, UDP4), own_interfaces(pair) as (left, right):
        for ends in ((left, right), (right, left)):
            with ThreadPoolExecutor() as pool:
                running = pool.submit(
                    transfer, world.alice, world.bob, RIGHT.host, octets=50_000_000, filling=b"on and off", seconds=30
                )
                for each in ends:
                    each.set_state("down")
                    each.set_state("up")
                    each.route_host(each.end.there)
                assert running.result().intact
        assert told(pair.left.plane) == told(pair.right.plane) == []
        assert reaches(world, RIGHT.host)


def test_the_wire_goes_down_and_up_under_load(world: Topology) -> None:
    """ENETDOWN, ENETUNREACH: what cannot be sent is counted, and what can be again is."""
    with tunnel(world, workers=2) as pair, pair.protected(GCM, UDP4):
        with ThreadPoolExecutor() as pool:
            running = pool.submit(
                transfer, world.alice, world.bob, RIGHT.host, octets=50_000_000, filling=b"on and off", seconds=30
            )
            with world.gw1.netlink() as netlink:
                index = netlink.link_lookup(ifname=WIRE)[0]
                netlink.link("set", index=index, state="down")
                netlink.link("set", index=index, state="up")
            assert running.result().intact
        assert told(pair.left.plane) == told(pair.right.plane) == []


def test_interfaces_may_come_and_go_before_the_start(world: Topology) -> None:
    with world.gw1.inside():
        plane = Plane(interface="cap%d", mark=MARK, workers=2)
        first, second = plane.add_interface("own%d"), plane.add_interface("own%d")
        with pytest.raises(PlaneError):
            plane.add_interface(plane.interface)
    try:
        assert (first[0], second[0]) == (1, 2)
        plane.remove_interface(1)
        assert not exists(world.gw1, first[1])
        plane.start()
        plane.remove_interface(2)
        assert not exists(world.gw1, second[1])
        assert exists(world.gw1, plane.interface)
    finally:
        plane.close()
    with pytest.raises(PlaneError, match="closed"):
        plane.add_interface("own%d")


def test_a_closed_plane_leaves_no_interface(world: Topology) -> None:
    with world.gw1.inside():
        plane = Plane(interface="cap%d", mark=MARK)
        _, before = plane.add_interface("own%d")
        plane.start()
        _, after = plane.add_interface("own%d")
    plane.close()
    assert not any(exists(world.gw1, name) for name in (plane.interface, before, after))
