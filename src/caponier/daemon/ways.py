"""Which ways lead to a peer (RFC 4555 section 3.5): the addresses that this machine has, and where its routes go.

The kernel is asked, and its own choice is the best way. A further address of ours makes another way where packets from it
leave by the interface that has it: such as policy routing arranges it (ip-rule(8)). What is sent from one network's address
into another one comes to nothing as a rule; only addresses that the configuration names are tried all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from caponier.daemon.netlink import Netlink
from caponier.daemon.routes import PROTOCOL
from caponier.protocols.ike.policy import IpAddress

SETTLE_SECONDS = 0.2  #: after a change until it is looked at: changes come in swarms
MOST_ADDRESSES = 16  #: of ours that are tried for one address of a peer's

_UP = 0x1  # netdevice(7)
_TENTATIVE, _FAILED = 0x40, 0x08  # if_addr.h: duplicate address detection goes on, or found one
_GROUPS = 0x1 | 0x10 | 0x100 | 0x40 | 0x400  # rtnetlink(7): links, addresses and routes of both families
_ROUTES = (24, 25)  # RTM_NEWROUTE, RTM_DELROUTE
_HEADER = struct.Struct("=IHHII")  # netlink(7)
_PROTOCOL_AT = 5  # of rtmsg
_MOST_OCTETS = 65_536


class Ways:
    """The ways of this machine.

    Args:
        mark: fwmark of what the daemon sends.
        tunnels: tells the indices of our own interfaces, by which nothing gets to a peer.
    """

    def __init__(self, mark: int, tunnels: Callable[[], Iterable[int]]) -> None:
        self._mark = mark
        self._tunnels = tunnels
        self._netlink = Netlink()

    def addresses(self) -> Mapping[IpAddress, int]:
        """Our addresses that are in use, with the indices of their interfaces."""
        try:
            links = self._netlink.ask(lambda ip: list(ip.get_links()))
            found = self._netlink.ask(lambda ip: list(ip.get_addr()))
        except NetlinkError:
            return {}
        up = {each["index"] for each in links if each["flags"] & _UP} - set(self._tunnels())
        return {address: index for address, index in _usable(found) if index in up}

    def find(self, ours: Sequence[IpAddress], remotes: Sequence[IpAddress]) -> list[tuple[IpAddress, IpAddress]]:
        """Pairs of an address of ours and one of a peer's between which packets travel, the best first.

        Args:
            ours: those to choose from, the best first; empty for any.
            remotes: the peer's, the best first.
        """
        there = self.addresses()
        return [(local, remote) for remote in remotes for local in self._towards(remote, ours, there)]

    def close(self) -> None:
        self._netlink.close()

    def _towards(
        self, remote: IpAddress, ours: Sequence[IpAddress], there: Mapping[IpAddress, int]
    ) -> Iterator[IpAddress]:
        usual, _ = self._route(remote, None)
        candidates = [each for each in ours or there if each.version == remote.version and each in there]
        for local in sorted(candidates, key=lambda each: each != usual)[:MOST_ADDRESSES]:
            way = self._route(remote, local)[1]
            if local == usual or way == there[local] or (way is not None and local in ours):
                yield local

    def _route(self, remote: IpAddress, source: IpAddress | None) -> tuple[IpAddress | None, int | None]:
        """The source and the interface that the kernel would send by; None where there is no route."""
        wanted = {"dst": str(remote), "mark": self._mark} | ({} if source is None else {"src": str(source)})
        try:
            found = self._netlink.ask(lambda ip: list(ip.route("get", **wanted)))
        except NetlinkError:
            return None, None
        text = found[0].get_attr("RTA_PREFSRC") if found else None
        return (None if text is None else ip_address(text)), (found[0].get_attr("RTA_OIF") if found else None)


class Watch:
    """Tells when addresses, links or routes of this machine change.

    Args:
        tell: called some time after a change, once for all that came meanwhile.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._due: asyncio.TimerHandle | None = None
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, _GROUPS))
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if self._due is not None:
            self._due.cancel()

    def _readable(self) -> None:
        matters = False
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    matters |= _matters(self._socket.recv(_MOST_OCTETS))
                except BlockingIOError:
                    raise
                except OSError:  # more came than the socket holds (netlink(7), ENOBUFS): something of it matters
                    matters = True
        if matters and self._due is None:
            self._due = self._loop.call_later(SETTLE_SECONDS, self._settled)

    def _settled(self) -> None:
        self._due = None
        self._tell()


def _usable(found: Iterable[Any]) -> Iterator[tuple[IpAddress, int]]:
    for message in found:
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if text is None or message["flags"] & (_TENTATIVE | _FAILED):
            continue
        address = ip_address(text)
        if not (address.is_loopback or address.is_link_local or address.is_multicast):
            yield address, message["index"]


def _matters(octets: bytes) -> bool:
    """Whether a datagram of the kernel's tells of more than the routes that we made ourselves."""
    while len(octets) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(octets)
        body = octets[_HEADER.size : length]
        if kind not in _ROUTES or len(body) <= _PROTOCOL_AT or body[_PROTOCOL_AT] != PROTOCOL:
            return True
        octets = octets[(max(length, _HEADER.size) + 3) & ~3 :]
    return False
