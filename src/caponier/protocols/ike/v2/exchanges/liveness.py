"""Liveness: ask a silent peer for a sign of life (RFC 7296 section 2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType
from caponier.protocols.ike.effects import CountReceived
from caponier.protocols.ike.v2.exchanges import mobike
from caponier.protocols.ike.v2.exchanges.informational import InformationalRequest
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.steps import Perform, Step, request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


def liveness(sa: IkeSa) -> Exchange:
    """An empty INFORMATIONAL request, unless packets came: "receipt of a fresh cryptographically protected message on an
    IKE SA or any of its Child SAs ensures liveness". A peer that never answers it is dead, and the IKE SA with it."""
    return Exchange(ExchangeType.INFORMATIONAL, lambda: _ask_if_silent(sa), sa.exchange_failed)


def probe(sa: IkeSa) -> Exchange:
    """The same, whatever packets came: somebody said that the peer has forgotten the IKE SA."""
    return Exchange(ExchangeType.INFORMATIONAL, lambda: _ask(sa), sa.exchange_failed)


def _ask_if_silent(sa: IkeSa) -> Step[None]:
    children = tuple((record.child.protocol, record.child.spi_in) for record in sa.children)
    received: int = yield Perform(CountReceived(children))
    if not sa.pulse.counted(received):
        yield from _ask(sa)


def _ask(sa: IkeSa) -> Step[None]:
    reply = yield from request(InformationalRequest(mobike.detection(sa)))
    mobike.compare(sa, reply)
