"""Planes with static keys on the demonstration's topology: the data plane without IKE."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from caponier._plane import Plane
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Site, Topology
from tests.plane.suites import Suite

MARK = 0x4350
TABLE, FIB_RULE_INVERT = 77, 2
PORT = 4500
ESP, AH = 50, 51
MTU = (
    1390  #: of the TUN interfaces: fits the wire with every suite and carrier, so that nothing is fragmented or refused
)
POLICY = 1
PATIENCE = 5.0  #: seconds until something that must happen counts as not happening

Selector = tuple[int, int, int, str, str]  #: as the plane takes it: protocol, ports, addresses
Lifetime = tuple[int, int, int, int]  #: soft and hard octets, soft and hard packets
Event = tuple[str, int, dict[str, str | int]]  #: kind, number, details
UNLIMITED: Lifetime = (0, 0, 0, 0)

_ALL = (0, 0, 65535)
_TIME_WAIT, _LISTEN = "06", "0A"
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Ends(TypedDict):
    """The outer header of what a plane sends."""

    local_address: str
    local_port: int
    remote_address: str
    remote_port: int


@dataclass(frozen=True)
class Carrier:
    """How ESP travels: the outer family, and whether in UDP (RFC 3948) or right behind IP (RFC 4303)."""

    outer: int
    encapsulated: bool

    @property
    def name(self) -> str:
        return f"{'udp' if self.encapsulated else 'raw'}{self.outer}"

    @property
    def family(self) -> socket.AddressFamily:
        return _FAMILIES[self.outer]

    def address(self, site: Site) -> str:
        return site.outer if self.outer == 4 else site.outer6

    def ends(self, here: Site, there: Site) -> Ends:
        port = PORT if self.encapsulated else 0
        return {
            "local_address": self.address(here),
            "local_port": port,
            "remote_address": self.address(there),
            "remote_port": port,
        }


CARRIERS = tuple(Carrier(outer, encapsulated) for encapsulated in (True, False) for outer in (4, 6))
UDP4, UDP6, RAW4, RAW6 = CARRIERS


def whole(*networks: str) -> list[Selector]:
    """Selectors for whole networks."""
    found: list[Selector] = []
    for text in networks:
        network = ipaddress.ip_network(text)
        found.append((*_ALL, str(network[0]), str(network[-1])))
    return found


def of(site: Site) -> list[Selector]:
    """Selectors for a site's networks."""
    return whole(site.network, site.network6)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def raw_socket(gateway: Namespace, family: socket.AddressFamily, protocol: int) -> socket.socket:
    with gateway.inside():
        return socket.socket(family, socket.SOCK_RAW, protocol)


def told(plane: Plane) -> list[Event]:
    """The plane's events, but for those of an audit: which strangers' packets there are is not for every test to know."""
    return [event for event in plane.events() if event[0] != "dropped"]


def esp_socket(gateway: Namespace, carrier: Carrier) -> socket.socket:
    """A socket in ``gateway`` that ESP comes and goes by."""
    with gateway.inside():
        if not carrier.encapsulated:
            return socket.socket(carrier.family, socket.SOCK_RAW, ESP)
        made = socket.socket(carrier.family, socket.SOCK_DGRAM)
        try:
            if carrier.outer == 6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(("::" if carrier.outer == 6 else "0.0.0.0", PORT))
        except OSError:
            made.close()
            raise
        return made


@contextmanager
def running_plane(gateway: Namespace, other: Site, *, workers: int = 1) -> Iterator[Plane]:
    """A plane on every carrier; what is for the other site is routed into its interface."""
    with gateway.inside():
        plane = Plane(interface="cap%d", mark=MARK, workers=workers)
    try:
        for carrier in CARRIERS:
            with esp_socket(gateway, carrier) as made:
                (plane.attach_udp if carrier.encapsulated else plane.attach_raw)(made.fileno())
        for family in _FAMILIES.values():
            for protocol in (AH, socket.IPPROTO_RAW):
                with raw_socket(gateway, family, protocol) as made:
                    plane.attach_raw(made.fileno())
        plane.start()
        route(gateway, plane.interface, other)
        yield plane
    finally:
        plane.close()


def route(gateway: Namespace, interface: str, site: Site) -> None:
    """Bring the interface up, and route a site into it."""
    with gateway.netlink() as netlink:
        index = netlink.link_lookup(ifname=interface)[0]
        netlink.link("set", index=index, state="up", mtu=MTU)
        netlink.route("add", dst=site.network, oif=index)
        netlink.route("add", dst=site.network6, oif=index, family=socket.AF_INET6)


