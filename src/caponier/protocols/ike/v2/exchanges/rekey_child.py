"""Rekeying a Child SA: another one takes over, then the old one goes (RFC 7296 sections 1.3.3, 2.8, 2.8.1 and 2.25.1).

Theory of operation. Who wants new keys asks for a Child SA that replaces the old one (REKEY_SA), sends on it as soon as
it is installed, and deletes the old one. The other side receives on the new one at once, but goes on sending on the old
one until that is deleted: by then the first is surely ready. What is deleted sends nothing more and still receives for a
few seconds, for what overtook nobody on its way. So no packet is lost.

Where both sides want it at the same time there are two new ones for a moment. Both sides know the four nonces, and the
exchange with the lowest one has lost: who began it deletes what it made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import CaponierError, ChildSaNotFound, PeerRejected, TemporaryFailure
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.v2.child_sa import ChildRecord, Replacement, require_room
from caponier.protocols.ike.v2.exchanges.create_child import accept_child, create_child, negotiate
from caponier.protocols.ike.v2.exchanges.delete import delete_child_sa
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.steps import Step
from caponier.protocols.ike.v2.timers import (
    FRESH_RETRY_SECONDS,
    FRESH_SECONDS,
    REFUSED_RETRY_SECONDS,
    REKEY_RETRY_SECONDS,
)

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

_NOT_NOW = (NotifyType.TEMPORARY_FAILURE, NotifyType.STATE_NOT_FOUND)


def rekey_child(sa: IkeSa, old: ChildRecord) -> Exchange:
    """Replace a Child SA; does nothing where the peer was faster."""
    return Exchange(
        ExchangeType.CREATE_CHILD_SA,
        lambda: _initiate(sa, old),
        lambda error: _failed(sa, old, error),
        child=old.child.name,
        replaced=old,
    )


def _initiate(sa: IkeSa, old: ChildRecord) -> Step[None]:
    if not (old.is_current and old in sa.children):
        return
    old.is_rekeying = True
    try:
        made = yield from negotiate(sa, sa.children.policy_of(old), old)
    finally:
        old.is_rekeying = False
    _conclude(sa, old, made)


def _conclude(sa: IkeSa, old: ChildRecord, made: Replacement) -> None:
    """Our replacement is installed: delete what it replaces, or itself where it is one too many."""
    if old.is_closing:
        sa.requests.enqueue(delete_child_sa(sa, made.record, "it was brought down while it was being rekeyed"))
    elif old.rival is not None and is_redundant(made, old.rival):
        sa.requests.enqueue(delete_child_sa(sa, made.record, "both sides rekeyed at once; the peer's stays"))
    else:
        old.successor = made.record
        if old in sa.children:
            sa.requests.enqueue(delete_child_sa(sa, old, "rekeyed"))


def is_redundant(ours: Replacement, rival: bytes) -> bool:
    """Whether of two replacements ours goes, by the lowest nonce of the rival exchange: "the SA created with the lowest of the four nonces ... SHOULD be closed by
    the endpoint that created it" (section 2.8.1)."""
    return ours.lowest_nonce < rival


def _failed(sa: IkeSa, old: ChildRecord, error: CaponierError) -> None:
    """What "not now" and "there is none" mean (section 2.25.1), where the peer has not replaced it itself."""
    notify = error.notify if isinstance(error, PeerRejected) else None
    is_later = notify in _NOT_NOW or isinstance(error, TemporaryFailure)
    if not is_later and notify != NotifyType.CHILD_SA_NOT_FOUND:
        sa.exchange_failed(error, child=old.child.name)
        if old.is_current and old in sa.children:
            sa.children.rekey_later(old, REFUSED_RETRY_SECONDS)
    elif not (old.is_current and old in sa.children):
        return
    elif is_later:
        sa.children.rekey_later(old, REKEY_RETRY_SECONDS)
    elif sa.now < old.since + FRESH_SECONDS:
        sa.children.rekey_later(old, FRESH_RETRY_SECONDS)  # our answer that made it may still be on its way to the peer
    else:
        sa.children.remove(old, "the peer has it no more")
        sa.requests.enqueue(create_child(sa, sa.children.policy_of(old)))


def respond(sa: IkeSa, message: Message) -> Step[Answer]:
    """Make a Child SA in place of the one that the peer names.

    Raises:
        ChildSaNotFound: we have none of the SPI that the peer names.
        TemporaryFailure: we are deleting it, or it has its successor already (section 2.25.1).
        NegotiationFailed: nothing in common.
    """
    old = _named(sa, message)
    require_room(sa, is_rekeying=True)
    if old.is_following_up:  # RFC 9370 section 2.2.4
        raise TemporaryFailure("the peer rekeys a Child SA, and our own exchange for that goes on")
    policy = sa.children.policy_of(old)

    def installed(record: ChildRecord) -> None:
        old.successor = record

    answer, lowest_nonce = yield from accept_child(sa, message, {policy.name: policy.proposals}, installed, old)
    old.rival = lowest_nonce
    return answer


def _named(sa: IkeSa, message: Message) -> ChildRecord:
    """The Child SA that the peer calls by the SPI on which it receives."""
    rekey = next(each for each in message.all(Notify) if each.type == NotifyType.REKEY_SA)
    spi_out = int.from_bytes(rekey.spi)
    for old in sa.children:
        if (old.child.protocol, old.child.spi_out) == (rekey.protocol, spi_out):
            if not old.is_current:
                raise TemporaryFailure(f"the peer rekeys the Child SA of SPI {spi_out:#010x}, which is about to go")
            return old
    raise ChildSaNotFound(
        f"the peer rekeys a Child SA of SPI {spi_out:#010x}, which we do not have",
        protocol=int(rekey.protocol),
        spi=rekey.spi,
    )
