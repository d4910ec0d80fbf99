"""The Child SAs of one IKE SA: those that carry packets, and those that only receive what is still under way (RFC 7296 sections 1.4.1 and 2.8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import ExchangeType, ProtocolId
from caponier.errors import InternalError, NoProposalChosen
from caponier.protocols.ike.effects import MoveChildSa, RemoveChildSa, RetireChildSa
from caponier.protocols.ike.events import ChildSaAged, ChildSaInstalled, ChildSaRemoved
from caponier.protocols.ike.policy import ChildPolicy, Start
from caponier.protocols.ike.v2.child_sa import ChildRecord, require_way, way
from caponier.protocols.ike.v2.host import Repertoire
from caponier.protocols.ike.v2.lanes import Exchange
from caponier.protocols.ike.v2.timers import RETIRED_SECONDS, Timer

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


_MOST_DELETED_EARLY = 64  #: Child SAs that the peer deleted before we knew them; our own limit


class Children:
    """The Child SAs of an IKE SA.

    Args:
        sa: theirs.
        repertoire: the exchanges that make, replace and end them.
    """

    __slots__ = ("_by_spi", "_deleted_early", "_repertoire", "_retired", "_sa")

    def __init__(self, sa: IkeSa, repertoire: Repertoire) -> None:
        self._sa = sa
        self._repertoire = repertoire
        self._deleted_early: list[tuple[ProtocolId, int]] = []  # by outbound SPI, the newest last
        self._by_spi: dict[int, ChildRecord] = {}  # by our inbound SPI
        self._retired: list[tuple[float, RemoveChildSa]] = []  # until when they receive

    def __iter__(self) -> Iterator[ChildRecord]:
        """Those that carry packets; they may come and go meanwhile."""
        return iter(tuple(self._by_spi.values()))

    def __len__(self) -> int:
        return len(self._by_spi)

    def __contains__(self, record: ChildRecord) -> bool:
        return self._by_spi.get(record.child.spi_in) is record

    @property
    def occupied(self) -> int:
        """How many the data plane has, with those that only receive."""
        return len(self._by_spi) + len(self._retired)

    def find(self, spi_in: int) -> ChildRecord | None:
        """The one that receives on this SPI."""
        return self._by_spi.get(spi_in)

    def policy_of(self, record: ChildRecord) -> ChildPolicy:
        """The policy that a Child SA was made for.

        Raises:
            InternalError: there is none.
        """
        connection = self._sa.connection
        for policy in () if connection is None else connection.children:
            if policy.name == record.child.name:
                return policy
        raise InternalError(f"the Child SA {record.child.name} has no policy")

    # -- come and go

    def add(self, record: ChildRecord) -> None:
        """A Child SA is installed: from now on its time runs."""
        self._by_spi[record.child.spi_in] = record
        lifetime = record.child.lifetime
        if lifetime.soft_seconds > 0:
            early = 1 - self._sa.jitter() / 10  # so that the two sides seldom want it at once
            record.rekey_at = self._sa.now + lifetime.soft_seconds * early
        if lifetime.hard_seconds > 0:
            record.ends_at = self._sa.now + lifetime.hard_seconds
        self._set_timers()
        self._sa.host.child_installed(self._sa, record.child)
        self._sa.host.report(ChildSaInstalled(self._sa.id, record.child.connection, record.status))

    def remove(self, record: ChildRecord, reason: str) -> None:
        """Take a Child SA out of the data plane; a second call does nothing."""
        if self._forget(record, reason):
            self._sa.give_back(RemoveChildSa(record.child.protocol, record.child.spi_in))

    def retire(self, record: ChildRecord, reason: str) -> None:
        """Another Child SA has taken over: send nothing more on this one, and receive on it a little longer."""
        if self._forget(record, reason):
            self.receive_a_little_longer(record)

    def receive_a_little_longer(self, record: ChildRecord) -> None:
        """On a Child SA that carries nothing more from here, of this IKE SA or of one that this one takes the place of."""
        child, sa = record.child, self._sa
        sa.give_back(RetireChildSa(child.protocol, child.spi_in))
        self._retired.append((sa.now + RETIRED_SECONDS, RemoveChildSa(child.protocol, child.spi_in)))
        sa.timers.set(Timer.RETIRED, self._retired[0][0])

    def hand_over(self, record: ChildRecord, reason: str, heir: Children) -> None:
        """Another IKE SA with the peer carries the packets of this Child SA."""
        if self._forget(record, reason):
            heir.receive_a_little_longer(record)

    def let_go(self, record: ChildRecord, reason: str) -> None:
        """Take a Child SA out of the data plane: gently where another one of its policy is there for its packets."""
        name = record.child.name
        if any(each is not record and each.child.name == name for each in self):
            self.retire(record, reason)
        else:
            self.remove(record, reason)

    def delete(self, record: ChildRecord, reason: str) -> None:
        """End a Child SA and tell the peer; does nothing where it is gone or about to go."""
        if record in self and not record.is_closing:
            self._sa.requests.enqueue(self._repertoire.delete_child(self._sa, record, reason))

    def expire(self, record: ChildRecord) -> None:
        """Its lifetime is over: it goes, and where its connection is to be up always, another one comes."""
        if record not in self or record.is_closing:
            return
        self.delete(record, "its lifetime is over")
        connection, name = self._sa.connection, record.child.name
        has_other = any(each.is_current and each.child.name == name for each in self)
        if connection is not None and connection.start is Start.BOOT and not has_other:
            for policy in [each for each in connection.children if each.name == name]:
                self._sa.requests.enqueue(self._repertoire.create_child(self._sa, policy))

    def remove_all(self, reason: str) -> None:
        """Take everything out of the data plane, here and now."""
        for record in self:
            if not self._sa.host.keeps(self._sa, record, reason):
                self.remove(record, reason)
        self._remove_retired(inf)

    def handle_retired(self) -> None:
        """Remove those that have received long enough."""
        self._remove_retired(self._sa.now)

    def move(self) -> None:
        """The IKE SA has another path now: so have those that it does not pass by."""
        for record in self:
            protocol, spi_in = record.child.protocol, record.child.spi_in
            path = way(self._sa, protocol)
            try:
                require_way(self._sa, self.policy_of(record))
            except NoProposalChosen as error:
                self._sa.report_failure(error, child=record.child.name)
                self.delete(record, error.message)
                continue
            if path != record.child.path:
                record.move(path)
                self._sa.give_back(MoveChildSa(protocol, spi_in, path))

    def _forget(self, record: ChildRecord, reason: str) -> bool:
        if record not in self:
            return False
        child, sa = record.child, self._sa
        del self._by_spi[child.spi_in]
        for each in self:
            if each.successor is record:
                each.successor = None
        sa.host.child_removed(child)
        sa.host.report(ChildSaRemoved(sa.id, child.connection, child.name, child.spi_in, reason))
        return True

    def _remove_retired(self, until: float) -> None:
        while self._retired and self._retired[0][0] <= until:
            self._sa.give_back(self._retired.pop(0)[1])
        if self._retired:
            self._sa.timers.set(Timer.RETIRED, self._retired[0][0])

    # -- their time

    def rekey(self, record: ChildRecord) -> None:
        """Replace a Child SA, unless that is under way."""
        is_on_its_way = any(each.replaced is record for each in self._sa.requests.waiting)
        if record.is_current and record in self and not is_on_its_way:
            self._sa.requests.enqueue(self._repertoire.rekey_child(self._sa, record))

    def rekey_later(self, record: ChildRecord, seconds: float) -> None:
        """There is no successor now: ask again after so many seconds, and up to half as many more."""
        record.rekey_at = self._sa.now + seconds * (1 + self._sa.jitter() / 2)
        self._set_timers()

    def handle_rekey(self) -> None:
        """Replace those whose time has come."""
        for record in self:
            if record.rekey_at is not None and record.rekey_at <= self._sa.now:
                record.rekey_at = None
                if record.is_current:
                    self._report_age(record, is_hard=False)
                    self.rekey(record)
        self._set_timers()

    def handle_expired(self) -> None:
        """Delete those whose time is over."""
        for record in self:
            if record.ends_at is not None and record.ends_at <= self._sa.now:
                record.ends_at = None
                self._report_age(record, is_hard=True)
                self.expire(record)
        self._set_timers()

    def _report_age(self, record: ChildRecord, *, is_hard: bool) -> None:
        child = record.child
        self._sa.host.report(ChildSaAged(self._sa.id, child.connection, child.name, child.spi_in, is_hard))

    def _set_timers(self) -> None:
        for timer, instants in (
            (Timer.REKEY, [each.rekey_at for each in self if each.rekey_at is not None]),
            (Timer.EXPIRE, [each.ends_at for each in self if each.ends_at is not None]),
        ):
            if instants:
                self._sa.timers.set(timer, min(instants))

    # -- gone before they came

    def deleted_by_peer(self, protocol: ProtocolId, spi_out: int) -> None:
        """The peer deletes one that we do not have: its answer that made it may still be on its way."""
        if any(each.type == ExchangeType.CREATE_CHILD_SA for each in self._sa.requests.waiting):
            self._deleted_early.append((protocol, spi_out))
            del self._deleted_early[:-_MOST_DELETED_EARLY]
        else:
            self._deleted_early.clear()

    def was_deleted_early(self, protocol: ProtocolId, spi_out: int) -> bool:
        """Whether the peer has deleted it already, when at last its answer comes that made it."""
        return (protocol, spi_out) in self._deleted_early

    # -- another IKE SA

    def inherit(self, old: Children, waiting: Sequence[Exchange]) -> None:
        """Take over those of the IKE SA that ours replaces.

        Args:
            old: theirs.
            waiting: what that IKE SA was about to do with them.
        """
        self._retired, old._retired = old._retired, []
        self._by_spi, old._by_spi = old._by_spi, {}
        for record in self:
            self._sa.host.child_installed(self._sa, record.child)
        self.handle_retired()
        self._set_timers()
        for exchange in waiting:
            self._resume(exchange)
        for record in self:
            if record.is_closing:
                self._sa.requests.enqueue(self._repertoire.delete_child(self._sa, record, "asked for"))

    def _resume(self, exchange: Exchange) -> None:
        """Do here what had not begun there."""
        connection = self._sa.connection
        if isinstance(exchange.replaced, ChildRecord):
            self.rekey(exchange.replaced)
        elif exchange.type == ExchangeType.CREATE_CHILD_SA and connection is not None:
            for policy in [each for each in connection.children if each.name == exchange.child]:
                self._sa.requests.enqueue(self._repertoire.create_child(self._sa, policy))
