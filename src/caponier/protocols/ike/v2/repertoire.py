"""Which exchanges an IKE SA takes part in (RFC 7296 section 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.rules import rekeys_ike
from caponier.protocols.ike.v2.exchanges import (
    auth,
    create_child,
    followup,
    informational,
    intermediate,
    rekey_child,
    rekey_ike,
)
from caponier.protocols.ike.v2.exchanges.delete import delete_child_sa, delete_ike_sa
from caponier.protocols.ike.v2.exchanges.liveness import liveness, probe
from caponier.protocols.ike.v2.host import Answer, Repertoire
from caponier.protocols.ike.v2.steps import Step

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


def _create_child_sa(sa: IkeSa, message: Message) -> Step[Answer]:
    """CREATE_CHILD_SA has three uses (section 1.3)."""
    if rekeys_ike(message):
        return rekey_ike.respond(sa, message)
    if message.notify(NotifyType.REKEY_SA) is not None:
        return rekey_child.respond(sa, message)
    return create_child.respond(sa, message)


REPERTOIRE = Repertoire(
    responders={
        ExchangeType.IKE_INTERMEDIATE: intermediate.respond,
        ExchangeType.IKE_AUTH: auth.respond,
        ExchangeType.CREATE_CHILD_SA: _create_child_sa,
        ExchangeType.IKE_FOLLOWUP_KE: followup.respond,
        ExchangeType.INFORMATIONAL: informational.respond,
    },
    liveness=liveness,
    probe=probe,
    delete=delete_ike_sa,
    create_child=create_child.create_child,
    delete_child=delete_child_sa,
    rekey_child=rekey_child.rekey_child,
    rekey_ike=rekey_ike.rekey_ike,
)
