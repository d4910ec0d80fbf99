"""The user-space engine: the Rust plane on a TUN interface."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address
from typing import TypedDict

from caponier._plane import Plane, PlaneError
from caponier.daemon.engines.base import (
    Acquire,
    Direction,
    EngineEvent,
    LifetimeReached,
    PacketDropped,
    PeerMoved,
    PortFailed,
    SaTraffic,
    SequenceExhausted,
    Traffic,
)
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import EngineError
from caponier.mechanisms.negotiation.selectors import TrafficSelector
from caponier.mechanisms.negotiation.spd import SpdEntry
from caponier.protocols.ike.effects import ChildSa, DirectionKeys
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Mode

_FIRST_SPI = 256  #: RFC 4303 section 2.1
_FIRST_ORDER = -(1 << 40)  #: of the policies that stand before all Child SAs
_LOOKS = 500  #: paths that are looked at in one go, at some 10 µs each
_PROTOCOLS: Mapping[ProtocolId, str] = {ProtocolId.ESP: "esp", ProtocolId.AH: "ah"}
_PROTOCOL_IDS = {name: number for number, name in _PROTOCOLS.items()}
_PlaneSelector = tuple[int, int, int, str, str]
_Details = Mapping[str, str | int]


@dataclass(slots=True)
class _Installed:
    """What the plane has of one Child SA.

    Attributes:
        child: the Child SA.
        handle: of its outbound direction; None when that is retired.
        interface: that its packets come and go by.
        path_mtu: octets of the packets that its path carries, as the plane was told; 0 where it is not known.
    """

    child: ChildSa
    handle: int | None
    interface: str | None
    path_mtu: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the plane's SPD a policy stands: its selectors, and the interface whose packets it is asked about."""

    local: tuple[TrafficSelector, ...]
    remote: tuple[TrafficSelector, ...]
    interface: str | None


_Key = tuple[str, str, _Place]  #: connection, child, and where


@dataclass(slots=True)
class _Policy:
    """One entry of the plane's SPD, for one child of a connection and one pair of selectors: those of the child itself, or
    those that were agreed on with one peer of many.

    Attributes:
        number: in the plane.
        is_trap: whether it stays while there is no SA.
        serving: inbound SPIs of the Child SAs that serve it; the last one sends.
    """

    number: int
    is_trap: bool = False
    serving: list[int] = field(default_factory=list)

    def serve(self, child: ChildSa) -> None:
        """Let a Child SA send, now or, where it defers to another one, after that."""
        if child.defers_to in self.serving:
            self.serving.insert(self.serving.index(child.defers_to), child.spi_in)
        else:
            self.serving.append(child.spi_in)


