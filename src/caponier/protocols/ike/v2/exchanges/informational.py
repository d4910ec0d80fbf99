"""INFORMATIONAL: Deletes, errors, signs of life (RFC 7296 sections 1.4, 2.4 and 2.21)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, NotifyType, ProtocolId
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Delete, Notify, Payload
from caponier.protocols.ike.v2.child_sa import ChildRecord
from caponier.protocols.ike.v2.exchanges import configuration, mobike
from caponier.protocols.ike.v2.explain import rejected
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.steps import Step

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

#: Errors that end the IKE SA wherever they come (sections 2.21.2 and 2.21.3).
_FATAL = (NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD)


@dataclass(frozen=True, slots=True)
class InformationalRequest:
    """``SK {[N,] [D,] [CP,] ...}``; any authentic reply is a good one."""

    content: tuple[Payload, ...] = ()

    @property
    def exchange(self) -> ExchangeType:
        return ExchangeType.INFORMATIONAL

    def payloads(self) -> Sequence[Payload]:
        return self.content

    def read(self, reply: Message) -> Message:
        return reply


def respond(sa: IkeSa, message: Message) -> Step[Answer]:
    """Answer what the peer tells: always, be it with an empty message (section 1.4)."""
    arrival = sa.arrival
    fatal = next((notify for notify in message.error_notifies if notify.type in _FATAL), None)
    if fatal is not None:
        return _close_for(sa, fatal)
    sa.reauthentication.heed(message.notify(NotifyType.AUTH_LIFETIME))  # RFC 4478 section 3: "at any time"
    deletes = message.all(Delete)
    if any(delete.protocol == ProtocolId.IKE for delete in deletes):
        return Answer((), lambda: sa.finish("the peer deleted the IKE SA"))
    configured = () if sa.connection is None else (yield from configuration.answer(sa, sa.connection, message))
    removed = [record for delete in deletes for record in _remove(sa, delete)]
    moved = mobike.answer(sa, message, arrival)
    return replace(moved, payloads=(*_deletes(removed), *configured, *moved.payloads))


def _deletes(removed: Sequence[ChildRecord]) -> Iterator[Delete]:
    """The other direction of what the peer deleted: one Delete for each protocol (section 1.4.1)."""
    for protocol in (ProtocolId.ESP, ProtocolId.AH):
        spis = tuple(each.child.spi_in.to_bytes(4) for each in removed if each.child.protocol == protocol)
        if spis:
            yield Delete(protocol, spis)


def _close_for(sa: IkeSa, notify: Notify) -> Answer:
    """The peer found something wrong with our last answer: it keeps no IKE SA (section 2.21.2)."""
    connection = sa.connection
    if connection is None:
        return Answer((), lambda: sa.finish("the peer refused the IKE SA"))
    error = rejected(notify, ExchangeType.IKE_AUTH, connection)
    return Answer((), lambda: sa.finish(error.message, error))


def _remove(sa: IkeSa, delete: Delete) -> list[ChildRecord]:
    """Take out the Child SAs that a Delete names by the peer's inbound SPIs, which are our outbound ones (section 1.4.1)."""
    named = {int.from_bytes(spi) for spi in delete.spis}
    found = [
        record for record in sa.children if record.child.protocol == delete.protocol and record.child.spi_out in named
    ]
    for spi_out in named - {record.child.spi_out for record in found}:
        sa.children.deleted_by_peer(delete.protocol, spi_out)
    for record in found:
        sa.children.let_go(record, "rekeyed" if record.successor is not None else "the peer deleted the Child SA")
    return found
