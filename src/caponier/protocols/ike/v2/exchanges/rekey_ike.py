"""Rekeying an IKE SA: a successor with new keys inherits the Child SAs, then the old one goes (RFC 7296 sections 1.3.2, 2.8.2, 2.18 and 2.25.2).

Theory of operation. A CREATE_CHILD_SA exchange on the old IKE SA makes the new one; who asked is its original initiator,
whoever that was of the old one, and its message ids begin at 0 in both directions. Then it inherits all Child SAs, and
who asked deletes the old one.

Where both sides want it at the same time there are two successors for a moment, and the Child SAs stay where they are
until it is known which of them lives: the one of the exchange with the lowest of the four nonces is deleted by who
began that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from caponier.mechanisms.algorithms.catalog import key_exchange, prf
from caponier.mechanisms.algorithms.key_exchange import KeyPair
from caponier.mechanisms.algorithms.suites import IkeSuite
from caponier.mechanisms.keys.schedule import derive_rekeyed_ike_keys
from caponier.mechanisms.negotiation.proposals import Proposal, accept, format_proposals, select
from caponier.mechanisms.negotiation.suites import ike_suite
from caponier.octets import Secret
from caponier.protocols.ike.events import Role
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import KeyExchange, Nonce, Notify, Payload, SecurityAssociation
from caponier.protocols.ike.v2.exchanges import followup
from caponier.protocols.ike.v2.exchanges.init import NONCE_LENGTH, GroupRequired, groups_of, require_nonce
from caponier.protocols.ike.v2.explain import rejected
from caponier.protocols.ike.v2.followups import Followup
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.steps import Step, request
from caponier.protocols.ike.v2.succession import Heir
from caponier.protocols.ike.v2.timers import REFUSED_RETRY_SECONDS, REKEY_RETRY_SECONDS

if TYPE_CHECKING:
    from caponier.protocols.ike.policy import Connection
    from caponier.protocols.ike.v2.ike_sa import IkeSa

MAX_ATTEMPTS = 4  #: requests with different groups until we give up
_SPI_OCTETS = 8
_NOT_NOW = (NotifyType.TEMPORARY_FAILURE, NotifyType.STATE_NOT_FOUND)


@dataclass(frozen=True, slots=True)
class RekeyIkeRequest:
    """``SK {SA, Ni, KEi}``; our new SPI stands in each proposal."""

    connection: Connection
    offered: tuple[Proposal, ...]
    ni: bytes
    group: KeyExchangeId
    pair: KeyPair

    @property
    def exchange(self) -> ExchangeType:
        return ExchangeType.CREATE_CHILD_SA

    def payloads(self) -> Sequence[Payload]:
        return (SecurityAssociation(self.offered), Nonce(self.ni), KeyExchange(self.group, self.pair.public))

    def read(self, reply: Message) -> GroupRequired | Message:
        """Parse the reply, or the group that the peer wants.

        Raises:
            PeerRejected: it refuses.
        """
        wanted = reply.notify(NotifyType.INVALID_KE_PAYLOAD)
        if wanted is not None:
            group = KeyExchangeId(int.from_bytes(wanted.data[:2]))
            if group != self.group and group in groups_of(self.offered):
                return GroupRequired(group)
        if reply.optional(SecurityAssociation) is None:
            notify = next(iter(reply.error_notifies), Notify(NotifyType.NO_PROPOSAL_CHOSEN))
            raise rejected(notify, self.exchange, self.connection, offered=format_proposals(self.offered))
        return reply


def rekey_ike(sa: IkeSa) -> Exchange:
    """Give an IKE SA a successor; does nothing where the peer was faster."""
    return Exchange(ExchangeType.CREATE_CHILD_SA, lambda: _initiate(sa), lambda error: _failed(sa, error))


def _initiate(sa: IkeSa) -> Step[None]:
    if sa.phase is not Phase.ESTABLISHED or sa.connection is None:
        return
    sa.phase = Phase.REKEYING
    try:
        ours = yield from _negotiate(sa, sa.connection)
    except CaponierError:
        _without_ours(sa)
        raise
    sa.succession.conclude(ours)


def _without_ours(sa: IkeSa) -> None:
    """Nothing came of our exchange: there is the peer's successor, or none."""
    if sa.phase is Phase.REKEYING:
        sa.phase = Phase.ESTABLISHED
        sa.succession.settle_for_theirs()


def _negotiate(sa: IkeSa, connection: Connection) -> Step[Heir]:
    spi = sa.host.fresh_spi()
    offered = tuple(
        replace(proposal, number=number, spi=spi) for number, proposal in enumerate(connection.proposals, start=1)
    )
    group = groups_of(offered)[0]
    for _ in range(MAX_ATTEMPTS):
        ni, pair = sa.host.rng(NONCE_LENGTH), key_exchange(group).generate(sa.host.rng)
        reply = yield from request(RekeyIkeRequest(connection, offered, ni, group, pair))
        if not isinstance(reply, GroupRequired):
            return (yield from _accept(sa, offered, spi, ni, group, pair, reply))
        group = reply.group
    raise PeerRejected(
        "CREATE_CHILD_SA: the peer asks for ever new groups",
        notify=int(NotifyType.INVALID_KE_PAYLOAD),
        setting="proposals",
    )


