"""Routes and rules by netlink: which packets go into the tunnel.

A table of its own holds a route for each protected network, into the TUN interface; a rule sends everything there but what
carries the daemon's fwmark, which is protected already. Whatever this makes, it removes: at the end, and at the next start
if a run was killed. Nothing else is touched.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, summarize_address_range
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from caponier.daemon.netlink import Netlink
from caponier.errors import EngineError
from caponier.mechanisms.negotiation.selectors import IpAddress, TrafficSelector

PRIORITY = 220  #: of our rules: before the main table, which is asked at 32766
_FIB_RULE_INVERT = 0x2
PROTOCOL = 50  #: rtm_protocol of our routes, so that they are known again
_FAMILIES = (socket.AF_INET, socket.AF_INET6)

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Route:
    """A protected network.

    Attributes:
        network: the destination.
        source: our address within the tunnel, for packets of our own; None where we have none.
        interface: of ours, that leads there; None for the one that all share.
    """

    network: Network
    source: IpAddress | None = None
    interface: str | None = None


class Routes:
    """The routes and rules of one daemon.

    Args:
        interface: the TUN interface's name.
        table: the routing table.
        mark: fwmark of protected packets.
        mtu: of the interface, octets.

    Raises:
        EngineError: the privilege is missing.
    """

    def __init__(self, interface: str, table: int, mark: int, mtu: int) -> None:
        self._table = table
        self._mark = mark
        self._mtu = mtu
        self._netlink = Netlink()
        self._wanted: dict[Network, list[Route]] = {}
        try:
            self._indices: dict[str | None, int] = {None: self._index_of(interface)}
            self._require_own_table(interface)
            self._remove_leftovers()
            self._set_up(self._indices[None])
            for family in self._families():
                self._rule("add", family)
        except NetlinkError as error:
            self._netlink.close()
            raise _explained(error, "the interface and its rules") from None
        except EngineError:
            self._netlink.close()
            raise

    def open_interface(self, name: str) -> None:
        """Bring a further interface up; its name may stand in routes from now on.

        Raises:
            EngineError: the system refuses.
        """
        try:
            self._indices[name] = self._index_of(name)
            self._set_up(self._indices[name])
        except NetlinkError as error:
            raise _explained(error, f"the interface {name}") from None

    def close_interface(self, name: str) -> None:
        """Undo :meth:`open_interface`; the interface itself belongs to the engine."""
        self._indices.pop(name, None)

    def add(self, routes: Iterable[Route]) -> None:
        """Send these networks into the tunnel. Several SAs, and traps, may want the same: the last one's is in force.

        Raises:
            EngineError: the system refused.
        """
        for route in routes:
            self._change("replace", route)
            self._wanted.setdefault(route.network, []).append(route)

    def remove(self, routes: Iterable[Route]) -> None:
        """Undo one :meth:`add`."""
        for route in routes:
            wanted = self._wanted.get(route.network, [])
            if route not in wanted:
                continue
            wanted.remove(route)
            with contextlib.suppress(EngineError):  # gone already: with its interface, or by somebody's hand
                if wanted:
                    self._change("replace", wanted[-1])
                else:
                    del self._wanted[route.network]
                    self._change("del", Route(route.network, interface=route.interface))

    def sources_for(self, selectors: Sequence[TrafficSelector]) -> dict[int, IpAddress]:
        """The first address of this machine in each family that lies in the selectors: what our own packets should be sent
        from.

        Raises:
            EngineError: the system does not tell.
        """
        try:
            found = self._netlink.ask(lambda ip: list(ip.get_addr()))
        except NetlinkError as error:
            raise _explained(error, "our own addresses") from None
        texts = (message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS") for message in found)
        sources: dict[int, IpAddress] = {}
        for address in (ip_address(text) for text in texts if text is not None):
            if any(_holds(each, address) for each in selectors):
                sources.setdefault(address.version, address)
        return sources

    def local_address_towards(self, remote: IpAddress) -> IpAddress | None:
        """The address that the system would send from to ``remote``, our own table left aside."""
        try:
            found = self._netlink.ask(lambda ip: list(ip.route("get", dst=str(remote), mark=self._mark)))
        except NetlinkError:
            return None
        text = found[0].get_attr("RTA_PREFSRC") if found else None
        return None if text is None else ip_address(text)

    @property
    def interfaces(self) -> frozenset[int]:
        """The indices of our own interfaces."""
        return frozenset(self._indices.values())

    def close(self) -> None:
        """Remove everything that we made; may be called twice."""
        with contextlib.suppress(NetlinkError, OSError):
            self._remove_leftovers()
        self._netlink.close()
        self._wanted.clear()

    # -- the inside

    def _index_of(self, interface: str) -> int:
        index: int = self._netlink.ask(lambda ip: ip.link_lookup(ifname=interface)[0])
        return index

    def _set_up(self, index: int) -> None:
        self._netlink.ask(lambda ip: ip.link("set", index=index, mtu=self._mtu, state="up"))

    def _families(self) -> list[int]:
        """Those that the system has: IPv6 may be off."""
        return [family for family in _FAMILIES if family == socket.AF_INET or self._has_ipv6()]

    def _has_ipv6(self) -> bool:
        try:
            return bool(self._netlink.ask(lambda ip: list(ip.get_rules(family=socket.AF_INET6))))
        except NetlinkError:
            return False

    def _rule(self, verb: str, family: int) -> None:
        rule = {"family": family, "priority": PRIORITY, "table": self._table, "fwmark": self._mark}
        self._netlink.ask(lambda ip: ip.rule(verb, **rule, flags=_FIB_RULE_INVERT))

    def _rules(self, family: int) -> list[Any]:
        return self._netlink.ask(lambda ip: list(ip.get_rules(family=family)))

    def _routes(self, family: int) -> list[Any]:
        """Those of a daemon, by their protocol, in our table."""
        wanted = {"family": family, "table": self._table, "proto": PROTOCOL}
        return self._netlink.ask(lambda ip: list(ip.get_routes(**wanted)))

    def _flush(self, family: int) -> None:
        self._netlink.ask(lambda ip: ip.flush_routes(family=family, table=self._table, proto=PROTOCOL))

    def _change(self, verb: str, route: Route) -> None:
        index = self._indices.get(route.interface)
        if index is None:
            raise EngineError(f"the route to {route.network}: there is no interface {route.interface}")
        arguments: dict[str, Any] = {"dst": str(route.network), "oif": index, "table": self._table}
        arguments |= {"proto": PROTOCOL, "family": _FAMILIES[route.network.version == 6]}
        if route.source is not None:
            arguments["prefsrc"] = str(route.source)
        try:
            self._netlink.ask(lambda ip: ip.route(verb, **arguments))
        except NetlinkError as error:
            raise _explained(error, f"the route to {route.network}") from None

    def _require_own_table(self, interface: str) -> None:
        """Require that no other daemon's tunnel is in our table: we would remove its rules and routes as leftovers.

        Those of a daemon that was killed lead nowhere: its interface went with it.

        Raises:
            EngineError: one is.
        """
        found = [route for family in self._families() for route in self._routes(family)]
        if any(route.get_attr("RTA_OIF") not in (None, self._indices[None]) for route in found):
            raise EngineError(
                f"another daemon uses the routing table {self._table}; {interface} needs one of its own",
                hint="set daemon.table, and daemon.mark too, to numbers that nobody else uses",
            )

    def _remove_leftovers(self) -> None:
        """Our rules and routes, of this run or of one that was killed."""
        for family in self._families():
            for _ in filter(self._is_ours, self._rules(family)):
                self._rule("del", family)
            with contextlib.suppress(NetlinkError):
                self._flush(family)

    def _is_ours(self, rule: Any) -> bool:
        """Whether a rule is such as :meth:`_rule` makes; other programs know table 220 too."""
        wanted = {"FRA_PRIORITY": PRIORITY, "FRA_TABLE": self._table, "FRA_FWMARK": self._mark}
        is_inverted = bool(rule["flags"] & _FIB_RULE_INVERT)
        return is_inverted and all(rule.get_attr(name) == value for name, value in wanted.items())


def _holds(selector: TrafficSelector, address: IpAddress) -> bool:
    same_family = selector.start.version == address.version
    return same_family and int(selector.start) <= int(address) <= int(selector.end)


def networks(selectors: Iterable[TrafficSelector]) -> list[Network]:
    """The networks that the address ranges of selectors are made of."""
    found: list[Network] = []
    for each in selectors:
        found += summarize_address_range(each.start, each.end)
    return list(dict.fromkeys(found))


def _explained(error: NetlinkError, what: str) -> EngineError:
    if error.code in (errno.EPERM, errno.EACCES):
        return EngineError(f"{what}: not permitted", hint="the daemon needs CAP_NET_ADMIN")
    return EngineError(f"{what}: {error}")
