"""The user-space engine: the Rust plane on a TUN interface."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from caponier._plane import Plane, PlaneError
from caponier.daemon.engines.base import Acquire, EngineEvent, SaTraffic, SequenceExhausted, Traffic
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import EngineError
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.protocols.ike.effects import ChildSa, DirectionKeys
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Mode

_FIRST_SPI = 256  #: RFC 4303 section 2.1
_PlaneSelector = tuple[int, int, int, str, str]


@dataclass(slots=True)
class _Installed:
    """What the plane has of one Child SA.

    Attributes:
        child: the Child SA.
        handle: of its outbound direction; None when that is retired.
    """

    child: ChildSa
    handle: int | None


@dataclass(slots=True)
class _Policy:
    """One entry of the plane's SPD, for one child of a connection.

    Attributes:
        number: in the plane.
        trapped: the configured selectors, while the child is wanted on demand.
        serving: inbound SPIs of the Child SAs that serve it; the last one sends.
    """

    number: int
    trapped: tuple[tuple[TrafficSelector, ...], tuple[TrafficSelector, ...]] | None
    serving: list[int]

    def serve(self, child: ChildSa) -> None:
        """Let a Child SA send, now or, where it defers to another one, after that."""
        if child.defers_to in self.serving:
            self.serving.insert(self.serving.index(child.defers_to), child.spi_in)
        else:
            self.serving.append(child.spi_in)


class UserspaceEngine:
    """Carries Child SAs with :class:`caponier._plane.Plane`.

    Args:
        interface: name of the TUN interface; may hold %d.
        mark: fwmark of what the plane sends.
        workers: threads.

    Raises:
        EngineError: the interface cannot be created.
    """

    def __init__(self, interface: str, mark: int, workers: int = 1) -> None:
        try:
            self._plane = Plane(interface=interface, mark=mark, workers=workers)
        except PlaneError as error:
            raise EngineError(
                f"the interface {interface} cannot be created: {error}",
                hint="the daemon needs CAP_NET_ADMIN and /dev/net/tun; if the name is taken, set daemon.interface",
            ) from None
        self._reserved: set[int] = set()
        self._installed: dict[int, _Installed] = {}  # by our inbound SPI
        self._by_handle: dict[int, int] = {}
        self._policies: dict[tuple[str, str], _Policy] = {}
        self._by_number: dict[int, tuple[str, str]] = {}
        self._next_policy = 1

    @property
    def interface(self) -> str:
        return self._plane.interface

    def attach(self, udp: Sequence[socket.socket], raw: Sequence[socket.socket]) -> None:
        """Give the plane its sockets, and start it.

        Raises:
            EngineError: it does not take one.
        """
        with _told():
            for each in udp:
                self._plane.attach_udp(each.fileno())
            for each in raw:
                self._plane.attach_raw(each.fileno())
            self._plane.start()

    def allocate_spi(self, protocol: ProtocolId) -> int:
        """A random SPI that is not in use."""
        if protocol != ProtocolId.ESP:
            raise EngineError(f"the user-space engine does not carry {protocol.name}")
        while True:
            spi = secrets.randbelow((1 << 32) - _FIRST_SPI) + _FIRST_SPI
            if spi not in self._reserved:
                self._reserved.add(spi)
                return spi

    def release_spi(self, protocol: ProtocolId, spi: int) -> None:
        del protocol
        if spi not in self._installed:
            self._reserved.discard(spi)

    def install(self, child: ChildSa) -> None:
        """Inbound before outbound before policy: nothing is sent before its answer can be received."""
        if child.mode is not Mode.TUNNEL:
            raise EngineError(f"the user-space engine does not carry {child.mode.value} mode")
        with _told():
            self._install_inbound(child)
            try:
                handle = self._install_outbound(child)
            except PlaneError:
                self._plane.remove_inbound(child.spi_in)
                raise
        self._reserved.add(child.spi_in)
        self._installed[child.spi_in] = _Installed(child, handle)
        self._by_handle[handle] = child.spi_in
        policy = self._policy(child.connection, child.name)
        policy.serve(child)
        with _told():
            self._write_policy(child.connection, child.name)

    def retire(self, protocol: ProtocolId, spi_in: int) -> None:
        del protocol
        installed = self._installed.get(spi_in)
        if installed is None or installed.handle is None:
            return
        handle, installed.handle = installed.handle, None
        self._by_handle.pop(handle, None)
        key = (installed.child.connection, installed.child.name)
        self._policies[key].serving.remove(spi_in)
        with _told():
            self._write_policy(*key)
            self._plane.remove_outbound(handle)

    def remove(self, protocol: ProtocolId, spi_in: int) -> None:
        self.retire(protocol, spi_in)
        self._reserved.discard(spi_in)
        if self._installed.pop(spi_in, None) is not None:
            with _told():
                self._plane.remove_inbound(spi_in)

    def move(self, protocol: ProtocolId, spi_in: int, path: Path) -> None:
        del protocol
        installed = self._installed.get(spi_in)
        if installed is None or installed.handle is None:
            return
        with _told():
            self._plane.move_outbound(installed.handle, **_tunnel(path))

    def trap(
        self, connection: str, child: str, local: Sequence[TrafficSelector], remote: Sequence[TrafficSelector]
    ) -> None:
        self._policy(connection, child).trapped = (tuple(local), tuple(remote))
        with _told():
            self._write_policy(connection, child)

    def untrap(self, connection: str, child: str) -> None:
        if (connection, child) in self._policies:
            self._policies[connection, child].trapped = None
            with _told():
                self._write_policy(connection, child)

    def counters(self, spi_in: int) -> SaTraffic:
        installed = self._installed.get(spi_in)
        if installed is None or installed.handle is None:
            raise EngineError(f"there is no SA with SPI {spi_in:#010x}")
        with _told():
            return SaTraffic(
                inbound=Traffic(*self._plane.inbound_counters(spi_in)),
                outbound=Traffic(*self._plane.outbound_counters(installed.handle)),
            )

    def drops(self) -> Mapping[str, int]:
        return self._plane.drops()

    def event_fd(self) -> int:
        return self._plane.event_fd()

    def events(self) -> list[EngineEvent]:
        """What happened. A failed port ends the engine's use, and is an error.

        Raises:
            EngineError: a socket or the interface failed for good.
        """
        found: list[EngineEvent] = []
        for kind, number, _ in self._plane.events():
            if kind == "acquire" and number in self._by_number:
                found.append(Acquire(*self._by_number[number]))
            elif kind == "sequence-exhausted" and number in self._by_handle:
                found.append(SequenceExhausted(self._by_handle[number]))
            elif kind == "port-failed":
                raise EngineError(f"the interface {self.interface} or a socket failed (errno {number})")
        return found

    def close(self) -> None:
        self._plane.close()

    # -- the plane's tables

    def _install_inbound(self, child: ChildSa) -> None:
        self._plane.install_inbound(
            spi=child.spi_in,
            **_algorithms(child, child.keys_in),
            replay_window=child.replay_window,
            local=_selectors(child.local),
            remote=_selectors(child.remote),
            local_address=str(child.path.local),
            remote_address=str(child.path.remote),
        )

    def _install_outbound(self, child: ChildSa) -> int:
        return self._plane.install_outbound(
            spi=child.spi_out, **_algorithms(child, child.keys_out), **_tunnel(child.path)
        )

    def _policy(self, connection: str, child: str) -> _Policy:
        key = (connection, child)
        if key not in self._policies:
            self._policies[key] = _Policy(self._next_policy, None, [])
            self._by_number[self._next_policy] = key
            self._next_policy += 1
        return self._policies[key]

    def _write_policy(self, connection: str, child: str) -> None:
        """Bring the plane's policy in line: the newest SA, or the trap, or nothing."""
        policy = self._policies[connection, child]
        if policy.serving:
            newest = self._installed[policy.serving[-1]]
            self._put(policy, newest.child.local, newest.child.remote, newest.handle)
        elif policy.trapped is not None:
            self._put(policy, *policy.trapped, None)
        else:
            del self._policies[connection, child], self._by_number[policy.number]
            self._plane.remove_policy(policy.number)

    def _put(
        self,
        policy: _Policy,
        local: Sequence[TrafficSelector],
        remote: Sequence[TrafficSelector],
        outbound: int | None,
    ) -> None:
        self._plane.install_policy(
            policy=policy.number,
            order=-_narrowness(remote),
            local=_selectors(local),
            remote=_selectors(remote),
            action="protect",
            outbound=outbound,
        )


