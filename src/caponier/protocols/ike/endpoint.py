"""The endpoint: all IKE SAs of one host, without I/O, clock or randomness of its own.

Theory of operation. Five verbs drive it: :meth:`Endpoint.receive_datagram`, :meth:`Endpoint.handle_timeout`,
:meth:`Endpoint.complete`, and what people ask for; after each of them the caller takes what came out:
:meth:`Endpoint.datagrams_to_send`, :meth:`Endpoint.next_effect`, :meth:`Endpoint.next_event`,
:meth:`Endpoint.next_timeout`. A message finds its IKE SA by our SPI (RFC 7296 section 2.6); what belongs to none is a
stranger's, and strangers have limits.

An instant is a number of monotonic seconds. Messages come and go without the non-ESP marker; see
:class:`~caponier.protocols.ike.path.Path`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from caponier.doi.ikev2 import ExchangeType, ProtocolId
from caponier.errors import (
    CaponierError,
    InternalError,
    InvalidIkeSpi,
    MisuseError,
    NoAdditionalSas,
    PeerError,
)
from caponier.mechanisms.algorithms.suites import IkeSuite
from caponier.mechanisms.keys.schedule import IkeKeys
from caponier.protocols.ike.connections import Connections
from caponier.protocols.ike.effects import ChildSa, Effect, opposite
from caponier.protocols.ike.events import Event, IkeSaStatus, Role
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.messages.message import decode_header
from caponier.protocols.ike.path import Datagram, NatKeepalive, Path
from caponier.protocols.ike.policy import ChildPolicy, Connection, IpAddress, Settings
from caponier.protocols.ike.sas import IkeSas
from caponier.protocols.ike.strangers import Strangers
from caponier.protocols.ike.v2.child_sa import ChildRecord
from caponier.protocols.ike.v2.exchanges.create_child import create_child
from caponier.protocols.ike.v2.exchanges.initial import connect
from caponier.protocols.ike.v2.exchanges.reauthenticate import reauthenticate
from caponier.protocols.ike.v2.ike_sa import NO_SPI, IkeSa
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.repertoire import REPERTOIRE
from caponier.protocols.ike.v2.steps import Task
from caponier.protocols.ike.v2.timers import SURPLUS_SECONDS, Agenda, Timer

_LIVE = (Phase.CONNECTING, Phase.ESTABLISHED, Phase.REKEYING)


class Endpoint:
    """All IKE SAs of one host.

    Args:
        settings: limits, retransmission, ports.
        rng: ``rng(count)`` returns that many unpredictable octets.
        calendar: maps an instant to the date, UTC, for the validity of certificates.
    """

    def __init__(self, settings: Settings, rng: Callable[[int], bytes], calendar: Callable[[float], datetime]) -> None:
        self.settings = settings
        self.rng = rng
        self.calendar = calendar
        self.former_addresses: dict[str, tuple[IpAddress, ...]] = {}
        self.addresses: frozenset[IpAddress] | None = None
        self._connections = Connections()
        self._sas = IkeSas()
        self._by_child: dict[tuple[ProtocolId, int], IkeSa] = {}  #: by the SPI on which a Child SA receives
        self._agenda: Agenda[IkeSa] = Agenda()
        self._datagrams: list[Datagram | NatKeepalive] = []
        self._effects: deque[Effect] = deque()
        self._events: deque[Event] = deque()
        self._waiting: dict[Effect, tuple[IkeSa, Task | None]] = {}
        self.is_shut_down = False  #: nobody is let in any more
        self._strangers = Strangers(self)

    # -- in

    def receive_datagram(self, octets: bytes, path: Path, now: float) -> None:
        """Take one IKE message; nothing that is in it makes this raise."""
        try:
            header = decode_header(octets)
            if header.exchange == ExchangeType.IKE_SA_INIT and not header.is_response:
                self._strangers.receive(octets, header, path, now)
            else:
                self._receive_further(octets, header, path, now)
        except PeerError as error:
            self._strangers.dismiss(error, octets, path, now)

    def handle_timeout(self, now: float) -> None:
        """Do everything that is due at ``now``."""
        while (sa := self._agenda.pop_due(now)) is not None:
            sa.handle_timeout(now)
            self._note(sa)

    def complete(self, effect: Effect, result: object, now: float) -> None:
        """Give back the result of an effect, or the :class:`CaponierError` with which it failed."""
        sa, task = self._waiting.pop(effect, (None, None))
        if sa is None or task is None:
            return
        if task.is_over:
            self._undo(sa, effect, result)
            return
        sa.now = max(sa.now, now)
        if isinstance(result, CaponierError):
            task.fail(result)
        else:
            task.resume(result)
        self._note(sa)

    # -- out

    def datagrams_to_send(self) -> list[Datagram | NatKeepalive]:
        """What is to be sent, in order; each only once."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def next_effect(self) -> Effect | None:
        """The next thing that the outside has to do; answer it by :meth:`complete`."""
        return self._effects.popleft() if self._effects else None

    def next_event(self) -> Event | None:
        """The next thing that happened."""
        return self._events.popleft() if self._events else None

    def next_timeout(self) -> float | None:
        """When :meth:`handle_timeout` is due; None for never."""
        return self._agenda.next()

    # -- ask

    def add_connection(self, connection: Connection) -> None:
        """From here on this connection may come up.

        Raises:
            MisuseError: its name is taken, or it has no children.
        """
        self._connections.add(connection)
        self._strangers.forget_refusals()

    def remove_connection(self, name: str, now: float) -> None:
        """Forget a connection; its IKE SAs end."""
        self._connections.remove(name)
        self.former_addresses.pop(name, None)
        self._strangers.forget_refusals()
        for sa in self._sas.of(name):
            self._close(sa, "the connection was removed", now)

    def initiate(self, connection: str, path: Path, now: float) -> None:
        """Bring a connection up; where it is up already, its missing Child SAs.

        Raises:
            MisuseError: no such connection, or the endpoint is shut down.
        """
        if self.is_shut_down:
            raise MisuseError("the endpoint is shut down")
        wanted = self._connections.named(connection)
        for sa in self._sas.of(connection):
            if sa.phase in (Phase.ESTABLISHED, Phase.REKEYING):
                self._add_missing_children(sa, wanted, now)
                return
            if sa.phase is Phase.CONNECTING and sa.role is Role.INITIATOR:
                return
        self._start(wanted, path, now)

    def initiate_child(self, connection: str, child: str, now: float) -> None:
        """Make one Child SA on the established IKE SA of a connection.

        Raises:
            MisuseError: no such connection or child, or it is not established.
        """
        policy = self._connections.policy(connection, child)
        sa = next((sa for sa in self._sas.first_of(connection) if sa.phase is Phase.ESTABLISHED), None)
        if sa is None:
            raise MisuseError(f"connection {connection} is not established")
        sa.now = now
        self._add_child(sa, policy)
        self._note(sa)

    def terminate(self, connection: str, now: float, child: str | None = None) -> None:
        """Bring a connection down, or one Child SA of it.

        Raises:
            MisuseError: no such connection or child.
        """
        if child is None:
            self._connections.named(connection)
            for sa in self._sas.of(connection):
                self._close(sa, "asked for", now)
            return
        self._connections.policy(connection, child)
        for sa in self._sas.of(connection):
            sa.now = now
            for record in [each for each in sa.children if each.child.name == child]:
                sa.children.delete(record, "asked for")
            self._note(sa)

    def rekey_child(self, protocol: ProtocolId, spi_in: int, now: float) -> None:
        """Replace a Child SA by one with new keys (RFC 7296 section 1.3.3); does nothing where it is gone or replaced.

        Args:
            protocol: ESP or AH.
            spi_in: on which we receive, host order.
            now: the instant.
        """
        sa, record = self._child(protocol, spi_in, now)
        if sa is not None and record is not None:
            sa.children.rekey(record)
            self._note(sa)

    def expire_child(self, protocol: ProtocolId, spi_in: int, now: float) -> None:
        """A Child SA carried as much as it may: it ends, and where its connection is to be up always, another one takes
        its place; does nothing where it is gone or about to go.

        Args:
            protocol: ESP or AH.
            spi_in: on which we receive, host order.
            now: the instant.
        """
        sa, record = self._child(protocol, spi_in, now)
        if sa is not None and record is not None:
            sa.children.expire(record)
            self._note(sa)

    def rekey(self, connection: str, now: float) -> None:
        """Replace the established IKE SA of a connection by one with new keys (RFC 7296 section 1.3.2).

        Raises:
            MisuseError: no such connection.
        """
        self._connections.named(connection)
        for sa in self._sas.of(connection):
            sa.now = max(sa.now, now)
            sa.rekey()
            self._note(sa)

    def follow_peer(self, protocol: ProtocolId, spi_in: int, remote: IpAddress, remote_port: int, now: float) -> None:
        """An authenticated ESP packet came in UDP from another address or port than the peer had: its NAT has moved it,
        and we go with it where we may (RFC 7296 section 2.23)."""
        sa, _ = self._child(protocol, spi_in, now)
        if sa is not None:
            sa.follow_peer(replace(sa.path, remote=remote, remote_port=remote_port))

    def addresses_changed(self, addresses: frozenset[IpAddress], now: float) -> None:
        """Our addresses or routes have changed: IKE SAs that may move see whether they have to (RFC 4555 section 3.5).

        Args:
            addresses: all that we can use now.
            now: the instant.
        """
        self.addresses = addresses
        for sa in tuple(self._sas.values()):
            if sa.movement is not None:
                sa.now = max(sa.now, now)
                sa.movement.look_around()
                self._note(sa)

    def shut_down(self, now: float) -> None:
        """End all IKE SAs and tell the peers; :attr:`is_idle` says when that is done."""
        self.is_shut_down = True
        for sa in self._sas.values():
            self._close(sa, "shutting down", now)

    @property
    def is_idle(self) -> bool:
        """Whether no IKE SA is left, save closed ones that linger for a peer's retransmission."""
        return not self._sas.living and not self._waiting

    def ike_sas(self, connection: str | None = None) -> tuple[IkeSaStatus, ...]:
        """The IKE SAs of a connection, or all that are there; the oldest first."""
        sas = self._sas.values() if connection is None else self._sas.of(connection)
        return tuple(sa.status() for sa in sas if sa.phase is not Phase.CLOSED)

    def has_ike_sa(self, connection: str) -> bool:
        """Whether an IKE SA of a connection comes, stands or goes."""
        return next(self._sas.first_of(connection), None) is not None

    @property
    def half_open(self) -> int:
        """IKE SAs whose initiators have not authenticated themselves yet."""
        return self._strangers.half_open

    @property
    def drops(self) -> Mapping[str, int]:
        """Datagrams that were dropped, by reason."""
        return self._strangers.drops

    # -- peers

    def _receive_further(self, octets: bytes, header: Header, path: Path, now: float) -> None:
        ours, theirs = (header.spi_r, header.spi_i) if header.is_initiator else (header.spi_i, header.spi_r)
        sa = self._sas.find(ours)
        if sa is None or (sa.remote_spi not in (theirs, NO_SPI)) or sa.role is _role(header):
            raise InvalidIkeSpi(f"no IKE SA of ours has the SPIs {header.spi_i.hex()} and {header.spi_r.hex()}")
        try:
            sa.receive(octets, header, path, now)
        finally:
            self._note(sa)

    # -- what strangers need (strangers.Home)

    @property
    def sa_count(self) -> int:
        return len(self._sas)

    def candidates(self, path: Path) -> tuple[Connection, ...]:
        return self._connections.at(path)

    def enter(self, sa: IkeSa) -> None:
        self._sas.enter(sa)
        self._note(sa)

    # -- what IKE SAs need (host.Host)

    def send(self, datagram: Datagram | NatKeepalive) -> None:
        self._datagrams.append(datagram)

    def perform(self, sa: IkeSa, effect: Effect, task: Task | None) -> None:
        self._waiting[effect] = (sa, task)
        self._effects.append(effect)

    def report(self, event: Event) -> None:
        self._events.append(event)

    def succeed(self, old: IkeSa, role: Role, spis: tuple[bytes, bytes], suite: IkeSuite, keys: IkeKeys) -> IkeSa:
        sa = IkeSa.successor(old, role, *spis)
        sa.adopt_keys(suite, keys)
        self.enter(sa)
        return sa

    def reauthenticate(self, old: IkeSa) -> None:
        connection = self._connections.named(old.connection_name or "")
        port = self.settings.ports.ike
        self._start(connection, Path(old.path.local, port, old.path.remote, port), old.now, old=old)

    def twin(self, sa: IkeSa, name: str) -> ChildRecord | None:
        twins = (record for other in self._sas.with_same_peer(sa) for record in other.children)
        return next((each for each in twins if each.child.name == name and each.is_current), None)

    def keeps(self, sa: IkeSa, record: ChildRecord, reason: str) -> bool:
        twin = self.twin(sa, record.child.name)
        heir = None if twin is None else self._by_child.get((twin.child.protocol, twin.child.spi_in))
        if heir is None:
            return False
        heir.now = max(heir.now, sa.now)
        sa.children.hand_over(record, reason, heir.children)
        self._note(heir)
        return True

    def touched(self, sa: IkeSa) -> None:
        self._note(sa)

    def sa_identified(self, sa: IkeSa) -> None:
        self._sas.learn(sa)

    def sa_established(self, sa: IkeSa) -> None:
        self._sas.learn(sa)
        self._strangers.is_known(sa)
        self._resolve_duplicate(sa)

    def sa_closed(self, sa: IkeSa) -> None:
        self._sas.close(sa)
        self._strangers.is_known(sa)

    def supersede(self, sa: IkeSa) -> None:
        for other in self._sas.with_same_peer(sa):
            if _overlap(sa, other):
                continue  # made by the peer as it is now, while INITIAL_CONTACT was on its way
            other.now = sa.now
            other.finish("the peer started anew (INITIAL_CONTACT)")
            self._note(other)

    def has_peer(self, sa: IkeSa) -> bool:
        name = sa.connection_name
        return any(other is not sa for other in self._sas.first_of(name or "") if other.phase in _LIVE)

    def child_installed(self, sa: IkeSa, child: ChildSa) -> None:
        self._by_child[child.protocol, child.spi_in] = sa

    def child_removed(self, child: ChildSa) -> None:
        self._by_child.pop((child.protocol, child.spi_in), None)

    # -- the inside

    def _note(self, sa: IkeSa) -> None:
        """Enter when the SA is next due; a closed one that no longer lingers is forgotten."""
        at = sa.timers.next()
        self._agenda.enter(sa, at)
        if at is None and sa.phase is Phase.CLOSED:
            self._sas.forget(sa)

    def _start(self, connection: Connection, path: Path, now: float, *, old: IkeSa | None = None) -> None:
        sa = IkeSa(
            self,
            REPERTOIRE,
            role=Role.INITIATOR,
            spi_i=self.fresh_spi(),
            spi_r=NO_SPI,
            path=path,
            candidates=(connection,),
            now=now,
        )
        self._sas.enter(sa)
        sa.requests.enqueue(connect(sa, connection) if old is None else reauthenticate(sa, connection, old))
        self._note(sa)

    def _add_missing_children(self, sa: IkeSa, connection: Connection, now: float) -> None:
        sa.now = now
        for policy in connection.children:
            self._add_child(sa, policy)
        self._note(sa)

    def _add_child(self, sa: IkeSa, policy: ChildPolicy) -> None:
        """Make a Child SA, unless it is there or on its way."""
        there = {record.child.name for record in sa.children}
        on_its_way = {exchange.child for exchange in sa.requests.waiting}
        if policy.name in there or policy.name in on_its_way:
            return
        if len(sa.children) >= self.settings.limits.children_per_ike_sa:
            raise NoAdditionalSas(f"the IKE SA has {len(sa.children)} Child SAs already, as many as we allow")
        sa.requests.enqueue(create_child(sa, policy))

    def _child(self, protocol: ProtocolId, spi_in: int, now: float) -> tuple[IkeSa, ChildRecord] | tuple[None, None]:
        """The Child SA that receives on an SPI, and its IKE SA; nothing where it is gone."""
        sa = self._by_child.get((protocol, spi_in))
        record = None if sa is None else sa.children.find(spi_in)
        if sa is None or record is None:
            return None, None
        sa.now = max(sa.now, now)
        return sa, record

    def _close(self, sa: IkeSa, reason: str, now: float) -> None:
        sa.now = now
        sa.request_close(reason)
        self._note(sa)

    def _undo(self, sa: IkeSa, effect: Effect, result: object) -> None:
        """An effect was carried out for an exchange that is no more: take it back."""
        if isinstance(result, CaponierError):
            return
        undoing = opposite(effect, result)
        if undoing is not None:
            self.perform(sa, undoing, None)

    def _resolve_duplicate(self, sa: IkeSa) -> None:
        """Both sides connected at the same time: keep the IKE SA whose initiator's SPI is the lower one.

        RFC 7296 leaves this open; both ends come to the same choice. The initiator of the other one deletes it; its
        responder waits a little for that, since the two may not agree on what "at the same time" was.
        """
        for other in self._sas.with_same_peer(sa):
            if not _overlap(sa, other) or other.phase is not Phase.ESTABLISHED:
                continue
            surplus = max(sa, other, key=lambda each: each.spi_i)
            surplus.now = sa.now
            grace = 0.0 if surplus.role is Role.INITIATOR else SURPLUS_SECONDS
            surplus.timers.set(Timer.SURPLUS, sa.now + grace)
            self._note(surplus)

    def fresh_spi(self) -> bytes:
        """An SPI that is neither zero nor in use."""
        for _ in range(16):
            spi = self.rng(8)
            if spi != NO_SPI and spi not in self._sas:
                return spi
        raise InternalError("the source of randomness repeats itself")


def _overlap(sa: IkeSa, other: IkeSa) -> bool:
    """Whether ``other`` was established while ``sa`` was being made."""
    return other.since is not None and other.since >= sa.began


def _role(header: Header) -> Role:
    """The role of a message's sender."""
    return Role.INITIATOR if header.is_initiator else Role.RESPONDER