@dataclass
class End:
    """One plane, and the SAs that it has.

    Attributes:
        here: the plane's own site.
        there: the peer's.
        sends: the direction whose keys it seals with (:meth:`Suite.keys`).
        receives: the direction whose keys it opens with.
        handle: of the outbound SA.
        generation: how many SAs came before: no two have an SPI in common, so that no late packet is taken for another's.
    """

    plane: Plane
    here: Site
    there: Site
    sends: int
    receives: int
    handle: int = 0
    generation: int = 0

    @property
    def spi_in(self) -> int:
        return 0x1000 + 2 * self.generation + self.receives

    @property
    def spi_out(self) -> int:
        return 0x1000 + 2 * self.generation + self.sends

    def install_inbound(
        self,
        suite: Suite,
        carrier: Carrier,
        *,
        local: list[Selector] | None = None,
        remote: list[Selector] | None = None,
        lifetime: Lifetime = UNLIMITED,
        remote_port: int = 0,
    ) -> None:
        self.plane.install_inbound(
            spi=self.spi_in,
            **suite.keys(self.receives),
            replay_window=1024,
            local=of(self.here) if local is None else local,
            remote=of(self.there) if remote is None else remote,
            local_address=carrier.address(self.here),
            remote_address=carrier.address(self.there),
            remote_port=remote_port,
            lifetime=lifetime,
        )

    def install_outbound(self, suite: Suite, carrier: Carrier, **more: Any) -> None:
        """``more``: whatever else the plane is told of the SA."""
        self.handle = self.plane.install_outbound(
            spi=self.spi_out, **suite.keys(self.sends), **carrier.ends(self.here, self.there), **more
        )

    def install_policy(self, *, action: str = "protect", outbound: bool = True, order: int = 1) -> None:
        self.plane.install_policy(
            policy=POLICY,
            order=order,
            local=of(self.here),
            remote=of(self.there),
            action=action,
            outbound=self.handle if outbound else None,
        )

    def install(self, suite: Suite, carrier: Carrier, **more: Any) -> None:
        """Both SAs, with SPIs of their own, and the policy."""
        self.generation += 1
        self.install_inbound(suite, carrier)
        self.install_outbound(suite, carrier, **more)
        self.install_policy()

    def remove(self) -> None:
        """All of it again."""
        self.plane.remove_policy(POLICY)
        self.plane.remove_outbound(self.handle)
        self.plane.remove_inbound(self.spi_in)

    def inbound(self) -> tuple[int, int, dict[str, int]]:
        return self.plane.inbound_counters(self.spi_in)

    def inbound_of(self, protocol: str) -> tuple[int, int, dict[str, int]]:
        """Of the inbound SA of a protocol, "esp" or "ah"."""
        return self.plane.inbound_counters(self.spi_in, protocol)

    def outbound(self) -> tuple[int, int, dict[str, int]]:
        return self.plane.outbound_counters(self.handle)


@dataclass
class Tunnel:
    """A running pair of planes."""

    world: Topology
    left: End
    right: End

    @property
    def ends(self) -> tuple[End, End]:
        return self.left, self.right

    @contextmanager
    def protected(self, suite: Suite, carrier: Carrier, **more: Any) -> Iterator[None]:
        """Alice and Bob, joined by ESP. ``more``: of both outbound SAs."""
        for end in self.ends:
            end.install(suite, carrier, **more)
        try:
            yield
            assert eventually(self.is_quiet), "a TCP connection does not end"
        finally:
            for end in self.ends:
                end.remove()

    def is_quiet(self) -> bool:
        """Whether no TCP connection of the hosts has anything to say: what it says later would be counted elsewhere."""
        return not any(_tcp_states(host) - {_TIME_WAIT, _LISTEN} for host in (self.world.alice, self.world.bob))

    def agrees(self) -> bool:
        """Whether what one plane sealed is what the other opened, and nothing was dropped."""
        return (self.left.outbound(), self.right.outbound()) == (self.right.inbound(), self.left.inbound()) and not (
            self.left.outbound()[2] or self.right.outbound()[2]
        )


def _tcp_states(host: Namespace) -> set[str]:
    """The states of a host's TCP connections, by their numbers in Linux (proc_net_tcp.txt of its documentation)."""
    with host.inside():
        tables = [Path("/proc/thread-self/net", name).read_text() for name in ("tcp", "tcp6")]
    return {line.split()[3] for table in tables for line in table.splitlines()[1:]}


@contextmanager
def tunnel(world: Topology, *, workers: int = 1) -> Iterator[Tunnel]:
    """Two planes, without SAs."""
    with ExitStack() as stack:
        left = stack.enter_context(running_plane(world.gw1, RIGHT, workers=workers))
        right = stack.enter_context(running_plane(world.gw2, LEFT, workers=workers))
        yield Tunnel(world, End(left, LEFT, RIGHT, sends=1, receives=2), End(right, RIGHT, LEFT, sends=2, receives=1))


def error_of(sender: socket.socket, octets: bytes) -> int:
    """The error of a send; an older one that the socket still has to tell is taken first."""
    sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    try:
        sender.send(octets)
    except OSError as error:
        return error.errno or -1
    return 0


@contextmanager
def routed_into(namespace: Namespace, interface: str, ours: str, theirs: str) -> Iterator[None]:
    """What goes to the peer itself goes into the plane, but for what the plane sends, which has its mark."""
    family, bits = (socket.AF_INET6, 128) if ":" in theirs else (socket.AF_INET, 32)
    rule = {"family": family, "priority": 100, "table": TABLE, "fwmark": MARK, "flags": FIB_RULE_INVERT}
    with namespace.netlink() as netlink:
        index = netlink.link_lookup(ifname=interface)[0]
        route = {"family": family, "table": TABLE, "dst": f"{theirs}/{bits}", "oif": index, "prefsrc": ours}
        netlink.route("add", **route)
        netlink.rule("add", **rule)
        try:
            yield
        finally:
            netlink.rule("del", **rule)
            netlink.route("del", **route)