class UserspaceEngine:
    """Carries Child SAs with :class:`caponier._plane.Plane`.

    No two Child SAs have the same inbound SPI, whatever their protocols, though RFC 4301 section 4.1 allows it: so an SPI
    names one in logs and in the status.

    Args:
        interface: name of the TUN interface; may hold %d.
        mark: fwmark of what the plane sends.
        workers: threads.
        mtu: octets of the largest packet into the tunnel.
        path_mtu: finds the octets of the largest packet that a path carries; 0 where nobody knows.

    Raises:
        EngineError: the interface cannot be created.
    """

    def __init__(
        self,
        interface: str,
        mark: int,
        workers: int = 1,
        mtu: int = 1400,
        path_mtu: Callable[[Path], int] = lambda _: 0,
    ) -> None:
        try:
            self._plane = Plane(interface=interface, mark=mark, workers=workers)
        except PlaneError as error:
            raise EngineError(
                f"the interface {interface} cannot be created: {error}",
                hint="the daemon needs CAP_NET_ADMIN and /dev/net/tun; if the name is taken, set daemon.interface",
            ) from None
        self._mtu = mtu
        self._path_mtu = path_mtu
        self._reserved: set[int] = set()
        self._installed: dict[int, _Installed] = {}  # by our inbound SPI
        self._to_look_at: list[int] = []  # those whose paths have their turn
        self._by_handle: dict[int, int] = {}
        self._policies: dict[_Key, _Policy] = {}
        self._traps: dict[tuple[str, str], _Key] = {}  # by connection and child
        self._by_number: dict[int, tuple[str, str]] = {}
        self._next_policy = 1
        self._interfaces: dict[str | None, int] = {None: 0}
        self._first: tuple[SpdEntry, ...] = ()
        self._first_numbers: dict[str | None, list[int]] = {}  # of the policies of _first, by interface
        self._translations: Mapping[str, Callable[[int, _Details], EngineEvent | None]] = {
            "acquire": self._acquire,
            "sequence-exhausted": self._exhausted,
            "expiring": partial(self._outbound_reached, is_hard=False),
            "expired": partial(self._outbound_reached, is_hard=True),
            "inbound-expiring": partial(self._inbound_reached, is_hard=False),
            "inbound-expired": partial(self._inbound_reached, is_hard=True),
            "peer-moved": self._moved,
            "dropped": self._dropped,
            "port-failed": self._failed,
        }

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

    # -- interfaces

    def open_interface(self, name: str) -> None:
        if name in self._interfaces:
            return
        try:
            number, _ = self._plane.add_interface(name)
        except PlaneError as error:
            raise EngineError(
                f"the interface {name} cannot be created: {error}", hint="if the name is taken, choose another"
            ) from None
        self._interfaces[name] = number
        with _told():
            self._put_first(name)

    def close_interface(self, name: str) -> None:
        number = self._interfaces.pop(name, None)
        if number is None:
            return
        with _told():
            self._remove_first(name)
            self._plane.remove_interface(number)

    # -- SPIs and Child SAs

    def allocate_spi(self, protocol: ProtocolId) -> int:
        """A random SPI that is not in use."""
        if protocol not in _PROTOCOLS:
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

    def install(self, child: ChildSa, interface: str | None = None) -> None:
        """Inbound before outbound before policy: nothing is sent before its answer can be received."""
        path_mtu = self._path_mtu(child.path)
        with _told():
            self._install_inbound(child, interface)
            try:
                handle = self._install_outbound(child, path_mtu)
            except PlaneError:
                self._plane.remove_inbound(child.spi_in, _PROTOCOLS[child.protocol])
                raise
        self._reserved.add(child.spi_in)
        self._installed[child.spi_in] = _Installed(child, handle, interface, path_mtu)
        self._by_handle[handle] = child.spi_in
        key = _key(child, interface)
        self._policy(key).serve(child)
        with _told():
            self._write_policy(key)

    def retire(self, protocol: ProtocolId, spi_in: int) -> None:
        del protocol
        installed = self._installed.get(spi_in)
        if installed is None or installed.handle is None:
            return
        handle, installed.handle = installed.handle, None
        self._by_handle.pop(handle, None)
        key = _key(installed.child, installed.interface)
        self._policies[key].serving.remove(spi_in)
        with _told():
            self._write_policy(key)
            self._plane.remove_outbound(handle)

    def remove(self, protocol: ProtocolId, spi_in: int) -> None:
        self.retire(protocol, spi_in)
        self._reserved.discard(spi_in)
        if self._installed.pop(spi_in, None) is not None:
            with _told():
                self._plane.remove_inbound(spi_in, _PROTOCOLS[protocol])

    def move(self, protocol: ProtocolId, spi_in: int, path: Path) -> None:
        installed = self._installed.get(spi_in)
        if installed is None or installed.handle is None:
            return
        installed.child = replace(installed.child, path=path)
        way = _tunnel(path)
        remote_address, remote_port = way["remote_address"], way["remote_port"]
        with _told():
            self._plane.move_outbound(installed.handle, **way)
            self._plane.move_inbound(
                spi_in, protocol=_PROTOCOLS[protocol], remote_address=remote_address, remote_port=remote_port
            )
        self._set_path_mtu(installed, self._path_mtu(path))

    # -- policies

    def trap(
        self,
        connection: str,
        child: str,
        local: Sequence[TrafficSelector],
        remote: Sequence[TrafficSelector],
        interface: str | None = None,
    ) -> None:
        self.untrap(connection, child)
        key = self._traps[connection, child] = (connection, child, _Place(tuple(local), tuple(remote), interface))
        self._policy(key).is_trap = True
        with _told():
            self._write_policy(key)

    def untrap(self, connection: str, child: str) -> None:
        key = self._traps.pop((connection, child), None)
        if key is not None:
            self._policies[key].is_trap = False
            with _told():
                self._write_policy(key)

    def put_first(self, entries: Sequence[SpdEntry]) -> None:
        self._first = tuple(entries)
        with _told():
            for name in self._interfaces:
                former = self._first_numbers.pop(name, [])
                self._put_first(name)
                for number in former:
                    self._plane.remove_policy(number)

    # -- what is to be seen

    def look_again(self) -> None:
        self._plane.audit_again()
        if not self._to_look_at:
            self._to_look_at = list(self._installed)
        now, self._to_look_at = self._to_look_at[:_LOOKS], self._to_look_at[_LOOKS:]
        for spi_in in now:
            installed = self._installed.get(spi_in)
            if installed is not None:
                self._set_path_mtu(installed, self._path_mtu(installed.child.path))

    def counters(self, spi_in: int) -> SaTraffic:
        installed = self._installed.get(spi_in)
        if installed is None or installed.handle is None:
            raise EngineError(f"there is no SA with SPI {spi_in:#010x}")
        protocol = _PROTOCOLS[installed.child.protocol]
        with _told():
            return SaTraffic(
                inbound=Traffic(*self._plane.inbound_counters(spi_in, protocol)),
                outbound=Traffic(*self._plane.outbound_counters(installed.handle)),
            )

    def drops(self) -> Mapping[str, int]:
        return self._plane.drops()

    def event_fd(self) -> int:
        return self._plane.event_fd()

    def events(self) -> list[EngineEvent]:
        found: list[EngineEvent] = []
        for kind, number, details in self._plane.events():
            translate = self._translations.get(kind)
            event = None if translate is None else translate(number, details)
            if event is not None:  # else about a Child SA that has gone meanwhile
                found.append(event)
        return found

    def close(self) -> None:
        self._plane.close()

    # -- the plane's events

    def _acquire(self, number: int, details: _Details) -> Acquire | None:
        del details
        named = self._by_number.get(number)
        return None if named is None else Acquire(*named)

    def _exhausted(self, number: int, details: _Details) -> SequenceExhausted | None:
        del details
        spi_in = self._by_handle.get(number)
        return None if spi_in is None else SequenceExhausted(spi_in)

    def _outbound_reached(self, number: int, details: _Details, *, is_hard: bool) -> LifetimeReached | None:
        del details
        return self._reached(self._by_handle.get(number), Direction.OUT, is_hard=is_hard)

    def _inbound_reached(self, number: int, details: _Details, *, is_hard: bool) -> LifetimeReached | None:
        del details
        return self._reached(number, Direction.IN, is_hard=is_hard)

    def _reached(self, spi_in: int | None, direction: Direction, *, is_hard: bool) -> LifetimeReached | None:
        installed = None if spi_in is None else self._installed.get(spi_in)
        if installed is None:
            return None
        return LifetimeReached(installed.child.protocol, installed.child.spi_in, direction, is_hard)

    def _moved(self, spi_in: int, details: _Details) -> PeerMoved | None:
        installed = self._installed.get(spi_in)
        if installed is None:
            return None
        address, port = ip_address(str(details["address"])), int(details["port"])
        return PeerMoved(installed.child.protocol, spi_in, address, port)

    def _dropped(self, number: int, details: _Details) -> PacketDropped:
        """``number`` is the SPI of a packet that came, which may be nobody's, or the handle of an SA of ours, or 0."""
        direction = Direction(details["direction"])
        is_outbound = direction is Direction.OUT
        spi_in = self._by_handle.get(number) if is_outbound else number
        installed = None if spi_in is None else self._installed.get(spi_in)
        outbound_spi = None if installed is None else installed.child.spi_out
        return PacketDropped(
            direction=direction,
            reason=str(details["reason"]),
            protocol=_PROTOCOL_IDS.get(str(details.get("protocol"))),
            spi=outbound_spi if is_outbound else number,
            spi_in=None if installed is None else installed.child.spi_in,
            source=_text(details, "source"),
            destination=_text(details, "destination"),
            sequence=int(details["sequence"]) if "sequence" in details else None,
            inner=(str(details["inner_source"]), str(details["inner_destination"]))
            if "inner_source" in details
            else None,
        )

    def _failed(self, errno: int, details: _Details) -> PortFailed:
        number = details.get("interface")
        names = {each: name or self.interface for name, each in self._interfaces.items()}
        return PortFailed(None if number is None else names.get(int(number), "that is gone"), errno)

    # -- the plane's tables

    def _install_inbound(self, child: ChildSa, interface: str | None) -> None:
        handling = child.handling
        self._plane.install_inbound(
            spi=child.spi_in,
            **_algorithms(child, child.keys_in),
            replay_window=child.replay_window,
            local=_selectors(child.local),
            remote=_selectors(child.remote),
            local_address=str(child.path.local),
            remote_address=str(child.path.remote),
            remote_port=child.path.remote_port if child.path.encapsulated else 0,
            interface=self._interfaces[interface],
            nat=None if child.counted is None else (str(child.counted[0]), str(child.counted[1])),
            ecn=handling.ecn,
            clamp=self._clamp(child),
            lifetime=_lifetime(child),
        )

    def _install_outbound(self, child: ChildSa, path_mtu: int) -> int:
        handling = child.handling
        return self._plane.install_outbound(
            spi=child.spi_out,
            **_algorithms(child, child.keys_out),
            **_tunnel(child.path),
            tfc=self._mtu if handling.tfc is None else handling.tfc,
            dscp=handling.dscp,
            ecn=handling.ecn,
            df=handling.dont_fragment.value,
            path_mtu=path_mtu,
            clamp=self._clamp(child),
            lifetime=_lifetime(child),
        )

    def _clamp(self, child: ChildSa) -> int:
        """Octets of the IP packets that TCP's segments shall fit; 0 where TCP is left alone."""
        return self._mtu if child.handling.clamps_mss and child.mode is Mode.TUNNEL else 0

    def _set_path_mtu(self, installed: _Installed, path_mtu: int) -> None:
        if path_mtu != installed.path_mtu and installed.handle is not None:
            installed.path_mtu = path_mtu
            with _told():
                self._plane.set_path_mtu(installed.handle, path_mtu)

    def _policy(self, key: _Key) -> _Policy:
        if key not in self._policies:
            number = self._number()
            self._policies[key] = _Policy(number)
            self._by_number[number] = key[:2]
        return self._policies[key]

    def _number(self) -> int:
        """A number for a policy that no other had."""
        self._next_policy += 1
        return self._next_policy - 1

    def _write_policy(self, key: _Key) -> None:
        """Bring the plane's policy in line: the newest SA, or the trap, or nothing."""
        policy = self._policies[key]
        if policy.serving:
            self._put(policy.number, key[2], self._installed[policy.serving[-1]].handle)
        elif policy.is_trap:
            self._put(policy.number, key[2], None)
        else:
            del self._policies[key], self._by_number[policy.number]
            self._plane.remove_policy(policy.number)

    def _put(self, number: int, place: _Place, outbound: int | None) -> None:
        self._plane.install_policy(
            policy=number,
            order=-(2 * _narrowness(place) + (outbound is not None)),  # of two alike, the one with an SA first
            interface=self._interfaces[place.interface],
            local=_selectors(place.local),
            remote=_selectors(place.remote),
            action="protect",
            outbound=outbound,
        )

    def _put_first(self, name: str | None) -> None:
        """The policies that stand before all Child SAs, on one interface."""
        numbers = self._first_numbers.setdefault(name, [])
        for order, entry in enumerate(self._first, _FIRST_ORDER):
            numbers.append(self._number())
            self._plane.install_policy(
                policy=numbers[-1],
                order=order,
                interface=self._interfaces[name],
                local=_selectors(entry.local),
                remote=_selectors(entry.remote),
                action=entry.action.value,
                outbound=None,
            )

    def _remove_first(self, name: str | None) -> None:
        for number in self._first_numbers.pop(name, []):
            self._plane.remove_policy(number)


