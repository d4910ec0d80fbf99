"""MOBIKE: the messages by which the ends of an IKE SA move (RFC 4555). When, and where to, is :mod:`..movement`'s business."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, NotifyType
from caponier.errors import UnexpectedNat, WireError
from caponier.protocols.ike.events import Role
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Notify, Payload
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection, IpAddress
from caponier.protocols.ike.v2.explain import rejected
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.movement import Movement, Moves
from caponier.protocols.ike.v2.nat import Nat, detection_hash, detection_notifies, forces
from caponier.protocols.ike.v2.steps import Step, request

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

COOKIE_OCTETS = 16  #: of our COOKIE2
_COOKIE_SIZES = range(8, 65)  #: octets, section 4.2.5
MOST_ATTEMPTS = 7  #: updates until we believe that there is a NAT: as many as transmissions of a request, section 3.9

_ADDITIONAL: Mapping[int, tuple[Callable[[bytes], IpAddress], int]] = MappingProxyType(
    {
        NotifyType.ADDITIONAL_IP4_ADDRESS: (IPv4Address, 4),
        NotifyType.ADDITIONAL_IP6_ADDRESS: (IPv6Address, 16),
    }
)
_REFUSALS = (NotifyType.UNACCEPTABLE_ADDRESSES, NotifyType.UNEXPECTED_NAT_DETECTED)


# -- within IKE_AUTH


def offer(sa: IkeSa, connection: Connection) -> tuple[Notify, ...]:
    """``N(MOBIKE_SUPPORTED), [N(ADDITIONAL_*_ADDRESS)+], [N(NO_NATS_ALLOWED)]`` of our side of IKE_AUTH (sections 3.2 to 3.4)."""
    if not connection.moves:
        return ()
    others = [each for each in connection.local.addresses if each != sa.path.local]
    present = [each for each in others if sa.host.addresses is None or each in sa.host.addresses]
    prohibition = _prohibition(sa) if sa.role is Role.INITIATOR else ()
    return (Notify(NotifyType.MOBIKE_SUPPORTED), *map(_additional, present), *prohibition)


def heed(sa: IkeSa, connection: Connection, message: Message) -> None:
    """Both sides may move from now on, if both said so.

    Raises:
        UnexpectedNat: the initiator said from where to where it sends, and something on the way has changed it.
    """
    if sa.role is Role.RESPONDER and not _is_as_sent(message, sa.path):
        raise UnexpectedNat(
            f"something on the way changes addresses: the peer did not send from {sa.path.remote} port {sa.path.remote_port}",
            section="RFC 4555 section 3.9",
            hint="the peer allows no NAT between us; let it use NAT traversal, or take the NAT away",
        )
    if connection.moves and message.notify(NotifyType.MOBIKE_SUPPORTED) is not None:
        moves = Moves(update=update, announce=announce, check=check, explore=explore)
        sa.movement = Movement(sa, moves, leads=sa.role is Role.INITIATOR)
        sa.movement.told_addresses(_addresses(message) or (), sa.path)


# -- requests


@dataclass(frozen=True, slots=True)
class MovingRequest:
    """``SK {[N(UPDATE_SA_ADDRESSES),] [N(ADDITIONAL_*_ADDRESS)+,] [N(NAT_DETECTION_*),] [N(NO_NATS_ALLOWED),] N(COOKIE2)}``.

    Attributes:
        notifies: what it says, the cookie apart.
        cookie: of COOKIE2, which the peer sends back, as only who has seen the request can.
    """

    notifies: tuple[Notify, ...]
    cookie: bytes

    @property
    def exchange(self) -> ExchangeType:
        return ExchangeType.INFORMATIONAL

    def payloads(self) -> Sequence[Payload]:
        return (*self.notifies, Notify(NotifyType.COOKIE2, data=self.cookie))

    def read(self, reply: Message) -> Message:
        """The reply, if it has our cookie.

        Raises:
            WireError: "If the values do not match, the IKE_SA MUST be closed" (section 3.7).
        """
        found = reply.notify(NotifyType.COOKIE2)
        if found is None or not hmac.compare_digest(found.data, self.cookie):
            raise WireError(
                "the peer's answer to a return routability check has not the cookie of the request",
                field="COOKIE2",
                section="RFC 4555 section 3.7",
            )
        return reply


def update(sa: IkeSa) -> Exchange:
    """Tell the peer where we are now, until it knows (section 3.5)."""
    return Exchange(ExchangeType.INFORMATIONAL, lambda: _update(sa), sa.exchange_failed)


def _update(sa: IkeSa) -> Step[None]:
    movement, attempts = sa.movement, 0
    while movement is not None and movement is sa.movement and movement.is_pending:
        changes, addresses = movement.changes, movement.own_addresses
        told = (Notify(NotifyType.UPDATE_SA_ADDRESSES), *_own(movement), *detection(sa), *_prohibition(sa))
        reply = yield from request(MovingRequest(told, sa.host.rng(COOKIE_OCTETS)))
        refusal = next((each for each in reply.error_notifies if each.type in _REFUSALS), None)
        if movement.changes != changes or movement is not sa.movement:
            continue  # somewhere else by now: the answer is about where we were
        attempts += 1
        if refusal is None:
            nat = Nat.detect(reply, sa.path, is_forced=forces(sa.connection))
            movement.announced = addresses
            movement.settle(nat if nat.is_supported else None, _digest(reply))
        elif refusal.type == NotifyType.UNEXPECTED_NAT_DETECTED and attempts < MOST_ATTEMPTS:
            continue  # whoever could change one packet is not to keep us from the path (section 3.9)
        elif not movement.refused() and sa.connection is not None:
            raise rejected(refusal, ExchangeType.INFORMATIONAL, sa.connection)


def announce(sa: IkeSa) -> Exchange:
    """Tell the peer which addresses we have, until it knows (section 3.6)."""
    return Exchange(ExchangeType.INFORMATIONAL, lambda: _announce(sa), sa.exchange_failed)


def _announce(sa: IkeSa) -> Step[None]:
    while (movement := sa.movement) is not None:
        changes, addresses = movement.changes, movement.own_addresses
        told = (*_own(movement), *_prohibition(sa))
        yield from request(MovingRequest(told, sa.host.rng(COOKIE_OCTETS)))
        movement.announced = addresses
        if (movement.changes, movement.own_addresses) == (changes, addresses):
            return


def check(sa: IkeSa) -> Exchange:
    """Have the peer show that it receives where it says that it is (section 3.7)."""
    return Exchange(ExchangeType.INFORMATIONAL, lambda: _check(sa), sa.exchange_failed)


def _check(sa: IkeSa) -> Step[None]:
    while (movement := sa.movement) is not None:
        changes = movement.changes
        yield from request(MovingRequest((), sa.host.rng(COOKIE_OCTETS)))
        if movement.changes == changes and movement is sa.movement:
            movement.checked()
            return


def explore(sa: IkeSa, path: Path) -> Exchange:
    """Ask for a sign of life along another path than the one in use (section 3.10)."""
    return Exchange(ExchangeType.INFORMATIONAL, lambda: _explore(sa, path), sa.exchange_failed)


def _explore(sa: IkeSa, path: Path) -> Step[None]:
    movement = sa.movement
    if movement is None:
        return
    movement.explored = path
    try:
        yield from request(MovingRequest((), sa.host.rng(COOKIE_OCTETS)))
    finally:
        movement.explored = None


# -- signs of life


def detection(sa: IkeSa) -> tuple[Notify, ...]:
    """NAT_DETECTION_* for a request, where both sides know them (section 3.8)."""
    if sa.movement is None or not sa.movement.leads or not sa.nat.is_supported:
        return ()
    return detection_notifies(sa.spi_i, sa.spi_r, sa.path, is_forced=forces(sa.connection), rng=sa.host.rng)


def compare(sa: IkeSa, reply: Message) -> None:
    """See by an answer with NAT_DETECTION_* whether a NAT has moved us (section 3.8)."""
    if sa.movement is not None and sa.nat.is_supported:
        expected = detection_hash(sa.spi_i, sa.spi_r, sa.path.local, sa.path.local_port)
        sa.movement.saw(_digest(reply), expected)


# -- responses


def answer(sa: IkeSa, message: Message, arrival: Path) -> Answer:
    """Carry out what an INFORMATIONAL request says of addresses, and answer it (sections 3.5 to 3.9).

    Args:
        sa: the IKE SA.
        message: the request.
        arrival: where it came along.
    """
    movement = sa.movement
    if movement is None:
        return Answer()
    copied = _copied(message)
    addresses, is_update = _addresses(message), message.notify(NotifyType.UPDATE_SA_ADDRESSES) is not None
    if (is_update or addresses is not None) and not _is_as_sent(message, arrival):
        return Answer((Notify(NotifyType.UNEXPECTED_NAT_DETECTED), *copied))
    if is_update and not movement.leads and not _is_ours(sa, arrival):
        return Answer((Notify(NotifyType.UNACCEPTABLE_ADDRESSES), *copied))

    def then() -> None:
        if message.message_id <= movement.newest:
            return  # a newer one came before it
        if is_update or addresses is not None:
            movement.newest = message.message_id
        if is_update and not movement.leads:
            movement.follow(arrival, message)
        if addresses is not None:
            movement.told_addresses(addresses, arrival)

    seen: tuple[Notify, ...] = ()
    if message.notify(NotifyType.NAT_DETECTION_SOURCE_IP) is not None:
        seen = detection_notifies(sa.spi_i, sa.spi_r, arrival, is_forced=forces(sa.connection), rng=sa.host.rng)
    return Answer((*seen, *copied), then)


def _copied(message: Message) -> tuple[Notify, ...]:
    """COOKIE2 goes back as it came (section 3.7)."""
    found = message.notify(NotifyType.COOKIE2)
    if found is None:
        return ()
    if len(found.data) not in _COOKIE_SIZES:
        raise WireError(f"a COOKIE2 of {len(found.data)} octets", field="COOKIE2", section="RFC 4555 section 4.2.5")
    return (Notify(NotifyType.COOKIE2, data=found.data),)


def _is_ours(sa: IkeSa, arrival: Path) -> bool:
    """Whether we speak from the address that the peer wants to speak to."""
    ours = () if sa.connection is None else sa.connection.local.addresses
    return not ours or arrival.local in ours


# -- addresses


def _own(movement: Movement) -> tuple[Notify, ...]:
    """All of our further addresses, or that there are none (section 3.6)."""
    return tuple(map(_additional, movement.own_addresses)) or (Notify(NotifyType.NO_ADDITIONAL_ADDRESSES),)


def _additional(address: IpAddress) -> Notify:
    kind = NotifyType.ADDITIONAL_IP4_ADDRESS if address.version == 4 else NotifyType.ADDITIONAL_IP6_ADDRESS
    return Notify(kind, data=address.packed)


def _addresses(message: Message) -> tuple[IpAddress, ...] | None:
    """The peer's further addresses; None where it says nothing of them.

    Raises:
        WireError: an address of the wrong size (section 4.2.2).
    """
    told = [each for each in message.all(Notify) if each.type in _ADDITIONAL]
    if not told and message.notify(NotifyType.NO_ADDITIONAL_ADDRESSES) is None:
        return None
    found: list[IpAddress] = []
    for each in told:
        kind, size = _ADDITIONAL[each.type]
        if len(each.data) != size:
            raise WireError(
                f"an address of {len(each.data)} octets", field=str(each.type), section="RFC 4555 section 4.2.2"
            )
        found.append(kind(each.data))
    return tuple(each for each in found if not (each.is_multicast or each.is_unspecified or each.is_loopback))


def _digest(message: Message) -> bytes | None:
    """Where the peer sees us."""
    found = message.notify(NotifyType.NAT_DETECTION_DESTINATION_IP)
    return None if found is None else found.data


# -- without NAT traversal


def _prohibition(sa: IkeSa) -> tuple[Notify, ...]:
    """NO_NATS_ALLOWED: from where to where we send, where the peer knows no NAT traversal (section 3.9)."""
    return () if sa.nat.is_supported else (Notify(NotifyType.NO_NATS_ALLOWED, data=_ends(sa.path)),)


def _ends(path: Path) -> bytes:
    """Source and destination, addresses before ports (section 4.2.6), of what we send."""
    return path.local.packed + path.remote.packed + path.local_port.to_bytes(2) + path.remote_port.to_bytes(2)


def _is_as_sent(message: Message, arrival: Path) -> bool:
    """Whether NO_NATS_ALLOWED, if it is there, says what the IP header says."""
    found = message.notify(NotifyType.NO_NATS_ALLOWED)
    came = arrival.remote.packed + arrival.local.packed
    came += arrival.remote_port.to_bytes(2) + arrival.local_port.to_bytes(2)
    return found is None or found.data == came
