"""Liveness: ask a silent peer for a sign of life (RFC 7296 section 2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType
from caponier.protocols.ike.v2.exchanges.informational import InformationalRequest
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.steps import Step, request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


def liveness(sa: IkeSa) -> Exchange:
    """An empty INFORMATIONAL request; a peer that never answers it is dead, and the IKE SA with it."""
    return Exchange(ExchangeType.INFORMATIONAL, _ask, sa.exchange_failed)


def _ask() -> Step[None]:
    yield from request(InformationalRequest())
