"""Two planes with static keys on the demonstration's topology: the data plane without IKE."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from caponier._plane import Plane
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Site, Topology, topology

MARK = 0x4350
PORT = 4500
ALL = (0, 0, 65535)


@dataclass(frozen=True)
class Suite:
    """Algorithms by their transform ids, with the lengths of their keys in octets."""

    name: str
    encryption: int
    key_length: int
    key_octets: int
    integrity: int
    integrity_octets: int

    def keys(self, direction: int) -> dict[str, Any]:
        return {
            "encryption": self.encryption,
            "key_length": self.key_length,
            "encryption_key": bytes((direction,)) * self.key_octets,
            "integrity": self.integrity,
            "integrity_key": bytes((0x40 + direction,)) * self.integrity_octets,
        }


SUITES = (
    Suite("aes128gcm16", 20, 128, 20, 0, 0),
    Suite("aes256gcm16", 20, 256, 36, 0, 0),
    Suite("chacha20poly1305", 28, 0, 36, 0, 0),
    Suite("aes128-sha256", 12, 128, 16, 12, 32),
    Suite("aes256-sha512", 12, 256, 32, 14, 64),
)


def whole(*networks: str) -> list[tuple[int, int, int, str, str]]:
    """Selectors for whole networks."""
    found = []
    for text in networks:
        network = ipaddress.ip_network(text)
        found.append((*ALL, str(network[0]), str(network[-1])))
    return found


@dataclass
class Tunnel:
    """A running pair of planes."""

    world: Topology
    left: Plane
    right: Plane
    handles: dict[str, int]


def _sockets(gateway: Namespace, family: socket.AddressFamily, *, encapsulated: bool) -> socket.socket:
    with gateway.inside():
        if encapsulated:
            made = socket.socket(family, socket.SOCK_DGRAM)
            made.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", PORT))
            return made
        return socket.socket(family, socket.SOCK_RAW, 50)


def _route(gateway: Namespace, interface: str, site: Site) -> None:
    with gateway.netlink() as netlink:
        index = netlink.link_lookup(ifname=interface)[0]
        netlink.link("set", index=index, state="up", mtu=1400)
        netlink.route("add", dst=site.network, oif=index)
        netlink.route("add", dst=site.network6, oif=index, family=socket.AF_INET6)


def _plane(
    stack: ExitStack, gateway: Namespace, other: Site, family: socket.AddressFamily, *, encapsulated: bool
) -> Plane:
    with gateway.inside():
        plane = Plane(interface="cap%d", mark=MARK)
    stack.callback(plane.close)
    with _sockets(gateway, family, encapsulated=encapsulated) as made:
        (plane.attach_udp if encapsulated else plane.attach_raw)(made.fileno())
    plane.start()
    _route(gateway, plane.interface, other)
    return plane


@contextmanager
def tunnel(prefix: str, suite: Suite, *, outer: int = 4, encapsulated: bool = True) -> Iterator[Tunnel]:
    """Alice and Bob, joined by ESP with static keys."""
    family = socket.AF_INET if outer == 4 else socket.AF_INET6
    port = PORT if encapsulated else 0
    with topology(prefix) as world, ExitStack() as stack:
        left = _plane(stack, world.gw1, RIGHT, family, encapsulated=encapsulated)
        right = _plane(stack, world.gw2, LEFT, family, encapsulated=encapsulated)
        handles = {}
        for name, plane, here, there, send, receive in (
            ("left", left, LEFT, RIGHT, 1, 2),
            ("right", right, RIGHT, LEFT, 2, 1),
        ):
            local_address, remote_address = (here.outer, there.outer) if outer == 4 else (here.outer6, there.outer6)
            local, remote = whole(here.network, here.network6), whole(there.network, there.network6)
            plane.install_inbound(
                spi=0x1000 + receive,
                **suite.keys(receive),
                replay_window=128,
                local=local,
                remote=remote,
                local_address=local_address,
                remote_address=remote_address,
            )
            handles[name] = plane.install_outbound(
                spi=0x1000 + send,
                **suite.keys(send),
                local_address=local_address,
                local_port=port,
                remote_address=remote_address,
                remote_port=port,
            )
            plane.install_policy(
                policy=1, order=1, local=local, remote=remote, action="protect", outbound=handles[name]
            )
        yield Tunnel(world, left, right, handles)
