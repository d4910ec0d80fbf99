"""What an IKE SA needs of the endpoint that it lives in, and what exchanges it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from caponier.doi.ikev2 import ExchangeType
from caponier.mechanisms.algorithms.suites import IkeSuite
from caponier.mechanisms.keys.schedule import IkeKeys
from caponier.protocols.ike.effects import ChildSa, Effect
from caponier.protocols.ike.events import Event, Role
from caponier.protocols.ike.messages.message import Message
from caponier.protocols.ike.messages.payloads import Payload
from caponier.protocols.ike.path import Datagram, NatKeepalive
from caponier.protocols.ike.policy import ChildPolicy, IpAddress, Settings
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.steps import Step, Task

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.child_sa import ChildRecord
    from caponier.protocols.ike.v2.ike_sa import IkeSa


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request of the peer.

    Attributes:
        payloads: in the RFC's order.
        then: done once the response is on its way.
    """

    payloads: tuple[Payload, ...] = ()
    then: Callable[[], None] = _nothing


Responder = Callable[["IkeSa", Message], Step[Answer]]


@dataclass(frozen=True, slots=True)
class Repertoire:
    """The exchanges that an IKE SA takes part in on its own.

    Attributes:
        responders: bodies that answer requests, by exchange type.
        liveness: asks a peer for a sign of life that gave none by its packets.
        probe: asks it whatever packets came.
        delete: ends the IKE SA.
        create_child: makes a further Child SA for a policy.
        delete_child: ends a Child SA, and says why.
        rekey_child: replaces a Child SA.
        rekey_ike: replaces the IKE SA.
    """

    responders: Mapping[ExchangeType, Responder]
    liveness: Callable[[IkeSa], Exchange]
    probe: Callable[[IkeSa], Exchange]
    delete: Callable[[IkeSa], Exchange]
    create_child: Callable[[IkeSa, ChildPolicy], Exchange]
    delete_child: Callable[[IkeSa, ChildRecord, str], Exchange]
    rekey_child: Callable[[IkeSa, ChildRecord], Exchange]
    rekey_ike: Callable[[IkeSa], Exchange]


class Host(Protocol):
    """The endpoint, as its IKE SAs see it."""

    settings: Settings
    rng: Callable[[int], bytes]
    calendar: Callable[[float], datetime]
    former_addresses: dict[str, tuple[IpAddress, ...]]
    """Internal addresses that peers gave us last, by connection (RFC 7296 section 3.15.1)."""
    addresses: frozenset[IpAddress] | None  #: that we have now; None where nobody has told

    def send(self, datagram: Datagram | NatKeepalive) -> None: ...

    def perform(self, sa: IkeSa, effect: Effect, task: Task | None) -> None:
        """Let the outside do something; ``task`` waits for the result, None when nobody does."""

    def report(self, event: Event) -> None: ...

    def fresh_spi(self) -> bytes:
        """An SPI for a new IKE SA, 8 octets."""

    def succeed(self, old: IkeSa, role: Role, spis: tuple[bytes, bytes], suite: IkeSuite, keys: IkeKeys) -> IkeSa:
        """Make an IKE SA that is to replace another one; it inherits nothing yet.

        Args:
            old: the one that is rekeyed.
            role: ours in the exchange that rekeys it.
            spis: that exchange's initiator's, and its responder's.
            suite: what was negotiated.
            keys: of the new one.
        """

    def reauthenticate(self, old: IkeSa) -> None:
        """Make a new IKE SA from scratch, which ends ``old`` when it has all that ``old`` has."""

    def twin(self, sa: IkeSa, name: str) -> ChildRecord | None:
        """A Child SA of the same policy on another IKE SA with the same peer: during reauthentication, for one.

        Args:
            sa: the IKE SA, whose peer is proven.
            name: of the policy.
        """

    def keeps(self, sa: IkeSa, record: ChildRecord, reason: str) -> bool:
        """Whether another IKE SA has taken over from ``sa``, whose Child SA only receives from now on, and is the other's.

        Args:
            sa: about to go.
            record: of it.
            reason: for people.
        """

    def touched(self, sa: IkeSa) -> None:
        """The timers of an IKE SA were changed by another one."""

    def sa_identified(self, sa: IkeSa) -> None:
        """It is known which connection the SA is of, or who its peer is."""

    def sa_established(self, sa: IkeSa) -> None: ...

    def sa_closed(self, sa: IkeSa) -> None:
        """The SA is gone but for its last answer."""

    def supersede(self, sa: IkeSa) -> None:
        """The peer says that ``sa`` is its only IKE SA with us (INITIAL_CONTACT, RFC 7296 section 2.4)."""

    def has_peer(self, sa: IkeSa) -> bool:
        """Whether another IKE SA of the same connection is there or on its way."""

    def child_installed(self, sa: IkeSa, child: ChildSa) -> None:
        """A Child SA of ``sa`` is there."""

    def child_removed(self, child: ChildSa) -> None:
        """It is gone, or about to be."""
