"""CREATE_CHILD_SA: further Child SAs on an established IKE SA (RFC 7296 section 1.3.1).

Rekeying a Child SA (section 1.3.3) is the same exchange with one notification more, see :mod:`.rekey_child`; rekeying the
IKE SA (section 1.3.2) is in :mod:`.rekey_ike`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, KeyExchangeId, NotifyType
from caponier.errors import (
    CaponierError,
    InvalidKe,
    PeerRejected,
    TemporaryFailure,
    UnexpectedMessage,
    WireError,
)
from caponier.mechanisms.algorithms import catalog
from caponier.mechanisms.algorithms.catalog import key_exchange
from caponier.mechanisms.algorithms.key_exchange import KeyPair
from caponier.mechanisms.authentication.evidence import PeerAuthenticated
from caponier.mechanisms.negotiation.proposals import Proposal
from caponier.mechanisms.negotiation.suites import child_suite
from caponier.octets import Secret
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import (
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)
from caponier.protocols.ike.policy import ChildPolicy, Connection
from caponier.protocols.ike.v2.child_sa import (
    Agreement,
    ChildRecord,
    Replacement,
    choose,
    install,
    offer,
    require_room,
    require_way,
)
from caponier.protocols.ike.v2.exchanges import configuration, followup
from caponier.protocols.ike.v2.exchanges.auth import accept_reply, answer_payloads, decline
from caponier.protocols.ike.v2.exchanges.init import NONCE_LENGTH, groups_of, require_nonce
from caponier.protocols.ike.v2.followups import Followup
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.steps import InboundSpi, Step, allocate_spi, request
from caponier.protocols.ike.v2.wish import mode_notifies, wish_of_request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

MAX_ATTEMPTS = 4  #: requests with different groups until we give up


@dataclass(frozen=True, slots=True)
class GroupRequired:
    """The peer wants the KE payload of another group."""

    group: KeyExchangeId


@dataclass(frozen=True, slots=True)
class CreateChildRequest:
    """``SK {[N(REKEY_SA),] [N(USE_TRANSPORT_MODE),] SA, Ni, [KEi,] TSi, TSr}``."""

    connection: Connection
    policy: ChildPolicy
    offered: tuple[Proposal, ...]
    ni: bytes
    group: KeyExchangeId | None
    pair: KeyPair | None
    replaced: ChildRecord | None

    @property
    def exchange(self) -> ExchangeType:
        return ExchangeType.CREATE_CHILD_SA

    def payloads(self) -> Sequence[Payload]:
        key = () if self.group is None or self.pair is None else (KeyExchange(self.group, self.pair.public),)
        return (
            *self._rekey(),
            *mode_notifies(self.policy.mode),
            SecurityAssociation(self.offered),
            Nonce(self.ni),
            *key,
            TrafficSelectorsInitiator(self.policy.local),
            TrafficSelectorsResponder(self.policy.remote),
        )

    def _rekey(self) -> tuple[Notify, ...]:
        """Names what is to be replaced by "the SPI the exchange initiator would expect in inbound ESP or AH packets"
        (section 1.3.3)."""
        if self.replaced is None:
            return ()
        old = self.replaced.child
        return (Notify(NotifyType.REKEY_SA, old.protocol, old.spi_in.to_bytes(4)),)

    def read(self, reply: Message) -> GroupRequired | Message:
        """Parse the reply, or the group that the peer wants."""
        wanted = reply.notify(NotifyType.INVALID_KE_PAYLOAD)
        if wanted is not None:
            group = KeyExchangeId(int.from_bytes(wanted.data[:2]))
            if group != self.group and group in groups_of(self.offered):
                return GroupRequired(group)
        return reply


def create_child(sa: IkeSa, policy: ChildPolicy) -> Exchange:
    """A further Child SA for one of our policies."""
    return Exchange(
        ExchangeType.CREATE_CHILD_SA,
        lambda: _initiate(sa, policy),
        lambda error: sa.exchange_failed(error, child=policy.name),
        child=policy.name,
    )


def _initiate(sa: IkeSa, policy: ChildPolicy) -> Step[None]:
    yield from negotiate(sa, policy)


def negotiate(sa: IkeSa, policy: ChildPolicy, replaced: ChildRecord | None = None) -> Step[Replacement]:
    """Ask for a Child SA, perhaps in place of another one, and install it.

    Raises:
        NoProposalChosen: AH, and there is a NAT on the way.
        TsUnacceptable: it is for internal addresses, and there are none.
        PeerRejected: the peer does not want it.
        PeerError: its answer is wrong.
        EngineError: the data plane does not take it.
    """
    peer = _proven(sa)
    require_way(sa, policy)
    rng = sa.host.rng
    policy = sa.internal.required(policy)
    with (yield from allocate_spi(policy.protocol, sa.give_back)) as spi:
        offered = offer(policy.proposals, spi)
        group: KeyExchangeId | None = next((each for each in groups_of(offered) if each != KeyExchangeId.NONE), None)
        for _ in range(MAX_ATTEMPTS):
            ni = rng(NONCE_LENGTH)
            pair = None if group is None else key_exchange(group).generate(rng)
            wanted = CreateChildRequest(sa.require_connection(peer), policy, offered, ni, group, pair, replaced)
            reply = yield from request(wanted)
            if isinstance(reply, GroupRequired):
                group = reply.group
                continue
            return (yield from _conclude(sa, peer, wanted, spi, reply))
    raise PeerRejected(
        "CREATE_CHILD_SA: the peer asks for ever new groups",
        notify=int(NotifyType.INVALID_KE_PAYLOAD),
        setting=f"child.{policy.name}.proposals",
    )


def _conclude(
    sa: IkeSa,
    peer: PeerAuthenticated,
    wanted: CreateChildRequest,
    spi: InboundSpi,
    reply: Message,
) -> Step[Replacement]:
    try:
        agreement = accept_reply(sa, reply, wanted.connection, wanted.policy, wanted.offered)
        _require_alive(sa, agreement)
        nr = reply.one(Nonce).data
        require_nonce(nr, sa.protector.suite)
        with (
            _shared(agreement, wanted.pair, wanted.group, reply) or nullcontext() as shared,
            (yield from _follow_up(sa, wanted, agreement, nr, reply)) as further,
        ):
            record = yield from install(
                sa,
                peer,
                agreement,
                spi,
                wanted.ni,
                nr,
                is_requester=True,
                shared=shared,
                further=further,
                replaced=wanted.replaced,
            )
    except TemporaryFailure:
        raise
    except CaponierError:
        decline(sa, spi, reply)
        raise
    return Replacement(record, min(wanted.ni, nr))


def _follow_up(sa: IkeSa, wanted: CreateChildRequest, agreement: Agreement, nr: bytes, reply: Message) -> Step[Secret]:
    """The additional key exchanges, unless the peer's replacement of the same Child SA goes first."""
    methods, old = child_suite(agreement.proposal).additional_methods, wanted.replaced
    if not methods:
        return Secret(b"")
    if old is None:
        return (yield from followup.initiate(sa, wanted.connection, methods, reply))
    is_lost = old.rival is not None and min(wanted.ni, nr) < old.rival
    old.is_following_up = True
    try:
        return (yield from followup.initiate(sa, wanted.connection, methods, reply, is_lost=is_lost))
    finally:
        old.is_following_up = False


