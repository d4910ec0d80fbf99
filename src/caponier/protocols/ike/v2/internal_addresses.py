"""Internal addresses of one IKE SA: those that the peer gave us, and those that we gave the peer (RFC 7296 section 2.19).

"The requested address is valid as long as this IKE SA (or its rekeyed successors) requesting the address is valid" (section
3.15.1): so they belong to the IKE SA, its successor inherits them, and they are given back when it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from caponier.errors import FailedCpRequired, TsUnacceptable
from caponier.mechanisms.negotiation.leases import Pool
from caponier.mechanisms.negotiation.selectors import ANY_PORTS, ANY_PROTOCOL, TrafficSelector, narrow
from caponier.protocols.ike.effects import Assignment, ReleaseAddress, WithdrawAssignment
from caponier.protocols.ike.policy import ChildPolicy, Connection, IpAddress

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

Selectors = tuple[TrafficSelector, ...]


class InternalAddresses:
    """The internal addresses of an IKE SA, on both sides.

    Args:
        sa: theirs.
    """

    __slots__ = ("_sa", "assignment", "lent")

    def __init__(self, sa: IkeSa) -> None:
        self._sa = sa
        self.assignment: Assignment | None = None  #: what the peer gave us
        self.lent: dict[int, tuple[Pool, IpAddress]] = {}  #: what we gave the peer, by family

    @property
    def own(self) -> tuple[IpAddress, ...]:
        """Those of ours."""
        return () if self.assignment is None else tuple(each.ip for each in self.assignment.addresses)

    @property
    def peers(self) -> tuple[IpAddress, ...]:
        """Those of the peer."""
        return tuple(address for _, address in self.lent.values())

    def inherit(self, old: InternalAddresses) -> None:
        """Take over those of the IKE SA that ours replaces."""
        self.assignment, old.assignment = old.assignment, None
        self.lent, old.lent = old.lent, {}

    def give_back(self) -> None:
        """The IKE SA is gone, and they with it."""
        for _, address in self.lent.values():
            self._sa.give_back(ReleaseAddress(address))
        if self.assignment is not None and self._sa.connection is not None:
            self._sa.give_back(WithdrawAssignment(self._sa.connection.name, self.assignment))
        self.lent, self.assignment = {}, None

    # -- policies

    def applied(self, connection: Connection) -> Connection:
        """The connection as it is with this peer: children that are for internal addresses are for these ones, and not
        there while there are none.

        Raises:
            FailedCpRequired: none of its children is there, for want of an address for the peer (section 2.19).
        """
        if not any(each.local_is_assigned or each.remote_is_assigned for each in connection.children):
            return connection
        found = tuple(each for each in map(self.narrowed, connection.children) if each.local and each.remote)
        if not found and any(each.remote_is_assigned for each in connection.children):
            raise FailedCpRequired(
                f"the peer did not ask for an internal address, which it needs for connection {connection.name}",
                hint="let the peer request one (strongSwan: vips = 0.0.0.0)",
                setting="pool",
            )
        return replace(connection, children=found)

    def narrowed(self, policy: ChildPolicy) -> ChildPolicy:
        """A policy with the internal addresses in place of all; without a side where there are none."""
        local = self.narrowed_local(policy, policy.local)
        remote = _within(policy.remote, self.peers) if policy.remote_is_assigned else policy.remote
        return replace(policy, local=local, remote=remote)

    def required(self, policy: ChildPolicy) -> ChildPolicy:
        """The same, where both sides are needed.

        Raises:
            TsUnacceptable: there are no internal addresses for one.
        """
        found = self.narrowed(policy)
        if not (found.local and found.remote):
            raise TsUnacceptable(
                f"child {policy.name} is for internal addresses, and there are none on this IKE SA",
                hint="bring the connection down and up again, from the side that asks for addresses",
                setting=f"child.{policy.name}",
            )
        return found

    def narrowed_local(self, policy: ChildPolicy, selectors: Selectors) -> Selectors:
        """What of selectors for our side is of our internal addresses, where the policy is for these."""
        return _within(selectors, self.own) if policy.local_is_assigned else selectors


def _within(selectors: Selectors, addresses: Sequence[IpAddress]) -> Selectors:
    hosts = [TrafficSelector(ANY_PROTOCOL, *ANY_PORTS, each, each) for each in addresses]
    try:
        return narrow(selectors, hosts)
    except TsUnacceptable:
        return ()
