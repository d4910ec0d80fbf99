"""Which exchanges an IKE SA takes part in (RFC 7296 section 1)."""

from __future__ import annotations

from caponier.doi.ikev2 import ExchangeType
from caponier.protocols.ike.v2.exchanges import auth, informational, rekey_child
from caponier.protocols.ike.v2.exchanges.delete import delete_ike_sa
from caponier.protocols.ike.v2.exchanges.liveness import liveness
from caponier.protocols.ike.v2.host import Repertoire

REPERTOIRE = Repertoire(
    responders={
        ExchangeType.IKE_AUTH: auth.respond,
        ExchangeType.CREATE_CHILD_SA: rekey_child.respond,
        ExchangeType.INFORMATIONAL: informational.respond,
    },
    liveness=liveness,
    delete=delete_ike_sa,
    rekey_child=rekey_child.rekey_child,
)