def _require_alive(sa: IkeSa, agreement: Agreement) -> None:
    """Require that the peer has not deleted it again: that request may overtake the answer (section 2.25.1 has no word for it).

    Raises:
        PeerRejected: it has; a rekeying is tried again later.
    """
    proposal = agreement.proposal
    if sa.children.was_deleted_early(proposal.protocol, int.from_bytes(proposal.spi)):
        raise PeerRejected(
            "the peer deleted the Child SA before its answer that made it came",
            notify=int(NotifyType.TEMPORARY_FAILURE),
            hint="bring it up again if it is still wanted",
        )


def _shared(agreement: Agreement, pair: KeyPair | None, group: KeyExchangeId | None, message: Message) -> Secret | None:
    """g^ir where a key exchange was agreed on (section 1.3.1)."""
    chosen = child_suite(agreement.proposal).key_exchange
    if chosen is None:
        return None
    public = message.optional(KeyExchange)
    if pair is None or chosen != group or public is None or public.group != chosen:
        raise WireError(
            f"the peer chose {chosen.name}, and its KE payload is not of it",
            field="key exchange method",
            section="RFC 7296 section 1.3.1",
        )
    return pair.derive_shared(public.public)


def respond(sa: IkeSa, message: Message) -> Step[Answer]:
    """Make a Child SA that the peer asks for.

    Raises:
        NoAdditionalSas: there are too many already.
        NegotiationFailed: nothing in common.
    """
    require_room(sa)
    accepted = {each.name: each.proposals for each in sa.require_connection(_proven(sa)).children}
    answer, _ = yield from accept_child(sa, message, accepted, lambda _: None)
    return answer


