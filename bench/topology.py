"""Two hosts on a link, each with an inner address on its loopback: the same for every contender.

::

    left: 10.98.1.1 (lo)                          right: 10.98.2.1 (lo)
          192.0.2.1 (wan0) ═════ veth ═════ (wan0) 192.0.2.2

The contender carries 10.98.1.0/24 and 10.98.2.0/24 between the two; without one they are routed as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from caponier.demo.namespaces import Namespace

WIRE = "wan0"
MTU = 1500
#: what a network card of today does for the host, and what this link does too
OFFLOADS = ("tso", "gso", "gro", "tx-udp-segmentation")


@dataclass(frozen=True)
class Host:
    """One end.

    Attributes:
        namespace: where it lives.
        outer: its address on the link.
        inner: the address that the tunnel protects.
        network: the inner address's network.
    """

    namespace: Namespace
    outer: str
    inner: str
    network: str


@dataclass(frozen=True)
class Pair:
    """Both ends."""

    left: Host
    right: Host


@contextmanager
def pair(prefix: str) -> Iterator[Pair]:
    """Make both hosts and the link; remove them at the end."""
    with ExitStack() as undo:
        namespaces = []
        for name in ("left", "right"):
            Namespace(prefix + name).remove()  # of a run that was killed
            namespaces.append(Namespace.create(prefix + name))
            undo.callback(namespaces[-1].remove)
        made = Pair(
            Host(namespaces[0], "192.0.2.1", "10.98.1.1", "10.98.1.0/24"),
            Host(namespaces[1], "192.0.2.2", "10.98.2.1", "10.98.2.0/24"),
        )
        _join(made)
        yield made


def _join(made: Pair) -> None:
    left, right = made.left.namespace, made.right.namespace
    with left.netlink() as netlink:
        netlink.link(
            "add", ifname=WIRE, kind="veth", mtu=MTU, peer={"ifname": WIRE, "net_ns_fd": right.name, "mtu": MTU}
        )
    for host in (made.left, made.right):
        host.namespace.write_sysctls({"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0"})
        with host.namespace.netlink() as netlink:
            wire = netlink.link_lookup(ifname=WIRE)[0]
            netlink.addr("add", index=wire, address=host.outer, prefixlen=24)
            netlink.link("set", index=wire, state="up")
            netlink.addr("add", index=1, address=host.inner, prefixlen=32)
        switches = [word for offload in OFFLOADS for word in (offload, "on")]
        done = host.namespace.run(["ethtool", "-K", WIRE, *switches])
        if done.returncode != 0:
            raise RuntimeError(f"ethtool: {done.stderr.strip()}")


def route(host: Host, other: Host, *, interface: str | None = None) -> None:
    """Send what is for the other's network through an interface, or straight over the link."""
    with host.namespace.netlink() as netlink:
        if interface is None:
            netlink.route("add", dst=other.network, gateway=other.outer, prefsrc=host.inner)
        else:
            index = netlink.link_lookup(ifname=interface)[0]
            netlink.route("add", dst=other.network, oif=index, prefsrc=host.inner)
