"""Drives the core: datagrams and time in, datagrams and effects out. All on the event loop's thread."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from caponier.daemon.assignments import Assignments
from caponier.daemon.engines.base import Engine
from caponier.daemon.policies import Policies
from caponier.daemon.sockets import IkePort, Sockets
from caponier.daemon.throttle import Throttle
from caponier.daemon.ways import Ways
from caponier.errors import CaponierError, EngineError, InternalError
from caponier.protocols.ike.effects import (
    AllocateSpi,
    ApplyAssignment,
    CountReceived,
    Effect,
    FindPaths,
    InstallChildSa,
    LeaseAddress,
    MoveChildSa,
    ReleaseAddress,
    ReleaseSpi,
    RemoveChildSa,
    RetireChildSa,
    Sign,
    WithdrawAssignment,
)
from caponier.protocols.ike.endpoint import Endpoint
from caponier.protocols.ike.events import Event
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Settings

log = logging.getLogger("caponier.driver")


class Driver:
    """An endpoint with its sockets, its engine and its policies.

    Args:
        settings: for the core.
        sockets: open.
        engine: running.
        policies: put Child SAs to work.
        ways: know which addresses lead to a peer.
        tell: takes each event of the core.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sockets,
        engine: Engine,
        policies: Policies,
        ways: Ways,
        tell: Callable[[Event], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.endpoint = Endpoint(settings, os.urandom, self._date)
        self._sockets = sockets
        self._engine = engine
        self._policies = policies
        self._ways = ways
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self._signatures: set[asyncio.Task[None]] = set()
        self.drops: Counter[str] = Counter()
        self.assignments: Assignments | None = None  #: sees to internal addresses
        self._throttle = Throttle()

    @property
    def now(self) -> float:
        """The instant, as the core counts them."""
        return self._loop.time()

    def start(self) -> None:
        """Listen."""
        for port in self._sockets.ike:
            self._loop.add_reader(port.endpoint.fileno(), self._readable, port)

    def stop(self) -> None:
        """Stop listening; sockets, engine and policies belong to the caller."""
        for port in self._sockets.ike:
            self._loop.remove_reader(port.endpoint.fileno())
        if self._timer is not None:
            self._timer.cancel()
        for task in self._signatures:
            task.cancel()

    def pump(self) -> None:
        """Take out of the core whatever came out; call it after everything that was put in."""
        busy = True
        try:
            while busy:
                busy = self._send() | self._perform() | self._report()
        finally:
            self._schedule()

    # -- in

    def _readable(self, port: IkePort) -> None:
        self.drops += port.receive(self._deliver)
        self.pump()

    def _deliver(self, octets: bytes, path: Path) -> None:
        try:
            self.endpoint.receive_datagram(octets, path, self.now)
        except Exception:  # a bug of ours must not end the daemon: the datagram is lost, and its story is told
            if self._count_bug():
                log.exception("a datagram from %s could not be handled", path.remote)

    def _wake(self) -> None:
        self._timer = None
        try:
            self.endpoint.handle_timeout(self.now)
        except Exception:  # as above; the timers of the other IKE SAs go on
            if self._count_bug():
                log.exception("a timer could not be handled")
        self.pump()

    def _count_bug(self) -> bool:
        """Count a bug of ours; whether its story is told, for that of each of many would fill the disk."""
        self.drops["internal-error"] += 1
        return self._throttle.admit("bug") is not None

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at = self.endpoint.next_timeout()
        self._timer = None if at is None else self._loop.call_at(at, self._wake)

    # -- out

    def _send(self) -> bool:
        datagrams = self.endpoint.datagrams_to_send()
        for datagram in datagrams:
            try:
                self._sockets.send(datagram)
            except OSError as error:
                self.drops["send-failed"] += 1
                if self._throttle.admit("send-failed") is not None:
                    log.info("not sent peer=%s why=%s", datagram.path.remote, error.strerror)
        return bool(datagrams)

    def _report(self) -> bool:
        event = self.endpoint.next_event()
        if event is None:
            return False
        self._tell(event)
        return True

    def _perform(self) -> bool:
        effect = self.endpoint.next_effect()
        if effect is None:
            return False
        if isinstance(effect, Sign):
            self._sign(effect)
            return True
        self.endpoint.complete(effect, self._result(effect), self.now)
        return True

    def _result(self, effect: Effect) -> object:
        """What carrying out an effect gave, or the error: the exchange that waits for it must hear of both."""
        try:
            return self._carry_out(effect)
        except CaponierError as error:
            return error
        except Exception as error:  # as above; it ends this exchange and no other
            if self._count_bug():
                log.exception("%s could not be carried out", type(effect).__name__)
            return InternalError(f"{type(effect).__name__} failed: {error}")

    def _carry_out(self, effect: Effect) -> object:
        match effect:
            case AllocateSpi(protocol):
                return self._engine.allocate_spi(protocol)
            case ReleaseSpi(protocol, spi):
                self._engine.release_spi(protocol, spi)
            case InstallChildSa(child):
                self._policies.install(child)
            case RetireChildSa(protocol, spi_in):
                self._engine.retire(protocol, spi_in)
            case RemoveChildSa(protocol, spi_in):
                self._policies.remove(protocol, spi_in)
            case MoveChildSa(protocol, spi_in, path):
                self._engine.move(protocol, spi_in, path)
            case FindPaths(ours, remotes):
                return self._ways.find(ours, remotes)
            case CountReceived(children):
                return sum(self._received(spi_in) for _, spi_in in children)
            case LeaseAddress() | ReleaseAddress() | ApplyAssignment() | WithdrawAssignment():
                return self._see_to(effect)
            case _:
                raise InternalError(f"an effect that nobody carries out: {type(effect).__name__}")
        return None

    def _see_to(self, effect: Effect) -> object:
        if self.assignments is None:
            raise EngineError("there is nobody here who sees to internal addresses")
        return self.assignments.carry_out(effect)

    def _received(self, spi_in: int) -> int:
        try:
            return self._engine.counters(spi_in).inbound.packets
        except EngineError:  # it is gone
            return 0

    def _sign(self, effect: Sign) -> None:
        """A signature takes milliseconds, or seconds on a smart card: never on the loop's thread."""

        async def work() -> None:
            result: object
            try:
                result = await self._loop.run_in_executor(None, effect.key.sign, effect.scheme, effect.octets)
            except CaponierError as error:
                result = error
            except Exception as error:  # as above
                if self._count_bug():
                    log.exception("a signature could not be made")
                result = InternalError(f"the signature failed: {error}")
            self.endpoint.complete(effect, result, self.now)
            self.pump()

        task = self._loop.create_task(work())
        self._signatures.add(task)
        task.add_done_callback(self._signatures.discard)

    def _date(self, instant: float) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=instant - self.now)