def accept_child(
    sa: IkeSa,
    message: Message,
    accepted: Mapping[str, tuple[Proposal, ...]],
    installed: Callable[[ChildRecord], None],
    replaced: ChildRecord | None = None,
) -> Step[tuple[Answer, bytes]]:
    """Choose, install, answer; where further key exchanges were agreed on, install after the last of them.

    Args:
        sa: the IKE SA.
        message: the peer's request.
        accepted: what we accept for each policy that it may be for, by its name.
        installed: is told of the new Child SA.
        replaced: the Child SA that the new one is to replace.

    Returns:
        The answer, and the lower one of the two nonces.

    Raises:
        NegotiationFailed: nothing in common.
    """
    peer = _proven(sa)
    connection = sa.require_connection(peer)
    offered = message.one(SecurityAssociation).proposals
    wish = wish_of_request(sa, message)
    ni = message.one(Nonce).data
    require_nonce(ni, sa.protector.suite)
    configured = yield from configuration.answer(sa, connection, message)
    agreement = choose(sa.internal.applied(connection), offered, wish, accepted)
    methods = child_suite(agreement.proposal).additional_methods
    if methods:
        sa.followups.require_room()
    payloads, shared = _answer_key_exchange(sa, agreement, message)
    nr, secret = sa.host.rng(NONCE_LENGTH), shared or Secret(b"")
    protocol = agreement.policy.protocol
    spi = yield from allocate_spi(protocol, sa.give_back)

    def finish(further: Secret) -> Step[Answer]:
        with secret, spi:
            _require_replaceable(sa, replaced)
            record = yield from install(
                sa, peer, agreement, spi, ni, nr, is_requester=False, shared=secret, further=further, replaced=replaced
            )
            installed(record)
            return Answer()

    def abandon() -> None:
        with secret, spi:
            if replaced is not None:
                replaced.rival = None

    answer = (*configured, *answer_payloads(agreement, spi, Nonce(nr), *payloads))
    if methods:
        link = followup.announce(sa, Followup(deque(methods), finish, abandon))
        return Answer((*answer, link)), min(ni, nr)
    yield from finish(Secret(b""))
    return Answer(answer), min(ni, nr)


def _require_replaceable(sa: IkeSa, replaced: ChildRecord | None) -> None:
    """Require that what is to be replaced is there still; key exchanges take their time.

    Raises:
        TemporaryFailure: it is about to go, or has been replaced.
    """
    if replaced is not None and not (replaced.is_current and replaced in sa.children):
        raise TemporaryFailure("the Child SA that the peer rekeys is about to go")


def _answer_key_exchange(
    sa: IkeSa, agreement: Agreement, message: Message
) -> tuple[tuple[KeyExchange, ...], Secret | None]:
    """Our KE payload and g^ir, where the chosen proposal has a group.

    Raises:
        InvalidKe: the peer's KE payload is missing or of another group (section 1.3).
    """
    group = child_suite(agreement.proposal).key_exchange
    if group is None:
        return (), None
    public = message.optional(KeyExchange)
    if public is None or public.group != group:
        raise InvalidKe(f"the KE payload is not of {group.name}, which we choose", wanted=int(group))
    ours, shared = catalog.respond(group, sa.host.rng, public.public)
    return (KeyExchange(group, ours),), shared


def _proven(sa: IkeSa) -> PeerAuthenticated:
    if sa.peer is None:
        raise UnexpectedMessage("the peer has not proved who it is")
    return sa.peer