class _Algorithms(TypedDict):
    encryption: int
    key_length: int
    encryption_key: bytes
    integrity: int
    integrity_key: bytes
    esn: bool


class _Tunnel(TypedDict):
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int


def _algorithms(child: ChildSa, keys: DirectionKeys) -> _Algorithms:
    return {
        "encryption": 0 if child.encryption is None else int(child.encryption),
        "key_length": child.key_length or 0,
        "encryption_key": keys.encryption.expose(),
        "integrity": 0 if child.integrity is None else int(child.integrity),
        "integrity_key": keys.integrity.expose(),
        "esn": child.extended_sequence_numbers,
    }


def _tunnel(path: Path) -> _Tunnel:
    """The outer header; without encapsulation there are no ports."""
    return {
        "local_address": str(path.local),
        "local_port": path.local_port if path.encapsulated else 0,
        "remote_address": str(path.remote),
        "remote_port": path.remote_port if path.encapsulated else 0,
    }


def _selectors(selectors: Sequence[TrafficSelector]) -> list[_PlaneSelector]:
    return [(each.protocol, each.start_port, each.end_port, str(each.start), str(each.end)) for each in selectors]


def _narrowness(selectors: Sequence[TrafficSelector]) -> int:
    """The more exactly a policy names the other side, the earlier it is asked: as routes are."""
    return min((_prefix_bits(each) for each in selectors), default=0)


def _prefix_bits(selector: TrafficSelector) -> int:
    size = int(selector.end) - int(selector.start) + 1
    return selector.start.max_prefixlen - size.bit_length()


class _told:  # noqa: N801 - reads as a verb: with _told(): ...
    """Turns the plane's refusals into engine errors."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PlaneError):
            raise EngineError(f"the data plane refused: {error}") from None
