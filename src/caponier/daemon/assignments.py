"""Internal addresses, on both sides of a tunnel: lent to peers, or put onto our interface with their DNS servers.

An address goes onto the TUN interface of its connection, where the routes into the tunnel find it as their source (RFC 7296
section 3.15.1). It goes with the interface when the daemon is killed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections import Counter
from collections.abc import Callable

from pyroute2.netlink.exceptions import NetlinkError

from caponier.daemon.netlink import Netlink
from caponier.daemon.resolver import Resolver
from caponier.errors import EngineError, InternalError
from caponier.mechanisms.negotiation.leases import Leases
from caponier.protocols.ike.effects import (
    ApplyAssignment,
    Assignment,
    Effect,
    IpInterface,
    LeaseAddress,
    ReleaseAddress,
    WithdrawAssignment,
)
from caponier.protocols.ike.events import AddressesAssigned

_FLAGS = 0x202  #: IFA_F_NOPREFIXROUTE: our own table tells what is routed into the tunnel. IFA_F_NODAD: usable at once

log = logging.getLogger("caponier.assignments")


def told(event: AddressesAssigned) -> str:
    """The event in words."""
    servers = f", DNS servers {', '.join(event.dns)}" if event.dns else ""
    return f"{', '.join(event.addresses)} for {'us' if event.is_ours else 'the peer'}{servers}"


class Assignments:
    """Carries out the effects that are about internal addresses.

    Args:
        resolver: takes DNS servers.
        interface_of: the name of a connection's interface.
    """

    def __init__(self, resolver: Resolver, interface_of: Callable[[str], str]) -> None:
        self.leases = Leases()
        self._resolver = resolver
        self._interface_of = interface_of
        self._netlink = Netlink()
        self._users: Counter[tuple[str, IpInterface]] = Counter()  # IKE SAs, by interface and address
        self._strange: set[tuple[str, IpInterface]] = set()  # addresses that were there before us

    def carry_out(self, effect: Effect) -> object:
        """The result of an effect.

        Raises:
            CaponierError: why there is none.
        """
        match effect:
            case LeaseAddress(pools, holder, wanted):
                return self.leases.lend(pools, holder, wanted)
            case ReleaseAddress(address):
                self.leases.give_back(address)
            case ApplyAssignment(connection, assignment):
                self._apply(connection, assignment)
            case WithdrawAssignment(connection, assignment):
                self._withdraw(connection, assignment)
            case _:
                raise InternalError(f"no effect about addresses: {type(effect).__name__}")
        return None

    def close(self) -> None:
        """Take all addresses away, and give the system its DNS servers back."""
        for interface, address in tuple(self._users):
            self._remove(interface, address)
        self._users.clear()
        self._resolver.close()
        self._netlink.close()

    # -- the inside

    def _apply(self, connection: str, assignment: Assignment) -> None:
        interface = self._interface_of(connection)
        done: list[IpInterface] = []
        try:
            for address in assignment.addresses:
                if not self._users[interface, address]:
                    self._add(interface, address)
                self._users[interface, address] += 1
                done.append(address)
        except EngineError:
            self._leave(interface, done)
            raise
        if assignment.dns:
            self._resolver.use(interface, assignment.dns)

    def _withdraw(self, connection: str, assignment: Assignment) -> None:
        interface = self._interface_of(connection)
        self._leave(interface, assignment.addresses)
        if assignment.dns:
            self._resolver.leave(interface, assignment.dns)

    def _leave(self, interface: str, addresses: tuple[IpInterface, ...] | list[IpInterface]) -> None:
        for address in addresses:
            key = interface, address
            self._users[key] -= 1
            if self._users[key] <= 0:
                del self._users[key]
                self._remove(interface, address)

    def _add(self, interface: str, address: IpInterface) -> None:
        try:
            self._change("add", interface, address)
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                self._strange.add((interface, address))
                return
            raise EngineError(
                f"the internal address {address} cannot be put onto {interface}: {error}",
                hint="the daemon needs CAP_NET_ADMIN, and for an IPv6 address the system needs IPv6",
            ) from None

    def _remove(self, interface: str, address: IpInterface) -> None:
        if (interface, address) in self._strange:
            self._strange.discard((interface, address))
            return
        with contextlib.suppress(NetlinkError, EngineError):  # gone already, with its interface or by somebody's hand
            self._change("del", interface, address)

    def _change(self, verb: str, interface: str, address: IpInterface) -> None:
        found = self._netlink.ask(lambda ip: list(ip.link_lookup(ifname=interface)))
        if not found:
            raise EngineError(f"there is no interface {interface}")
        arguments = {"index": found[0], "address": str(address.ip), "prefixlen": address.network.prefixlen}
        if verb == "add":
            arguments["flags"] = _FLAGS
        self._netlink.ask(lambda ip: ip.addr(verb, **arguments))
