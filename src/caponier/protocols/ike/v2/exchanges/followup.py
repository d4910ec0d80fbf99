"""IKE_FOLLOWUP_KE: further key exchanges after CREATE_CHILD_SA (RFC 9370 section 2.2.4).

::

    HDR(CREATE_CHILD_SA), SK {SA, Ni, KEi, ...}  -->
                              <--  HDR(CREATE_CHILD_SA), SK {SA, Nr, KEr, ..., N(ADDITIONAL_KEY_EXCHANGE, link1)}
    HDR(IKE_FOLLOWUP_KE), SK {KEi(1), N(ADDITIONAL_KEY_EXCHANGE, link1)}  -->
                              <--  HDR(IKE_FOLLOWUP_KE), SK {KEr(1), N(ADDITIONAL_KEY_EXCHANGE, link2)}
    HDR(IKE_FOLLOWUP_KE), SK {KEi(2), N(ADDITIONAL_KEY_EXCHANGE, link2)}  -->
                              <--  HDR(IKE_FOLLOWUP_KE), SK {KEr(2)}

The SA is made when the last one is done, of all the secrets together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, KeyExchangeId, NotifyType
from caponier.errors import TemporaryFailure, WireError
from caponier.mechanisms.algorithms import catalog
from caponier.octets import Secret
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import KeyExchange, Notify, Payload
from caponier.protocols.ike.policy import Connection
from caponier.protocols.ike.v2.exchanges.intermediate import require_method
from caponier.protocols.ike.v2.explain import rejected
from caponier.protocols.ike.v2.followups import Followup
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.steps import Step, request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

_SECTION = "RFC 9370 section 2.2.4"


@dataclass(frozen=True, slots=True)
class FollowupRequest:
    """``SK {KEi(n), N(ADDITIONAL_KEY_EXCHANGE, link)}``."""

    connection: Connection
    method: KeyExchangeId
    public: bytes
    link: bytes

    @property
    def exchange(self) -> ExchangeType:
        return ExchangeType.IKE_FOLLOWUP_KE

    def payloads(self) -> Sequence[Payload]:
        link = Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, data=self.link)
        return (KeyExchange(self.method, self.public), link)

    def read(self, reply: Message) -> Message:
        """The reply, if it is more than a refusal."""
        if reply.optional(KeyExchange) is None:
            notify = next(iter(reply.error_notifies), Notify(NotifyType.STATE_NOT_FOUND))
            raise rejected(notify, self.exchange, self.connection)
        return reply


def initiate(
    sa: IkeSa, connection: Connection, methods: Sequence[KeyExchangeId], reply: Message, *, is_lost: bool = False
) -> Step[Secret]:
    """Do the key exchanges that were agreed on in CREATE_CHILD_SA; returns ``SK(1) | ... | SK(n)``.

    Args:
        sa: the IKE SA.
        connection: ours.
        methods: in order.
        reply: to CREATE_CHILD_SA.
        is_lost: whether the peer's exchange for the same purpose prevails: then nothing follows (section 2.2.4).

    Raises:
        TemporaryFailure: it is lost.
        PeerRejected: the peer refuses, or has forgotten what it is about (STATE_NOT_FOUND).
        WireError: its answer is of another method, or no valid value, or has no link.
    """
    if is_lost:
        raise TemporaryFailure("both sides rekeyed at once, and the peer's exchange goes on")
    further = Secret(b"")
    for method in methods:
        pair = catalog.key_exchange(method).generate(sa.host.rng)
        reply = yield from request(FollowupRequest(connection, method, pair.public, _link(reply)))
        with pair.derive_shared(require_method(reply.one(KeyExchange), method)) as shared, further as before:
            further = Secret(before.expose() + shared.expose())
    return further


def _link(reply: Message) -> bytes:
    """The responder "MUST include this notification ... in case the next IKE_FOLLOWUP_KE exchange is expected"."""
    notify = reply.notify(NotifyType.ADDITIONAL_KEY_EXCHANGE)
    if notify is None:
        raise WireError(
            "the peer agreed on a further key exchange, and gives no link to it",
            field="ADDITIONAL_KEY_EXCHANGE",
            section=_SECTION,
        )
    return notify.data


def respond(sa: IkeSa, message: Message) -> Step[Answer]:
    """Answer a round; after the last one the SA is made.

    Raises:
        StateNotFound: the link leads nowhere.
        TemporaryFailure: a Child SA, and the IKE SA is being replaced meanwhile.
        WireError: another method than is next, or no valid value.
    """
    notify = message.notify(NotifyType.ADDITIONAL_KEY_EXCHANGE)
    followup = sa.followups.take(None if notify is None else notify.data)
    try:
        _require_time(sa, followup)
        method = followup.remaining[0]
        public = require_method(message.one(KeyExchange), method)
        ours, secret = catalog.respond(method, sa.host.rng, public)
        followup.remaining.popleft()
        with secret as shared, followup.further as before:
            followup.further = Secret(before.expose() + shared.expose())
        answer = KeyExchange(method, ours)
        if followup.remaining:
            link = sa.followups.keep(followup)
            return Answer((answer, Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, data=link)))
        made = yield from _finish(followup)
    except BaseException:  # GeneratorExit too: the IKE SA may end while an SPI or an SA is on its way
        followup.close()
        raise
    return replace(made, payloads=(answer, *made.payloads))


def _require_time(sa: IkeSa, followup: Followup) -> None:
    """Child SAs are not made while the IKE SA is replaced (RFC 7296 section 2.25.2)."""
    if sa.phase is not Phase.ESTABLISHED and not followup.rekeys_ike:
        raise TemporaryFailure("the IKE SA is being replaced")


def _finish(followup: Followup) -> Step[Answer]:
    with followup.further as further:
        return (yield from followup.finish(further))


def announce(sa: IkeSa, followup: Followup) -> Notify:
    """``N(ADDITIONAL_KEY_EXCHANGE, link)`` of our answer to CREATE_CHILD_SA."""
    return Notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, data=sa.followups.keep(followup))
