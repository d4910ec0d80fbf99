"""The sockets: IKE on 500 and 4500 for both families, ESP in UDP on 4500, ESP and AH on protocols 50 and 51.

On the encapsulated port the sockets of each family stand in one ``SO_REUSEPORT`` group: the daemon's first, then one for
each worker of the plane. A classic BPF program (socket(7), SO_ATTACH_REUSEPORT_CBPF) looks at the first four octets: zero
is the non-ESP marker (RFC 3948 section 2.2) and goes to the daemon; anything else is an SPI, and all packets of an SPI go
to one worker, in their order. What is too short to have four octets goes to the daemon too, which drops it.

The system gives a packet of protocol 50 or 51 to every raw socket of it, so each worker's takes only its own part of the
SPIs. Packets whose IP header the plane wrote itself leave through one more of each family, of IPPROTO_RAW (raw(7)).
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from caponier.errors import CaponierError, EngineError
from caponier.protocols.ike.path import Datagram, NatKeepalive, Path
from caponier.protocols.ike.policy import Ports

MARKER = bytes(4)  #: the non-ESP marker
SO_ATTACH_FILTER = 26
IP_MTU, IPV6_MTU = 14, 24
LEAST_MTU = 576
SO_ATTACH_REUSEPORT_CBPF = 51
IP_PKTINFO = 8
_ROOM = socket.CMSG_SPACE(20)  # in_pktinfo has 12 octets, in6_pktinfo 20
_BURST = 64  #: datagrams read before others have their turn
MAX_DATAGRAM = 65_535
_MAX_RAW = 4  #: raw sockets of a family: each gets a copy of every packet, if only to refuse it, which costs 0.3 µs

Receive = Callable[[bytes, Path], None]


class PortTaken(CaponierError):
    """Another program has our port."""


@dataclass(frozen=True, slots=True)
class IkePort:
    """One of the daemon's own sockets."""

    endpoint: socket.socket
    family: socket.AddressFamily
    port: int
    encapsulated: bool

    def receive(self, deliver: Receive) -> Counter[str]:
        """Deliver what is there, without the marker; returns how many datagrams were no IKE, by what they were."""
        others: Counter[str] = Counter()
        for _ in range(_BURST):
            try:
                octets, ancillary, _, source = self.endpoint.recvmsg(MAX_DATAGRAM, _ROOM)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error about something that we sent; retransmission deals with it
                continue
            local = _destination(ancillary)
            if local is None or (self.encapsulated and not octets.startswith(MARKER)):
                others["keepalive" if octets == NatKeepalive.octets else "not-ike"] += 1
                continue
            remote = ip_address(source[0].partition("%")[0])
            deliver(
                octets[len(MARKER) :] if self.encapsulated else octets,
                Path(local, self.port, remote, source[1], self.encapsulated),
            )
        return others

    def send(self, octets: bytes, path: Path) -> None:
        """Send from ``path.local``.

        Raises:
            OSError: the system did not take it.
        """
        self.endpoint.sendmsg([octets], [_source(path.local)], 0, (str(path.remote), path.remote_port))


@dataclass(frozen=True, slots=True)
class Sockets:
    """All sockets of a daemon.

    Attributes:
        ike: the daemon's own.
        esp_udp: for the plane: ESP in UDP.
        raw: for the plane: protocols 50 and 51, and IPPROTO_RAW.
    """

    ike: tuple[IkePort, ...]
    esp_udp: tuple[socket.socket, ...]
    raw: tuple[socket.socket, ...]

    def send(self, datagram: Datagram | NatKeepalive) -> None:
        """Send a datagram from where its path says; with the marker where IKE shares its port with ESP.

        Raises:
            OSError: the system did not take it, or there is no such socket.
        """
        path = datagram.path
        family = socket.AF_INET if path.local.version == 4 else socket.AF_INET6
        for each in self.ike:
            if each.family == family and each.port == path.local_port:
                marked = each.encapsulated and isinstance(datagram, Datagram)
                each.send((MARKER if marked else b"") + datagram.octets, path)
                return
        raise OSError(errno.EADDRNOTAVAIL, f"no socket for {path.local} port {path.local_port}")

    def close(self) -> None:
        for each in (*(port.endpoint for port in self.ike), *self.esp_udp, *self.raw):
            each.close()


def open_sockets(ports: Ports, mark: int, workers: int = 1) -> Sockets:
    """Open everything; IPv6 is left out where the system has none.

    Args:
        ports: ours.
        mark: fwmark of what we send, which keeps it out of the tunnel.
        workers: of the plane.

    Raises:
        PortTaken: another program listens on one of the ports.
        EngineError: the privilege is missing.
    """
    ike: list[IkePort] = []
    udp: list[socket.socket] = []
    raw: list[socket.socket] = []
    with ExitStack() as undo:
        for family in _families():
            alone = _udp(family, ports.ike, mark, shared=False)
            undo.callback(alone.close)
            _require_free(family, ports.encapsulated, mark)
            ours = _udp(family, ports.encapsulated, mark, shared=True)  # the first of the group: index 0
            undo.callback(ours.close)
            for _ in range(workers):
                udp.append(_udp(family, ports.encapsulated, mark, shared=True))
                undo.callback(udp[-1].close)
            _steer(ours, workers)
            raw += _raw_sockets(family, workers, undo)
            ike += [IkePort(alone, family, ports.ike, False), IkePort(ours, family, ports.encapsulated, True)]
        undo.pop_all()
    return Sockets(tuple(ike), tuple(udp), tuple(raw))


