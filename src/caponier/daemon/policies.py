"""The SPD as the system has it: the engine's policies, the routes into the tunnel, and the guard before it.

RFC 4301 section 5: a packet that matches a PROTECT policy is protected or discarded, in both directions, also while there is
no SA. So a policy is *held* for as long as its connection is configured: its traffic is routed into the tunnel, where the
engine drops it and asks for an SA, and what arrives in clear is dropped by the guard. A connection that lets traffic pass
while it is down (``while_down = "pass"``) has these only while its SA stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from caponier.daemon.engines.base import Engine
from caponier.daemon.guard import Guard
from caponier.daemon.routes import Route, Routes, networks
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import CaponierError
from caponier.protocols.ike.effects import ChildSa
from caponier.protocols.ike.policy import Connection


@dataclass(slots=True)
class _Installed:
    """What one Child SA brought with it.

    Attributes:
        routes: into the tunnel.
        guarded: the connection and child whose guard came with it; None where it was there before.
    """

    routes: list[Route]
    guarded: tuple[str, str] | None


@dataclass(slots=True)
class _Held:
    """What a connection has in force whether it is up or not."""

    connection: Connection
    routes: list[Route] = field(default_factory=list)


class Policies:
    """Policies, routes and guard, kept in step.

    Args:
        engine: carries the packets.
        routes: lead them there.
        guard: drops what comes in clear; None where the system has none.
    """

    def __init__(self, engine: Engine, routes: Routes, guard: Guard | None) -> None:
        self._engine = engine
        self._routes = routes
        self._guard = guard
        self._held: dict[str, _Held] = {}
        self._installed: dict[int, _Installed] = {}  # by inbound SPI

    def hold(self, connection: Connection) -> None:
        """Put the policies of a connection in force before it has any SA.

        Raises:
            EngineError: one of them is refused; those before it are in force.
        """
        held = self._held.setdefault(connection.name, _Held(connection))
        for child in connection.children:
            self._engine.trap(connection.name, child.name, child.local, child.remote)
            routes = [Route(network) for network in networks(child.remote)]
            self._routes.add(routes)
            held.routes += routes
            if self._guard is not None:
                self._guard.protect((connection.name, child.name), child.local, child.remote)

    def release(self, name: str) -> None:
        """Undo :meth:`hold`; does nothing where nothing is held."""
        held = self._held.pop(name, None)
        if held is None:
            return
        self._routes.remove(held.routes)
        for child in held.connection.children:
            self._engine.untrap(name, child.name)
            if self._guard is not None:
                self._guard.release((name, child.name))

    def install(self, child: ChildSa) -> None:
        """Put a Child SA to work.

        Raises:
            EngineError: it is refused; nothing of it is in force.
        """
        source = self._routes.source_for(child.local)
        wanted = [
            Route(network, source if source is not None and source.version == network.version else None)
            for network in networks(child.remote)
        ]
        self._engine.install(child)
        try:
            self._routes.add(wanted)
            guarded = self._watch_over(child)
        except CaponierError:
            self._routes.remove(wanted)
            self._engine.remove(child.protocol, child.spi_in)
            raise
        self._installed[child.spi_in] = _Installed(wanted, guarded)

    def _watch_over(self, child: ChildSa) -> tuple[str, str] | None:
        """Guard what a Child SA carries where its policy is not held."""
        if self._guard is None or child.connection in self._held:
            return None
        key = (child.connection, child.name)
        self._guard.protect(key, child.local, child.remote)
        return key

    def remove(self, protocol: ProtocolId, spi_in: int) -> None:
        """Take a Child SA out of work; what holds its policy stays in force."""
        gone = self._installed.pop(spi_in, None)
        if gone is not None:
            self._routes.remove(gone.routes)
            still = any(each.guarded == gone.guarded for each in self._installed.values())
            if self._guard is not None and gone.guarded is not None and not still:
                self._guard.release(gone.guarded)
        self._engine.remove(protocol, spi_in)
