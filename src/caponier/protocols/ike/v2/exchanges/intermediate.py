"""IKE_INTERMEDIATE: further key exchanges between IKE_SA_INIT and IKE_AUTH (RFC 9242, RFC 9370 section 2.2.2).

::

    HDR(IKE_INTERMEDIATE), SK {KEi(n)}  -->
                                        <--  HDR(IKE_INTERMEDIATE), SK {KEr(n)}

Each round has the keys that the one before it made. Nobody is authenticated yet: what is exchanged here becomes
authentic by the AUTH payloads, which cover it. How many rounds there are was agreed on in IKE_SA_INIT; a peer that wants
another one, or leaves one out, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, KeyExchangeId, NotifyType
from caponier.errors import WireError
from caponier.mechanisms.algorithms import catalog
from caponier.mechanisms.keys.schedule import derive_further_ike_keys
from caponier.octets import Secret
from caponier.protocols.ike.events import Role
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import KeyExchange, Notify, Payload
from caponier.protocols.ike.policy import Connection
from caponier.protocols.ike.v2.exchanges.init import InitResult
from caponier.protocols.ike.v2.explain import rejected
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.steps import Step, request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


@dataclass(frozen=True, slots=True)
class IntermediateRequest:
    """``SK {KEi(n)}``."""

    connection: Connection
    method: KeyExchangeId
    public: bytes

    @property
    def exchange(self) -> ExchangeType:
        return ExchangeType.IKE_INTERMEDIATE

    def payloads(self) -> Sequence[Payload]:
        return (KeyExchange(self.method, self.public),)

    def read(self, reply: Message) -> Message:
        """The reply, if it is more than a refusal."""
        if reply.optional(KeyExchange) is None:
            notify = next(iter(reply.error_notifies), Notify(NotifyType.INVALID_SYNTAX))
            raise rejected(notify, self.exchange, self.connection)
        return reply


def initiate(sa: IkeSa, connection: Connection, init: InitResult) -> Step[None]:
    """Do the additional key exchanges that were agreed on.

    Raises:
        PeerRejected: the peer refuses one.
        WireError: its answer is of another method, or no valid value.
    """
    rounds = sa.intermediate
    while rounds.remaining:
        method = rounds.remaining.pop(0)
        pair = catalog.key_exchange(method).generate(sa.host.rng)
        reply = yield from request(IntermediateRequest(connection, method, pair.public))
        public = require_method(reply.one(KeyExchange), method)
        _advance(sa, init, method, pair.derive_shared(public), received=reply)


def respond(sa: IkeSa, message: Message) -> Step[Answer]:
    """Answer a round; its keys are at work as soon as the answer is on its way.

    Raises:
        WireError: no further round was agreed on, it is of another method than is next, or no valid value.
    """
    yield from ()  # a responder is a generator, also where it needs nothing from the outside
    rounds, init = sa.intermediate, sa.require_init()
    if not rounds.remaining:
        raise WireError("IKE_INTERMEDIATE, and no key exchange is left to do", section="RFC 9370 section 2.2.2")
    method = rounds.remaining[0]
    public = require_method(message.one(KeyExchange), method)
    ours, shared = catalog.respond(method, sa.host.rng, public)
    rounds.remaining.pop(0)
    return Answer(
        (KeyExchange(method, ours),),
        then=lambda: _advance(sa, init, method, shared, received=message),
    )


def require_method(public: KeyExchange, method: KeyExchangeId) -> bytes:
    """The public value of a KE payload of this method.

    Raises:
        WireError: it is of another one.
    """
    if public.group != method:
        raise WireError(
            f"the KE payload is of {public.group}, and {method.name} is next",
            field="key exchange method",
            section="RFC 9370 section 2.2.2",
        )
    return public.public


def _advance(sa: IkeSa, init: InitResult, method: KeyExchangeId, shared: Secret, *, received: Message) -> None:
    """The round is complete: note what AUTH covers of it, and go on with new keys (RFC 9242 section 3.3.1)."""
    old, rounds = sa.protector, sa.intermediate
    sent = rounds.sent
    request_, response = (sent, received.covered) if sa.role is Role.INITIATOR else (received.covered, sent)
    rounds.extend(old, by_initiator=request_, by_responder=response)
    with shared as secret:
        keys = derive_further_ike_keys(old.suite, old.keys.sk_d, secret, init.ni, init.nr, sa.spi_i, sa.spi_r)
    sa.adopt_keys(old.suite, keys)
    sa.quantum = sa.quantum.with_methods(method)
    old.close()