def path_mtu(path: Path, mark: int) -> int:
    """Octets of the largest packet that goes along a path, as the kernel knows it (ip(7), ipv6(7)); 0 where it does not, or
    where it is less than every host has to take, and what is longer has to be fragmented (RFC 791 section 3.1).

    A datagram socket that is connected sends nothing; it only has a route, ours by the mark.
    """
    family = socket.AF_INET if path.local.version == 4 else socket.AF_INET6
    level, option = (socket.IPPROTO_IP, IP_MTU) if family == socket.AF_INET else (socket.IPPROTO_IPV6, IPV6_MTU)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark))
            probe.bind((str(path.local), 0))
            probe.connect((str(path.remote), path.remote_port or 1))
            found = probe.getsockopt(level, option)
            return found if found >= LEAST_MTU else 0
    except OSError:
        return 0


def _require_free(family: socket.AddressFamily, port: int, mark: int) -> None:
    """Require that nobody has a port that will be shared: into a group of ours, another daemon of ours could slip.

    Raises:
        PortTaken: somebody has.
    """
    _udp(family, port, mark, shared=False).close()


def _families() -> list[socket.AddressFamily]:
    families = [socket.AF_INET]
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
        families.append(socket.AF_INET6)
    except OSError:
        pass
    return families


def _udp(family: socket.AddressFamily, port: int, mark: int, *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark))  # all 32 bits: int ends at 31
        made.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))  # noqa: S104 - IKE is for every address
    except OSError as error:
        made.close()
        raise _explained(error, port) from None
    return made


def _explained(error: OSError, port: int) -> CaponierError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"another program has UDP port {port}",
            hint=f"another IPsec daemon? See who it is: ss -ulpn 'sport = :{port}'; or set daemon.port and daemon.nat_port",
        )
    return EngineError(
        f"UDP port {port} cannot be opened: {error.strerror}",
        hint="the daemon needs CAP_NET_ADMIN and CAP_NET_BIND_SERVICE",
    )


def _raw_sockets(family: socket.AddressFamily, workers: int, undo: ExitStack) -> Iterator[socket.socket]:
    """Those of one family: for each protocol so many that no worker has to read all of it, and the one that only sends."""
    parts = max(1, min(workers // 2, _MAX_RAW))
    for protocol in (socket.IPPROTO_ESP, socket.IPPROTO_AH):
        for part in range(parts):
            made = undo.enter_context(closing(_raw(family, protocol)))
            if parts > 1:
                _attach(made, SO_ATTACH_FILTER, _part_of_spis(family, protocol, part, parts))
            yield made
    sender = undo.enter_context(closing(_raw(family, socket.IPPROTO_RAW)))
    _attach(sender, SO_ATTACH_FILTER, (_DROP,))  # nobody reads it
    yield sender


def _raw(family: socket.AddressFamily, protocol: int) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_RAW, protocol)
    except OSError as error:
        raise EngineError(
            f"no raw socket for ESP and AH: {error.strerror}", hint="the daemon needs CAP_NET_RAW"
        ) from None


#: operation, jump if true, jump if false, operand (linux/filter.h)
_Instruction = tuple[int, int, int, int]

_KEEP: _Instruction = (0x06, 0, 0, 0xFFFF_FFFF)  #: return all of it
_DROP: _Instruction = (0x06, 0, 0, 0)  #: return nothing


def _part_of_spis(family: socket.AddressFamily, protocol: int, part: int, parts: int) -> tuple[_Instruction, ...]:
    """Keep packets whose SPI leaves the remainder ``part`` when divided by ``parts``.

    Answers with the octets to keep: all or none. It sees the IPv4 header, but not that of IPv6 (raw(7), ipv6(7)). The SPI is
    the first word of ESP (RFC 4303 section 2), the second of AH (RFC 4302 section 2).
    """
    at = 0 if protocol == socket.IPPROTO_ESP else 4
    load: tuple[_Instruction, ...] = ((0x20, 0, 0, at),)  # A = the word there
    if family == socket.AF_INET:
        load = (
            (0xB1, 0, 0, 0),  # X = length of the IPv4 header
            (0x40, 0, 0, at),  # A = the word there
        )
    return (
        *load,
        (0x94, 0, 0, parts),  # A = A mod parts
        (0x15, 0, 1, part),  # our part?
        _KEEP,
        _DROP,
    )


def _steer(first: socket.socket, workers: int) -> None:
    """Attach the program that tells IKE from ESP, and one SPI from another, to the group that ``first`` is in.

    The kernel runs it on the UDP payload. It answers with an index into the group: 0 is the first socket bound.
    """
    program = (
        (0x80, 0, 0, 0),  # A = length of the payload
        (0x35, 0, 5, 4),  # at least 4? else to the daemon
        (0x20, 0, 0, 0),  # A = first word
        (0x15, 3, 0, 0),  # zero? then to the daemon
        (0x94, 0, 0, workers),  # A = A mod workers
        (0x04, 0, 0, 1),  # A = A + 1
        (0x16, 0, 0, 0),  # return A: a worker of the plane
        (0x06, 0, 0, 0),  # return 0: the daemon
    )
    _attach(first, SO_ATTACH_REUSEPORT_CBPF, program)


def _attach(to: socket.socket, option: int, program: tuple[_Instruction, ...]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))  # must live until setsockopt has returned
    value = struct.pack("HP", len(program), ctypes.addressof(buffer))
    to.setsockopt(socket.SOL_SOCKET, option, value)


def _destination(ancillary: list[tuple[int, int, bytes]]) -> IPv4Address | IPv6Address | None:
    """The address that a datagram was sent to (ip(7), ipv6(7))."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return IPv4Address(data[8:12])
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return IPv6Address(data[:16])
    return None


def _source(address: IPv4Address | IPv6Address) -> tuple[int, int, bytes]:
    if address.version == 4:
        return (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, address.packed, bytes(4)))
    return (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, address.packed + struct.pack("=I", 0))
