"""The initial exchanges together: from nothing to an IKE SA with its Child SAs (RFC 7296 section 1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType
from caponier.protocols.ike.policy import ChildPolicy, Connection
from caponier.protocols.ike.v2.child_sa import first_policy
from caponier.protocols.ike.v2.exchanges import auth, init, intermediate
from caponier.protocols.ike.v2.exchanges.create_child import create_child
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.steps import Step

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


def connect(sa: IkeSa, connection: Connection) -> Exchange:
    """IKE_SA_INIT, IKE_INTERMEDIATE where it was agreed on, and IKE_AUTH with the first Child SA; the further ones follow."""
    return Exchange(ExchangeType.IKE_SA_INIT, lambda: _connect(sa, connection), sa.exchange_failed)


def _connect(sa: IkeSa, connection: Connection) -> Step[None]:
    for policy in (yield from establish(sa, connection)):
        sa.requests.enqueue(create_child(sa, policy))


def establish(sa: IkeSa, connection: Connection) -> Step[tuple[ChildPolicy, ...]]:
    """From nothing to an IKE SA with its first Child SA; returns the policies of the further ones.

    Raises:
        CaponierError: there is no IKE SA.
    """
    result = yield from init.initiate(sa, connection)
    yield from intermediate.initiate(sa, connection, result)
    first = first_policy(sa, connection)
    yield from auth.initiate(sa, connection, first, result)
    return tuple(policy for policy in connection.children if policy is not first)
