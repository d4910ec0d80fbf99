"""The demonstration's network: two gateways on a link, a host behind each.

::

    alice ────────── gw1 ═══════════ gw2 ────────── bob
    10.1.0.10     10.1.0.1       10.2.0.1     10.2.0.10
    fd00:1::10    fd00:1::1      fd00:2::1    fd00:2::10
              192.0.2.1 ═══════ 192.0.2.2
          2001:db8::1 ═════════ 2001:db8::2

The hosts know their gateway as the default route; the gateways know nothing of each other's networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from caponier.demo.namespaces import Namespace

WIRE = "wan0"  #: the gateways' interface on the middle link
LAN = "lan0"  #: the gateways' interface to their hosts, and the hosts' only one


@dataclass(frozen=True, slots=True)
class Site:
    """One side of the world: a gateway, the network behind it, and a host there."""

    gateway_name: str
    host_name: str
    outer: str
    outer6: str
    gateway_inner: str
    gateway_inner6: str
    host: str
    host6: str
    network: str
    network6: str


LEFT = Site(
    "gw1",
    "alice",
    "192.0.2.1",
    "2001:db8::1",
    "10.1.0.1",
    "fd00:1::1",
    "10.1.0.10",
    "fd00:1::10",
    "10.1.0.0/24",
    "fd00:1::/64",
)
RIGHT = Site(
    "gw2",
    "bob",
    "192.0.2.2",
    "2001:db8::2",
    "10.2.0.1",
    "fd00:2::1",
    "10.2.0.10",
    "fd00:2::10",
    "10.2.0.0/24",
    "fd00:2::/64",
)

# Duplicate address detection keeps an IPv6 address from use for a second (RFC 4862); there is nobody else here.
_NODE_SYSCTLS = {"net/ipv6/conf/default/accept_dad": "0"}
_GATEWAY_SYSCTLS = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}


@dataclass(frozen=True, slots=True)
class Topology:
    """The four namespaces."""

    alice: Namespace
    gw1: Namespace
    gw2: Namespace
    bob: Namespace

    @property
    def namespaces(self) -> tuple[Namespace, ...]:
        return (self.alice, self.gw1, self.gw2, self.bob)


def build(prefix: str) -> Topology:
    """Create the namespaces ``<prefix>alice`` and so on, and join them.

    Raises:
        NamespaceExists: a name is taken; what was made is removed again.
    """
    with ExitStack() as undo:
        made = []
        for name in ("alice", "gw1", "gw2", "bob"):
            namespace = Namespace.create(prefix + name)
            undo.callback(namespace.remove)
            made.append(namespace)
        topology = Topology(*made)
        _wire(topology)
        undo.pop_all()
    return topology


def tear_down(topology: Topology) -> None:
    """Remove what :func:`build` made."""
    for namespace in topology.namespaces:
        namespace.remove()


@contextmanager
def topology(prefix: str) -> Iterator[Topology]:
    """:func:`build`, and :func:`tear_down` at the end."""
    built = build(prefix)
    try:
        yield built
    finally:
        tear_down(built)


def _wire(world: Topology) -> None:
    for namespace in world.namespaces:
        namespace.write_sysctls(_NODE_SYSCTLS)
    for gateway in (world.gw1, world.gw2):
        gateway.write_sysctls(_GATEWAY_SYSCTLS)
    _link(world.gw1, WIRE, world.gw2, WIRE)
    _link(world.gw1, LAN, world.alice, LAN)
    _link(world.gw2, LAN, world.bob, LAN)
    for site, gateway, host in ((LEFT, world.gw1, world.alice), (RIGHT, world.gw2, world.bob)):
        _address(gateway, WIRE, (site.outer, 24), (site.outer6, 64))
        _address(gateway, LAN, (site.gateway_inner, 24), (site.gateway_inner6, 64))
        _address(host, LAN, (site.host, 24), (site.host6, 64))
        _route_by_default(host, site)


def _link(here: Namespace, name: str, there: Namespace, peer_name: str) -> None:
    with here.netlink() as netlink:
        netlink.link("add", ifname=name, kind="veth", peer={"ifname": peer_name, "net_ns_fd": there.name})


def _address(namespace: Namespace, interface: str, *addresses: tuple[str, int]) -> None:
    with namespace.netlink() as netlink:
        index = netlink.link_lookup(ifname=interface)[0]
        for address, length in addresses:
            netlink.addr("add", index=index, address=address, prefixlen=length)
        netlink.link("set", index=index, state="up")


def _route_by_default(host: Namespace, site: Site) -> None:
    with host.netlink() as netlink:
        netlink.route("add", dst="default", gateway=site.gateway_inner)
        netlink.route("add", dst="default", gateway=site.gateway_inner6, family=10)