def _key(child: ChildSa, interface: str | None) -> _Key:
    return child.connection, child.name, _Place(child.local, child.remote, interface)


class _Algorithms(TypedDict):
    protocol: str
    mode: str
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
        "protocol": _PROTOCOLS[child.protocol],
        "mode": child.mode.value,
        "encryption": 0 if child.encryption is None else int(child.encryption),
        "key_length": child.key_length or 0,
        "encryption_key": keys.encryption.expose(),
        "integrity": 0 if child.integrity is None else int(child.integrity),
        "integrity_key": keys.integrity.expose(),
        "esn": child.extended_sequence_numbers,
    }


def _lifetime(child: ChildSa) -> tuple[int, int, int, int]:
    """What the plane counts; times are the daemon's business."""
    lifetime = child.lifetime
    return lifetime.soft_octets, lifetime.hard_octets, lifetime.soft_packets, lifetime.hard_packets


def _text(details: _Details, key: str) -> str | None:
    found = details.get(key)
    return None if found is None else str(found)


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


def _narrowness(place: _Place) -> int:
    """The more exactly a policy names the other side, the earlier it is asked, as routes are; then the same of our side,
    then of protocol and ports: of two children for the same networks the one for mail alone gets the mail."""
    remote, local = (min(map(_prefix_bits, side), default=0) for side in (place.remote, place.local))
    named = min(map(_named, (*place.remote, *place.local)), default=0)
    most = max(map(_named, (*place.remote, *place.local)), default=0)
    return ((remote * 256 + local) * 4 + most) * 4 + named


def _named(selector: TrafficSelector) -> int:
    """How much of protocol and ports a selector names."""
    return bool(selector.protocol) + ((selector.start_port, selector.end_port) != (0, 65_535))


def _prefix_bits(selector: TrafficSelector) -> int:
    size = int(selector.end) - int(selector.start) + 1
    return selector.start.max_prefixlen - size.bit_length()


class _told:  # noqa: N801 - reads as a verb: with _told(): ...
    """Turns the plane's refusals into engine errors."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PlaneError):
            raise EngineError(f"the data plane refused: {error}") from None
