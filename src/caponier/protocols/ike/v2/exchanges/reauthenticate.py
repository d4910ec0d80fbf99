"""Reauthentication, make before break: a new IKE SA with all its Child SAs, then the end of the old one (RFC 7296 section 2.8.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType
from caponier.errors import CaponierError
from caponier.protocols.ike.policy import Connection
from caponier.protocols.ike.v2.exchanges.create_child import negotiate
from caponier.protocols.ike.v2.exchanges.initial import establish
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.steps import Step

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


def reauthenticate(sa: IkeSa, connection: Connection, old: IkeSa) -> Exchange:
    """Make a new IKE SA in place of an old one.

    Args:
        sa: the new one, before its first message.
        connection: of both.
        old: established; it ends when the new one has what it has.
    """

    def failed(error: CaponierError) -> None:
        sa.exchange_failed(error)
        old.now = max(old.now, sa.now)
        old.reauthentication.failed(error)
        old.host.touched(old)

    return Exchange(ExchangeType.IKE_SA_INIT, lambda: _reauthenticate(sa, connection, old), failed)


def _reauthenticate(sa: IkeSa, connection: Connection, old: IkeSa) -> Step[None]:
    for policy in (yield from establish(sa, _standing(connection, old))):
        try:
            yield from negotiate(sa, policy)
        except CaponierError as error:
            sa.exchange_failed(error, child=policy.name)
    if sa.phase is Phase.ESTABLISHED:
        old.now = max(old.now, sa.now)
        old.request_close("reauthenticated")
        old.host.touched(old)


def _standing(connection: Connection, old: IkeSa) -> Connection:
    """The connection with those children that the old IKE SA carries: what was brought down stays down."""
    names = {record.child.name for record in old.children if record.is_current}
    children = tuple(each for each in connection.children if each.name in names)
    return replace(connection, children=children or connection.children[:1])