def _accept(
    sa: IkeSa,
    offered: tuple[Proposal, ...],
    spi: bytes,
    ni: bytes,
    group: KeyExchangeId,
    pair: KeyPair,
    reply: Message,
) -> Step[Heir]:
    chosen = accept(reply.one(SecurityAssociation).proposals, offered)
    suite, public, nr = ike_suite(chosen), reply.one(KeyExchange), reply.one(Nonce).data
    _require_spi(chosen)
    require_nonce(nr, suite)
    if suite.key_exchange != group or public.group != group:
        raise WireError(
            f"the peer answers with {public.group} where we sent {group}",
            field="key exchange method",
            section="RFC 7296 section 1.3.2",
        )
    with (
        pair.derive_shared(public.public) as shared,
        (yield from _follow_up(sa, suite.additional_methods, min(ni, nr), reply)) as further,
    ):
        return _heir(sa, Role.INITIATOR, suite, (shared, further), (ni, nr), (spi, chosen.spi))


def _follow_up(sa: IkeSa, methods: Sequence[KeyExchangeId], lowest_nonce: bytes, reply: Message) -> Step[Secret]:
    """The additional key exchanges, unless the peer's successor of the same IKE SA goes first."""
    connection, succession = sa.connection, sa.succession
    if not methods or connection is None:
        return Secret(b"")
    is_lost = succession.rival is not None and lowest_nonce < succession.rival
    succession.is_following_up = True
    try:
        return (yield from followup.initiate(sa, connection, methods, reply, is_lost=is_lost))
    finally:
        succession.is_following_up = False


def respond(sa: IkeSa, message: Message) -> Step[Answer]:
    """Make a successor that the peer asks for.

    Raises:
        TemporaryFailure: an exchange of ours is under way (section 2.25.2).
        NoProposalChosen: nothing in common; no proposal of ours is without a key exchange (section 2.18).
        InvalidKe: the KE payload is of another group than we choose.
    """
    yield from ()  # a responder is a generator, also where it needs nothing from the outside
    connection = sa.connection
    if connection is None:
        raise UnexpectedMessage("the peer has not proved who it is")
    _require_quiet(sa)
    if sa.succession.is_following_up:  # RFC 9370 section 2.2.4
        raise TemporaryFailure("the peer rekeys the IKE SA, and our own exchange for that goes on")
    if sa.succession.rival is not None:
        raise TemporaryFailure("the peer rekeys the IKE SA, which has its successor already")
    chosen = select(message.one(SecurityAssociation).proposals, connection.proposals)
    _require_spi(chosen)
    suite, public, ni = ike_suite(chosen), message.one(KeyExchange), message.one(Nonce).data
    if public.group != suite.key_exchange:
        raise InvalidKe(f"the KE payload is of {public.group}", wanted=int(suite.key_exchange))
    require_nonce(ni, suite)
    spi, nr = sa.host.fresh_spi(), sa.host.rng(NONCE_LENGTH)
    ours, secret = catalog.respond(suite.key_exchange, sa.host.rng, public.public)

    def finish(further: Secret) -> Step[Answer]:
        yield from ()
        _require_quiet(sa)
        with secret as shared:
            theirs = _heir(sa, Role.RESPONDER, suite, (shared, further), (ni, nr), (chosen.spi, spi))
        return Answer((), lambda: sa.succession.offered(theirs))

    def abandon() -> None:
        secret.wipe()
        sa.succession.pending = None

    answer = (SecurityAssociation((replace(chosen, spi=spi),)), Nonce(nr), KeyExchange(suite.key_exchange, ours))
    if suite.additional:
        sa.followups.require_room()
        sa.succession.pending = min(ni, nr)
        pending = Followup(deque(suite.additional_methods), finish, abandon, rekeys_ike=True)
        return Answer((*answer, followup.announce(sa, pending)))
    made = yield from finish(Secret(b""))
    return replace(made, payloads=answer)


def _require_quiet(sa: IkeSa) -> None:
    """Require that no exchange of ours but the rekeying of the IKE SA is under way (section 2.25.2).

    Raises:
        TemporaryFailure: one is.
    """
    if sa.phase is Phase.ESTABLISHED and sa.requests.is_running:
        raise TemporaryFailure("the peer rekeys the IKE SA while a request of ours is out: its answer would be lost")


def _heir(
    sa: IkeSa,
    role: Role,
    suite: IkeSuite,
    secrets: tuple[Secret, Secret],
    nonces: tuple[bytes, bytes],
    spis: tuple[bytes, bytes],
) -> Heir:
    """The successor, with its keys (section 2.18).

    Args:
        sa: the old one.
        role: ours in the exchange.
        suite: what was negotiated.
        secrets: of the key exchange, and of the additional ones.
        nonces: the new initiator's, then the new responder's.
        spis: the same.
    """
    shared, further = secrets
    old = sa.protector
    keys = derive_rekeyed_ike_keys(suite, prf(old.suite.prf), old.keys.sk_d, shared, *nonces, *spis, further)
    heir = sa.host.succeed(sa, role, spis, suite, keys)
    heir.quantum = sa.quantum.of_successor(suite.key_exchange, *suite.additional_methods)
    return Heir(heir, min(nonces))


def _require_spi(chosen: Proposal) -> None:
    if len(chosen.spi) != _SPI_OCTETS or not any(chosen.spi):
        raise WireError(
            "a proposal for a new IKE SA without an SPI of 8 octets", field="SPI", section="RFC 7296 section 1.3.2"
        )


def _failed(sa: IkeSa, error: CaponierError) -> None:
    """A successor that cannot be had now is asked for again; the old keys go on."""
    is_later = isinstance(error, TemporaryFailure) or (isinstance(error, PeerRejected) and error.notify in _NOT_NOW)
    if not is_later:
        sa.exchange_failed(error)
    if sa.phase is Phase.ESTABLISHED:
        sa.rekey_ike_later(REKEY_RETRY_SECONDS if is_later else REFUSED_RETRY_SECONDS)
