"""The SPD as the system has it: the engine's policies, the routes into the tunnel, and the guard before it.

RFC 4301 section 5: a packet that matches a PROTECT policy is protected or discarded, in both directions, also while there is
no SA. So a policy is *held* for as long as its connection is configured: its traffic is routed into the tunnel, where the
engine drops it and asks for an SA, and what arrives in clear is dropped by the guard. A connection that lets traffic pass
while it is down (``while_down = "pass"``) has these only while its SA stands.

A connection with an interface of its own has an SPD of its own there (RFC 4301 section 4.4.1 allows one for each interface).
Who routes into it by hand decides what is protected, so that neither routes nor guard are ours then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from caponier.daemon.engines.base import Engine
from caponier.daemon.guard import Guard
from caponier.daemon.routes import Route, Routes, networks
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import CaponierError
from caponier.mechanisms.negotiation.selectors import IpAddress, TrafficSelector, format_selector
from caponier.mechanisms.negotiation.spd import SpdEntry
from caponier.protocols.ike.effects import ChildSa
from caponier.protocols.ike.policy import Attachment, ChildPolicy, Connection, Mode, WhileDown

_SHARED = Attachment()


@dataclass(slots=True)
class _Installed:
    """What one Child SA brought with it.

    Attributes:
        connection: that it is of.
        interface: that it uses.
        routes: into the tunnel.
        guarded: the connection and child whose guard came with it; None where it was there before.
    """

    connection: str
    interface: str | None
    routes: list[Route]
    guarded: tuple[str, str] | None


@dataclass(slots=True)
class _Entered:
    """What a connection has in force whether it is up or not.

    Attributes:
        connection: as configured.
        interface: of its own, that it uses.
        held: the children whose policies are in force.
        routes: into the tunnel.
    """

    connection: Connection
    interface: str | None = None
    held: list[ChildPolicy] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)


class Policies:
    """Policies, routes, guard and interfaces, kept in step.

    Args:
        engine: carries the packets.
        routes: lead them there.
        guard: drops what comes in clear; None where the system has none.
    """

    def __init__(self, engine: Engine, routes: Routes, guard: Guard | None) -> None:
        self._engine = engine
        self._routes = routes
        self._guard = guard
        self._entered: dict[str, _Entered] = {}
        self._installed: dict[int, _Installed] = {}  # by inbound SPI
        self._watched: Counter[tuple[str, str]] = Counter()  # Child SAs whose guard came with them
        self._users: Counter[str] = Counter()  # connections and Child SAs of each interface of its own

    def put_first(self, entries: Sequence[SpdEntry]) -> None:
        """BYPASS and DISCARD, before all connections; they replace those before.

        Raises:
            EngineError: one of them is refused.
        """
        self._engine.put_first(entries)
        if self._guard is not None:
            self._guard.put_first(entries)

    # -- connections

    def enter(self, connection: Connection) -> None:
        """A connection is configured from now on. Unless its traffic may pass while it is down, its policies are in force.

        Raises:
            EngineError: something of it is refused; what was done before is in force.
        """
        entered = self._entered[connection.name] = _Entered(connection)
        self._use(connection.attachment.interface)
        entered.interface = connection.attachment.interface
        if connection.while_down is WhileDown.DISCARD:
            for child in connection.children:
                self._hold(entered, child)

    def _hold(self, entered: _Entered, child: ChildPolicy) -> None:
        """Put a policy in force before there is any SA for it."""
        name, attachment = entered.connection.name, entered.connection.attachment
        self._engine.trap(name, child.name, child.local, child.remote, attachment.interface)
        entered.held.append(child)
        if attachment.routes:
            sources = self._routes.sources_for(child.local) if child.mode is Mode.TRANSPORT else {}
            routes = _routes(child.remote, sources, attachment)
            self._routes.add(routes)
            entered.routes += routes
        if self._guard is not None and _is_guarded(attachment):
            self._guard.protect((name, child.name), child.local, child.remote)

    def leave(self, name: str) -> None:
        """Undo :meth:`enter`; Child SAs that stand keep what they brought with them."""
        entered = self._entered.pop(name, None)
        if entered is None:
            return
        self._routes.remove(entered.routes)
        for child in entered.held:
            self._engine.untrap(name, child.name)
            if self._guard is not None:
                self._guard.release((name, child.name))
        self._leave_interface(entered.interface)

    # -- Child SAs

    def install(self, child: ChildSa) -> None:
        """Put a Child SA to work.

        Raises:
            EngineError: it is refused; nothing of it is in force.
        """
        attachment = self._attachment(child.connection)
        wanted = _routes(child.remote, self._routes.sources_for(child.local), attachment)
        self._use(attachment.interface)
        try:
            guarded = self._set_to_work(child, attachment, wanted)
        except CaponierError:
            self._leave_interface(attachment.interface)
            raise
        self._installed[child.spi_in] = _Installed(child.connection, attachment.interface, wanted, guarded)

    def _set_to_work(self, child: ChildSa, attachment: Attachment, routes: list[Route]) -> tuple[str, str] | None:
        self._engine.install(child, attachment.interface)
        try:
            self._routes.add(routes)
            return self._watch_over(child, attachment)
        except CaponierError:
            self._routes.remove(routes)
            self._engine.remove(child.protocol, child.spi_in)
            raise

    def _watch_over(self, child: ChildSa, attachment: Attachment) -> tuple[str, str] | None:
        """Guard what a Child SA carries where its policy is not held."""
        entered = self._entered.get(child.connection)
        is_held = entered is not None and any(each.name == child.name for each in entered.held)
        if self._guard is None or is_held or not _is_guarded(attachment):
            return None
        key = (child.connection, _one_of_many(child))
        self._guard.protect(key, child.local, child.remote)
        self._watched[key] += 1
        return key

    def _stop_watching(self, key: tuple[str, str] | None) -> None:
        """One Child SA less whose guard came with it; the last one takes it away."""
        if self._guard is None or key is None:
            return
        self._watched[key] -= 1
        if not self._watched[key]:
            del self._watched[key]
            self._guard.release(key)

    def owner(self, spi_in: int | None) -> str | None:
        """The connection that a Child SA is of; None where there is no such Child SA."""
        found = None if spi_in is None else self._installed.get(spi_in)
        return None if found is None else found.connection

    def remove(self, protocol: ProtocolId, spi_in: int) -> None:
        """Take a Child SA out of work; what holds its policy stays in force."""
        gone = self._installed.pop(spi_in, None)
        if gone is not None:
            self._routes.remove(gone.routes)
            self._stop_watching(gone.guarded)
        self._engine.remove(protocol, spi_in)
        if gone is not None:
            self._leave_interface(gone.interface)

    # -- interfaces

    def _attachment(self, connection: str) -> Attachment:
        entered = self._entered.get(connection)
        return _SHARED if entered is None else entered.connection.attachment

    def interface_of(self, connection: str) -> str:
        """The name of the interface that a connection's packets come and go by."""
        return self._attachment(connection).interface or self._engine.interface

    def _use(self, interface: str | None) -> None:
        """One more needs this interface: make it, if it is the first.

        Raises:
            EngineError: it cannot be made.
        """
        if interface is None:
            return
        if not self._users[interface]:
            self._engine.open_interface(interface)
            try:
                self._routes.open_interface(interface)
                if self._guard is not None:
                    self._guard.let_through(interface)
            except CaponierError:
                self._close_interface(interface)
                raise
        self._users[interface] += 1

    def _leave_interface(self, interface: str | None) -> None:
        """One less needs this interface: the last one takes it away."""
        if interface is None or not self._users[interface]:
            return
        self._users[interface] -= 1
        if not self._users[interface]:
            self._close_interface(interface)

    def _close_interface(self, interface: str) -> None:
        if self._guard is not None:
            self._guard.forget(interface)
        self._routes.close_interface(interface)
        self._engine.close_interface(interface)


def _routes(remote: Sequence[TrafficSelector], sources: Mapping[int, IpAddress], attachment: Attachment) -> list[Route]:
    """What leads into the tunnel; nothing where people route by themselves.

    Args:
        remote: networks of the far side.
        sources: our own address inside, by family.
        attachment: where the packets go.
    """
    if not attachment.routes:
        return []
    return [Route(network, sources.get(network.version), attachment.interface) for network in networks(remote)]


def _one_of_many(child: ChildSa) -> str:
    """What tells the Child SAs of one policy apart that are with different peers: their selectors."""
    ends = (",".join(map(format_selector, side)) for side in (child.local, child.remote))
    return f"{child.name} {' '.join(ends)}"


def _is_guarded(attachment: Attachment) -> bool:
    """Whether what fits the policies is protected wherever it comes from, or only what is routed into the interface."""
    return attachment.interface is None or attachment.routes
