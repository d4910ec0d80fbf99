"""Delete: end an IKE SA, or one Child SA (RFC 7296 section 1.4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, ProtocolId
from caponier.errors import CaponierError
from caponier.protocols.ike.messages.payloads import Delete
from caponier.protocols.ike.v2.child_sa import ChildRecord
from caponier.protocols.ike.v2.exchanges.informational import InformationalRequest
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.steps import Step, request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


def delete_ike_sa(sa: IkeSa) -> Exchange:
    """Tell the peer that the IKE SA ends; answered or not, it does."""

    def failed(error: CaponierError) -> None:
        del error  # an SA that is to go is gone, whatever became of the message
        sa.finish("we deleted the IKE SA; the peer did not confirm")

    return Exchange(
        ExchangeType.INFORMATIONAL,
        _delete_ike_sa,
        failed,
        done=lambda: sa.finish("we deleted the IKE SA"),
    )


def _delete_ike_sa() -> Step[None]:
    yield from request(InformationalRequest((Delete(ProtocolId.IKE),)))


def decline_child_sa(sa: IkeSa, protocol: ProtocolId, spi: bytes) -> Exchange:
    """Tell the peer to drop a Child SA that it made and that we do not take.

    Where the peer's choice is unacceptable it still has the Child SA: "the initiator MUST delete the SA"
    (RFC 7296 section 1.3.1).

    Args:
        sa: the IKE SA.
        protocol: ESP or AH.
        spi: ours, 4 octets.
    """

    def body() -> Step[None]:
        yield from request(InformationalRequest((Delete(protocol, (spi,)),)))

    return Exchange(ExchangeType.INFORMATIONAL, body, sa.exchange_failed)


def delete_child_sa(sa: IkeSa, record: ChildRecord, reason: str) -> Exchange:
    """Stop using a Child SA, then tell the peer; does nothing where the peer was faster."""
    record.is_closing = True

    def body() -> Step[None]:
        if record not in sa.children:
            return
        sa.children.let_go(record, reason)
        spi = record.child.spi_in.to_bytes(4)
        yield from request(InformationalRequest((Delete(record.child.protocol, (spi,)),)))

    return Exchange(ExchangeType.INFORMATIONAL, body, sa.exchange_failed, child=record.child.name)
