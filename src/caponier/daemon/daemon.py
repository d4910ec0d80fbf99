"""The daemon: connections that come up, stay up, and go down again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from typing import Self

from caponier.daemon import health
from caponier.daemon.assignments import Assignments, told
from caponier.daemon.audit import audit_text
from caponier.daemon.config import Configuration, Place, load
from caponier.daemon.config.schema import MOST_WORKERS
from caponier.daemon.driver import Driver
from caponier.daemon.engines.base import (
    Acquire,
    LifetimeReached,
    PacketDropped,
    PeerMoved,
    PortFailed,
    SaTraffic,
    SequenceExhausted,
)
from caponier.daemon.engines.userspace import UserspaceEngine
from caponier.daemon.guard import Guard
from caponier.daemon.healing import Healing
from caponier.daemon.journal import Journal, Trouble
from caponier.daemon.policies import Policies
from caponier.daemon.resolver import Resolver
from caponier.daemon.resolver import way as way_of
from caponier.daemon.routes import Routes
from caponier.daemon.sockets import Sockets, open_sockets, path_mtu
from caponier.daemon.waiting import Waiting
from caponier.daemon.ways import Watch, Ways
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import CaponierError, EngineError, MisuseError
from caponier.protocols.ike.events import (
    AddressesAssigned,
    ChildSaInstalled,
    ChildSaRemoved,
    Event,
    IkeSaClosed,
    IkeSaStatus,
    NegotiationFailed,
    Role,
)
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Connection, Start
from caponier.protocols.ike.v2.lifecycle import Phase

LOOK_SECONDS = 10.0  #: between two looks at paths, and after which a drop of a kind that was told is told again
FAREWELL_SECONDS = 4.0  #: how long peers may take to confirm our Deletes when we stop

_STANDING = (Phase.ESTABLISHED.value, Phase.REKEYING.value)

log = logging.getLogger("caponier.daemon")


class UnknownName(MisuseError):
    """There is no connection or child of that name."""


class Ending(CaponierError):
    """The daemon ends while somebody waits."""


class TookTooLong(CaponierError):
    """Somebody waited, and it is not there yet; it may still come."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a status shows.

    Attributes:
        since: when the daemon started, UTC.
        now: the instant that IKE SAs' times are measured from.
        configuration: in force.
        ike_sas: as the core tells them.
        traffic: by inbound SPI.
        troubles: the last ones.
        half_open: IKE SAs of peers that have not authenticated themselves.
        drops: IKE datagrams that were dropped, by reason.
        plane_drops: packets dropped outside of any SA, by reason.
        interface: the tunnel's.
        warnings: what of the system's settings is in the way.
        held: how many addresses of each pool peers have, by its name.
    """

    since: datetime
    now: float
    configuration: Configuration
    ike_sas: tuple[IkeSaStatus, ...]
    traffic: Mapping[int, SaTraffic]
    troubles: tuple[Trouble, ...]
    half_open: int
    drops: Mapping[str, int]
    plane_drops: Mapping[str, int]
    interface: str
    warnings: list[str]
    held: Mapping[str, int]


@dataclass(slots=True)
class _Watch:
    """What the daemon keeps of one connection.

    Attributes:
        healing: brings it back.
        is_entered: whether its policies are in force.
        waiting: who waits for something of it.
    """

    healing: Healing
    is_entered: bool = False
    waiting: Waiting = field(default_factory=Waiting)


class Daemon:
    """A running daemon; an asynchronous context manager.

    Args:
        configuration: valid.

    Raises:
        EngineError: a privilege is missing, or the system refuses something; nothing is left behind.
        PortTaken: another program has our ports.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._watches: dict[str, _Watch] = {}
        self.journal = Journal(self._place)
        self._news = asyncio.Event()
        self.since = datetime.now(UTC)
        self._undo = contextlib.ExitStack()
        self._is_ending = False

    async def __aenter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._open(undo)
            self._listen(undo)
            self._put_first()
            for connection in self._configuration.connections.values():
                self._add(connection)
            self._driver.pump()
            self._undo = undo.pop_all()
        log.info("ready interface=%s connections=%d", self._engine.interface, len(self._watches))
        return self

    def _open(self, undo: contextlib.ExitStack) -> None:
        table = self._configuration.daemon
        workers = table.workers or _cores()
        self._sockets: Sockets = open_sockets(self._configuration.settings.ports, table.mark, workers)
        undo.callback(self._sockets.close)
        way = partial(path_mtu, mark=table.mark)
        self._engine = UserspaceEngine(table.interface, table.mark, workers, table.mtu, way)
        undo.callback(self._engine.close)
        self._engine.attach(self._sockets.esp_udp, self._sockets.raw)
        self._routes = Routes(self._engine.interface, table.table, table.mark, table.mtu)
        undo.callback(self._routes.close)
        resolver = Resolver(way_of(table.resolver, table.resolv_conf))
        self._assignments = Assignments(resolver, self._interface_of)
        undo.callback(self._assignments.close)
        self._guard = self._stand_guard(undo)
        self._policies = Policies(self._engine, self._routes, self._guard)
        self._ways = Ways(table.mark, lambda: self._routes.interfaces)
        undo.callback(self._ways.close)
        settings = self._configuration.settings
        self._driver = Driver(settings, self._sockets, self._engine, self._policies, self._ways, self._take)

    def _stand_guard(self, undo: contextlib.ExitStack) -> Guard | None:
        """A system without nf_tables still has its tunnels; the status says what it lacks."""
        try:
            guard = Guard(self._engine.interface, self._configuration.settings.ports, self._configuration.daemon.mark)
        except EngineError as error:
            log.warning("%s", error)
            return None
        undo.callback(guard.close)
        return guard

    def _listen(self, undo: contextlib.ExitStack) -> None:
        loop = asyncio.get_running_loop()
        self._driver.assignments = self._assignments
        undo.callback(self._driver.stop)
        self._driver.start()
        undo.callback(loop.remove_reader, self._engine.event_fd())
        loop.add_reader(self._engine.event_fd(), self._engine_events)
        looking = loop.create_task(self._look_again())
        undo.callback(looking.cancel)
        undo.callback(Watch(self._addresses_changed).close)
        self._addresses_changed()

    def _addresses_changed(self) -> None:
        """Addresses or routes of this machine are others now; what may move sees whether it has to (RFC 4555)."""
        self._driver.endpoint.addresses_changed(frozenset(self._ways.addresses()), self._driver.now)
        self._driver.pump()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self._engine.look_again()
                self._enter_again()
            except EngineError as error:
                log.error("%s", error)  # noqa: TRY400 - its message says it all

    async def __aexit__(self, *failure: object) -> None:
        """Tell the peers, then give everything back."""
        for watch in self._watches.values():
            watch.healing.give_up()
        try:
            self._driver.endpoint.shut_down(self._driver.now)
            self._driver.pump()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await self._until(lambda: self._driver.endpoint.is_idle)
        finally:
            self._undo.close()
            log.info("stopped")

    # -- what people ask

    async def up(self, connection: str, child: str | None, seconds: float) -> None:
        """Bring a connection up, or one Child SA of it, and wait until it is.

        Raises:
            UnknownName: there is no such thing.
            CaponierError: why it did not come up.
            TookTooLong: neither yes nor no within ``seconds``.
        """
        wanted = self._named(connection, child)
        watch = self._watches[connection]
        watch.healing.want(child, always=wanted.start is Start.BOOT)
        if self._is_up(wanted, child):
            return
        if self._is_ending:
            raise Ending("the daemon ends")
        try:
            await watch.waiting.until(
                lambda: self._is_up(wanted, child), lambda: self._connect(wanted, child), seconds, child
            )
        except TimeoutError:
            raise TookTooLong(
                f"{connection} is not up after {seconds:g} seconds; it is still being tried",
                hint="see why: caponier status",
            ) from None

    async def down(self, connection: str, child: str | None, seconds: float) -> None:
        """Bring a connection down, or one Child SA of it, and wait until the peer has confirmed.

        Raises:
            UnknownName: there is no such thing.
            TookTooLong: the peer did not confirm within ``seconds``.
        """
        wanted = self._named(connection, child)
        watch = self._watches[connection]
        watch.healing.give_up(child)
        if child is None:
            watch.waiting.fail(MisuseError(f"{connection} was brought down meanwhile"))
        self._driver.endpoint.terminate(connection, self._driver.now, child)
        self._driver.pump()
        try:
            async with asyncio.timeout(seconds):
                await self._until(lambda: self._is_ending or not self._has_sa(wanted, child))
        except TimeoutError:
            raise TookTooLong(f"the peer of {connection} has not confirmed after {seconds:g} seconds") from None
        if self._is_ending:
            raise Ending("the daemon ends; it tells the peer")

    async def rekey_ike(self, connection: str, seconds: float) -> None:
        """Give the IKE SA of a connection new keys, and wait until the old one is gone.

        Raises:
            UnknownName: there is no such connection.
            MisuseError: it is not up.
            CaponierError: why there are none.
            TookTooLong: the peer did not answer within ``seconds``.
        """
        self._named(connection, None)
        old = {sa.id for sa in self._sas(connection)}
        if not old:
            raise MisuseError(f"{connection} is not up", hint="bring it up first: caponier up")
        await self._await_new_keys(
            connection,
            None,
            lambda: old.isdisjoint(sa.id for sa in self._all_sas(connection)),
            lambda: self._driver.endpoint.rekey(connection, self._driver.now),
            seconds,
        )

    async def rekey(self, connection: str, child: str | None, seconds: float) -> None:
        """Give the Child SAs of a connection, or one of them, new keys, and wait until the old ones are gone.

        Raises:
            UnknownName: there is no such thing.
            MisuseError: it is not up.
            CaponierError: why there are none.
            TookTooLong: the peer did not answer within ``seconds``.
        """
        self._named(connection, child)
        old = {each.spi_in: each for sa in self._sas(connection) for each in sa.children if child in (None, each.name)}
        if not old:
            raise MisuseError(f"{child or connection} is not up", hint="bring it up first: caponier up")

        def ask() -> None:
            for spi_in, each in old.items():
                self._driver.endpoint.rekey_child(ProtocolId[each.protocol.upper()], spi_in, self._driver.now)

        def is_over() -> bool:
            return not any(each.spi_in in old for sa in self._all_sas(connection) for each in sa.children)

        await self._await_new_keys(connection, child, is_over, ask, seconds)

    async def _await_new_keys(
        self,
        connection: str,
        child: str | None,
        is_over: Callable[[], bool],
        ask: Callable[[], None],
        seconds: float,
    ) -> None:
        """Ask for new keys, and wait until the old ones are gone."""
        if self._is_ending:
            raise Ending("the daemon ends")

        def begin() -> None:
            ask()
            self._driver.pump()

        try:
            await self._watches[connection].waiting.until(is_over, begin, seconds, child)
        except TimeoutError:
            raise TookTooLong(
                f"{connection} has no new keys after {seconds:g} seconds; the old ones are in use"
            ) from None

    def reload(self) -> list[str]:
        """Read the configuration again; only what changed is touched.

        Returns:
            What changed, for people.

        Raises:
            InvalidConfiguration: nothing was changed.
        """
        fresh = load(self._configuration.file)
        old, new = self._configuration.connections, fresh.connections
        gone = [name for name in old if name not in new]
        changed = [name for name in new if name in old and new[name] != old[name]]
        added = [name for name in new if name not in old]
        told = [f"removed {name}" for name in gone] + [f"changed {name}" for name in changed]
        told += [f"added {name}" for name in added]
        if fresh.policies != self._configuration.policies:
            told.append("changed the policies before all connections")
        if fresh.daemon != self._configuration.daemon:
            told.append("the daemon table changed: it takes effect with the next start")
        for name in (*gone, *changed):
            self._remove(name)
        self._configuration = fresh
        self._put_first()
        for name in (*changed, *added):
            self._add(new[name])
        self._driver.pump()
        self.journal.note("reloaded", None, "; ".join(told) or "nothing changed")
        return told

    def release(self) -> None:
        """The end is near: let those go who wait or watch."""
        self._is_ending = True
        self._news.set()
        for watch in self._watches.values():
            watch.waiting.fail(Ending("the daemon ends"))
        self.journal.close()

    def snapshot(self) -> Snapshot:
        """What is, now."""
        sas = self._driver.endpoint.ike_sas()
        drops = dict(self._driver.endpoint.drops)
        for reason, count in self._driver.drops.items():
            drops[reason] = drops.get(reason, 0) + count
        return Snapshot(
            since=self.since,
            now=self._driver.now,
            configuration=self._configuration,
            ike_sas=sas,
            traffic=self._traffic(sas),
            troubles=self.journal.troubles,
            half_open=self._driver.endpoint.half_open,
            drops=drops,
            plane_drops=self._engine.drops(),
            interface=self._engine.interface,
            warnings=self._warnings(),
            held={pool.name: self._assignments.leases.held(pool) for pool in self._configuration.pools},
        )

    def _warnings(self) -> list[str]:
        found = health.warnings(self._configuration.connections.values(), self._engine.interface)
        if self._guard is None:
            found.append(
                "packets that claim to come from a protected network are not kept out when they arrive in clear:"
                " nf_tables is missing (see the log)"
            )
        return found

    def _place(self, connection: str | None, setting: str | None) -> Place | None:
        return self._configuration.place(connection, setting)

    def _traffic(self, sas: tuple[IkeSaStatus, ...]) -> dict[int, SaTraffic]:
        found = {}
        for sa in sas:
            for child in sa.children:
                with contextlib.suppress(EngineError):
                    found[child.spi_in] = self._engine.counters(child.spi_in)
        return found

    # -- connections

    def _interface_of(self, connection: str) -> str:
        return self._policies.interface_of(connection)

    def _put_first(self) -> None:
        """The policies before all connections."""
        try:
            self._policies.put_first(self._configuration.policies)
        except EngineError as error:
            self.journal.trouble(None, None, "", error)

    def _add(self, connection: Connection) -> None:
        self._driver.endpoint.add_connection(connection)
        name = connection.name
        healing = Healing(
            lambda: self._missing(connection),
            lambda: any(sa.phase == Phase.CONNECTING.value for sa in self._all_sas(name)),
            partial(self._mend, connection),
            is_wanted=connection.start is Start.BOOT,
        )
        self._watches[name] = watch = _Watch(healing)
        self._enter(connection, watch)
        if healing.is_wanted:
            self._connect(connection)

    def _enter(self, connection: Connection, watch: _Watch) -> None:
        """Put the policies in force; what fails now, for its interface is not there yet, is tried again."""
        try:
            self._policies.enter(connection)
        except EngineError as error:  # told like any other failure; the other connections do not suffer from it
            self.journal.trouble(connection.name, None, "", error)
        else:
            watch.is_entered = True

    def _enter_again(self) -> None:
        """Those whose policies could not be put in force."""
        for name, watch in self._watches.items():
            if not watch.is_entered:
                self._policies.leave(name)
                self._enter(self._configuration.connections[name], watch)

    def _mend(self, connection: Connection, lacks: set[str]) -> None:
        """Ask for what a connection lacks: its IKE SA, or some of its Child SAs."""
        if not any(sa.phase == Phase.ESTABLISHED.value for sa in self._sas(connection.name)):
            self._connect(connection)
            return
        for child in lacks:
            self._connect(connection, child)

    def _remove(self, name: str) -> None:
        watch = self._watches.pop(name)
        watch.healing.give_up()
        watch.waiting.fail(UnknownName(f"connection {name} was removed or changed meanwhile"))
        self._policies.leave(name)
        self._driver.endpoint.remove_connection(name, self._driver.now)
        self.journal.forget(name)

    def _connect(self, connection: Connection, child: str | None = None) -> None:
        """Start bringing a connection up, or only a Child SA where its IKE SA is up.

        A failure to even start is told like any other.
        """
        endpoint, now = self._driver.endpoint, self._driver.now
        try:
            if child is not None and any(sa.phase == Phase.ESTABLISHED.value for sa in self._sas(connection.name)):
                endpoint.initiate_child(connection.name, child, now)
            else:
                endpoint.initiate(connection.name, self._path(connection), now)
        except CaponierError as error:
            self._failed(connection.name, None, error)
            self.journal.trouble(connection.name, None, "", error)
            self._heal(connection.name)
        self._driver.pump()

    def _path(self, connection: Connection) -> Path:
        ports = self._configuration.settings.ports
        for remote in connection.remote.addresses:
            ours = [local for local in connection.local.addresses if local.version == remote.version]
            local = ours[0] if ours else self._routes.local_address_towards(remote)
            if local is not None and (ours or not connection.local.addresses):
                return Path(local, ports.ike, remote, ports.ike)
        if not connection.remote.addresses:
            raise MisuseError(
                f"where is the peer of {connection.name}? remote.address says anywhere",
                hint="set remote.address, or let the peer connect",
            )
        raise EngineError(
            f"no address of ours reaches {connection.remote.addresses[0]}",
            hint="is there a route, and does local.address have the same family?",
        )

    def _named(self, connection: str, child: str | None) -> Connection:
        found = self._configuration.connections.get(connection)
        if found is None:
            hint = _nearest(connection, self._configuration.connections)
            raise UnknownName(f"there is no connection named {connection}", hint=hint)
        children = [policy.name for policy in found.children]
        if child is not None and child not in children:
            raise UnknownName(f"connection {connection} has no child named {child}", hint=_nearest(child, children))
        return found

    def _sas(self, connection: str) -> list[IkeSaStatus]:
        """Those that stand."""
        return [sa for sa in self._all_sas(connection) if sa.phase in _STANDING]

    def _all_sas(self, connection: str) -> list[IkeSaStatus]:
        """Those that come, stand, or go."""
        return list(self._driver.endpoint.ike_sas(connection))

    def _is_up(self, connection: Connection, child: str | None) -> bool:
        missing = self._missing(connection)
        return not missing if child is None else child not in missing

    def _missing(self, connection: Connection) -> set[str]:
        """Names of the Child SAs that are not there."""
        there = {each.name for sa in self._sas(connection.name) for each in sa.children}
        return {policy.name for policy in connection.children} - there

    def _has_sa(self, connection: Connection, child: str | None) -> bool:
        if child is None:
            return self._driver.endpoint.has_ike_sa(connection.name)
        sas = self._all_sas(connection.name)
        return any(each.name == child for sa in sas for each in sa.children)

    # -- what happens

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until something has happened that makes ``condition`` true."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    def _take(self, event: Event) -> None:
        if isinstance(event, AddressesAssigned):
            self.journal.note("addresses-assigned", event.connection, told(event))
            return
        self.journal.take(event)
        self._news.set()
        match event:
            case ChildSaInstalled(connection=connection) | ChildSaRemoved(connection=connection):
                self._changed(connection)
                self._heal(connection)
            case NegotiationFailed(connection, child, role, _, error) if connection is not None:
                is_a_strangers = role is Role.RESPONDER and child is None
                if not is_a_strangers:  # whose failure is nobody's answer here, whatever it resembles
                    self._failed(connection, child, error)
                self._heal(connection)
            case IkeSaClosed(_, connection, _, error):
                if error is not None:
                    self._failed(connection, None, error)
                self._changed(connection)
                self._heal(connection)
            case _:
                pass

    def _changed(self, name: str) -> None:
        """Something of a connection came or went."""
        if name in self._watches:
            self._watches[name].waiting.look()

    def _heal(self, name: str) -> None:
        """See whether a connection has all that it is to have."""
        if name in self._watches:
            self._watches[name].healing.look()

    def _failed(self, name: str, child: str | None, error: CaponierError) -> None:
        if name in self._watches:
            self._watches[name].waiting.fail(error, child)

    def _engine_events(self) -> None:
        for event in self._engine.events():
            match event:
                case Acquire(connection, child):
                    self._acquired(connection, child)
                case SequenceExhausted(spi_in):
                    text = f"SPI {spi_in:08x} in: its other direction is used up"
                    self.journal.note("sequence-exhausted", self._policies.owner(spi_in), text)
                case LifetimeReached():
                    self._lifetime_reached(event)
                case PeerMoved():
                    self._peer_moved(event)
                case PortFailed(interface, errno):
                    what = "a socket" if interface is None else f"the interface {interface}"
                    text = (
                        f"{what} failed: {os.strerror(errno)}; its Child SAs stay, restart the daemon when it is mended"
                    )
                    log.error("%s", text)
                    self.journal.note("engine-failed", None, text)
                case PacketDropped():
                    self.journal.note("dropped", self._policies.owner(event.spi_in), audit_text(event))

    def _lifetime_reached(self, reached: LifetimeReached) -> None:
        """It carried as much as it may: at the soft limit it is replaced, at the hard one deleted."""
        owner = self._policies.owner(reached.spi_in)
        what = "lifetime" if reached.is_hard else "time to be replaced"
        told = f"SPI {reached.spi_in:08x} in: its {what} is reached, {reached.direction.value}bound"
        self.journal.note("expired" if reached.is_hard else "expiring", owner, told)
        endpoint, now = self._driver.endpoint, self._driver.now
        if reached.is_hard:
            endpoint.expire_child(reached.protocol, reached.spi_in, now)
        else:
            endpoint.rekey_child(reached.protocol, reached.spi_in, now)
        self._driver.pump()

    def _peer_moved(self, moved: PeerMoved) -> None:
        """The peer's packets come from elsewhere: we go with it where we may."""
        told = f"SPI {moved.spi_in:08x} in: the peer's packets come from {moved.address} port {moved.port} now"
        self.journal.note("peer-moved", self._policies.owner(moved.spi_in), told)
        self._driver.endpoint.follow_peer(moved.protocol, moved.spi_in, moved.address, moved.port, self._driver.now)
        self._driver.pump()

    def _acquired(self, name: str, child: str) -> None:
        watch, connection = self._watches.get(name), self._configuration.connections.get(name)
        if watch is None or connection is None or self._is_up(connection, child):
            return
        if connection.start is not Start.ON_DEMAND and not watch.healing.wants(child):
            return  # its packets are held back, and nobody wants it up
        # Where one is there, it is under way, and each further packet reports itself again.
        if not self._driver.endpoint.has_ike_sa(name):
            self.journal.note("acquired", name, f"a packet wants child {child}")
        self._connect(connection)


def _cores() -> int:
    """Those that we may run on."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def _nearest(word: str, names: Iterable[str]) -> str:
    """The name that was probably meant, or all that there are."""
    known = list(names)
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"
