"""Several workers, each with a queue and sockets of its own: order, loss, steering, overruns, the end."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from caponier._plane import Plane
from caponier.daemon.sockets import MARKER, Sockets, open_sockets
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Topology
from caponier.demo.traffic import ping, transfer
from caponier.protocols.ike.policy import Ports
from tests.plane.suites import GCM
from tests.plane.tunnel import (
    AH,
    CARRIERS,
    ESP,
    MARK,
    RAW4,
    UDP4,
    UDP6,
    Carrier,
    End,
    Tunnel,
    eventually,
    raw_socket,
    route,
    told,
)

pytestmark = pytest.mark.privileged

WORKERS = 4
FLOWS = 6
BURST = 20  #: datagrams of one flow before the receiver is asked what came
ROUNDS = 15
POURED, POURED_ESP = 64, 128  #: octets of a datagram's payload, and of the ESP packet (AES-GCM) that it becomes
SO_RCVBUFFORCE = 33
UDP_SEGMENT = 103
PROMPT = 0.1  #: seconds to the end of a plane that is told to stop

every_carrier = pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
both_versions = pytest.mark.parametrize("version", [4, 6])


@contextmanager
def daemons_sockets(gateway: Namespace, workers: int) -> Iterator[Sockets]:
    """As the daemon opens them: a group of sockets for each port, steered by SPI."""
    with gateway.inside():
        made = open_sockets(Ports(), MARK, workers)
    with closing(made):
        yield made


@contextmanager
def steered_plane(gateway: Namespace, there: str, workers: int = WORKERS, *, starts: bool = True) -> Iterator[Plane]:
    """A plane as the daemon runs it; perhaps one that the test starts itself."""
    with daemons_sockets(gateway, workers) as sockets:
        with gateway.inside():
            plane = Plane(interface="cap%d", mark=MARK, workers=workers)
        with closing(plane):
            for each in sockets.esp_udp:
                plane.attach_udp(each.fileno())
            for each in sockets.raw:
                plane.attach_raw(each.fileno())
            if starts:
                plane.start()
            route(gateway, plane.interface, RIGHT if there == "right" else LEFT)
            yield plane


@pytest.fixture
def steered(world: Topology) -> Iterator[Tunnel]:
    """Two planes with several workers, without SAs."""
    with steered_plane(world.gw1, "right") as left, steered_plane(world.gw2, "left") as right:
        yield Tunnel(world, End(left, LEFT, RIGHT, sends=1, receives=2), End(right, RIGHT, LEFT, sends=2, receives=1))


@contextmanager
def udp(host: Namespace, family: socket.AddressFamily, address: str, count: int) -> Iterator[list[socket.socket]]:
    """UDP sockets of a host."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            with host.inside():
                made.append(stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)))
            made[-1].bind((address, 0))
            made[-1].setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
            made[-1].settimeout(10)
        yield made


def family_of(version: int) -> socket.AddressFamily:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def send_flows(pair: Tunnel, version: int, sizes: tuple[int, ...]) -> dict[tuple[str, int], list[bytes]]:
    """Numbered datagrams of several flows through the tunnel, a burst at a time; what came of each, in its order."""
    alice, bob = (LEFT.host, RIGHT.host) if version == 4 else (LEFT.host6, RIGHT.host6)
    came: dict[tuple[str, int], list[bytes]] = {}
    with (
        udp(pair.world.alice, family_of(version), alice, FLOWS) as sources,
        udp(pair.world.bob, family_of(version), bob, 1) as (sink,),
    ):
        for start in range(0, ROUNDS * BURST, BURST):
            for number in range(start, start + BURST):
                for source in sources:
                    source.sendto(datagram(number, sizes), sink.getsockname()[:2])
            for _ in range(BURST * FLOWS):
                octets, address = sink.recvfrom(65_535)
                came.setdefault(address[:2], []).append(octets)
    return came


def datagram(number: int, sizes: tuple[int, ...]) -> bytes:
    """Octets that tell the number, of the sizes in turn."""
    return struct.pack("!I", number) * (sizes[number % len(sizes)] // 4)


# --- order and loss ---


@every_carrier
@both_versions
@pytest.mark.parametrize("sizes", [(64,), (64, 64, 64, 20), (1300, 64), (2400,)], ids=str)
def test_each_flow_keeps_its_order_and_its_bounds(
    steered: Tunnel, carrier: Carrier, version: int, sizes: tuple[int, ...]
) -> None:
    """Nothing is lost at a moderate rate, no datagram changes, none overtakes another of its flow; fragments neither."""
    with steered.protected(GCM, carrier):
        assert eventually(lambda: path_is_known(steered, version, max(sizes)))
        before = steered.left.outbound()[0]
        came = send_flows(steered, version, sizes)
        expected = [datagram(number, sizes) for number in range(ROUNDS * BURST)]
        assert len(came) == FLOWS
        assert all(flow == expected for flow in came.values())
        assert eventually(steered.agrees), [(end.outbound(), end.inbound()) for end in steered.ends]
        assert steered.left.outbound()[0] - before >= FLOWS * ROUNDS * BURST


def path_is_known(pair: Tunnel, version: int, size: int) -> bool:
    """Whether a datagram of this size gets through: the first too long one of IPv6 is lost, and teaches the path's MTU."""
    return (
        ping(pair.world.alice, RIGHT.host if version == 4 else RIGHT.host6, count=1, payload=bytes(size)).received == 1
    )


@every_carrier
def test_tcp_in_both_directions_at_once(steered: Tunnel, carrier: Carrier) -> None:
    """Flows move to the worker that receives their SA; the streams arrive whole."""
    world = steered.world
    with steered.protected(GCM, carrier):
        intact: list[bool] = []

        def carry(source: Namespace, sink: Namespace, address: str) -> None:
            intact.append(transfer(source, sink, address, octets=2_000_000, filling=b"both ways at once").intact)

        threads = [
            threading.Thread(target=carry, args=arguments)
            for arguments in (
                (world.alice, world.bob, RIGHT.host),
                (world.bob, world.alice, LEFT.host),
                (world.alice, world.bob, RIGHT.host6),
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert intact == [True] * 3
        assert eventually(steered.agrees), [(end.outbound(), end.inbound()) for end in steered.ends]


def worker_threads() -> set[int]:
    """The ids of this process' threads that carry packets."""
    found = (path for path in Path("/proc/self/task").iterdir() if (path / "comm").read_text().startswith("plane-"))
    return {int(path.name) for path in found}


def naps(thread: int) -> int:
    """How often a thread went to sleep by itself (proc(5))."""
    lines = Path(f"/proc/self/task/{thread}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def test_several_workers_open_what_one_socket_has(world: Topology) -> None:
    """Trains that wait in one socket when the plane starts: others wake up to open them, and every datagram comes out, in
    its order. Whether they are asleep in time is the scheduler's, so there are some attempts."""
    assert any(backlog_is_shared(world, attempt) for attempt in range(10))


def backlog_is_shared(world: Topology, attempt: int) -> bool:
    """Whether workers other than the socket's own had something to do; required is that all comes out in its order."""
    count, size = 1000, 1300
    before = worker_threads()
    with steered_plane(world.gw1, "right") as left, steered_plane(world.gw2, "left", starts=False) as right:
        ours = worker_threads()
        ends = End(left, LEFT, RIGHT, sends=1, receives=2), End(right, RIGHT, LEFT, sends=2, receives=1)
        pair = Tunnel(world, *ends)
        with (
            pair.protected(GCM, UDP4),
            udp(world.alice, socket.AF_INET, LEFT.host, 1) as (source,),
            udp(world.bob, socket.AF_INET, RIGHT.host, 1) as (sink,),
        ):
            source.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
            source.connect(sink.getsockname()[:2])
            train = 40
            for start in range(0, count, train):
                source.send(b"".join(datagram(number, (size,)) for number in range(start, start + train)))
            assert eventually(lambda: left.outbound_counters(pair.left.handle)[0] >= count)
            right.start()
            assert [sink.recv(65_535) for _ in range(count)] == [datagram(number, (size,)) for number in range(count)]
            woken = sorted(naps(thread) for thread in worker_threads() - ours - before)
    assert len(woken) == WORKERS, attempt
    return woken[-2] >= 5  # without help they wake up once or twice, to be told of their queues


@pytest.mark.parametrize("carrier", [UDP4, RAW4], ids=lambda carrier: carrier.name)
def test_the_wire_has_the_numbers_in_order(steered: Tunnel, carrier: Carrier) -> None:
    """RFC 4303 section 3.4.3: a peer whose window is narrow loses nothing, though several workers seal for the SA."""
    with steered.protected(GCM, carrier), sequence_numbers(steered, carrier) as numbers:
        threads = [threading.Thread(target=pour, args=(steered, flow, 400)) for flow in range(FLOWS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert eventually(lambda: len(numbers) >= FLOWS * 400), len(numbers)
    assert numbers == list(range(1, len(numbers) + 1))


@contextmanager
def sequence_numbers(pair: Tunnel, carrier: Carrier) -> Iterator[list[int]]:
    """The sequence numbers that arrive at the right gateway, as they come in."""
    numbers: list[int] = []
    protocol, headers = (socket.IPPROTO_UDP, 28) if carrier.encapsulated else (50, 20)
    with pair.world.gw2.inside():
        tap = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    tap.settimeout(0.1)
    is_over = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            try:
                octets = tap.recv(65_535)
            except TimeoutError:
                continue
            # A train of UDP stands here as one datagram; all packets of this flow have one size.
            for at in range(headers, len(octets), POURED_ESP):
                spi, number = struct.unpack_from("!II", octets, at)
                if spi == pair.left.spi_out:
                    numbers.append(number)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield numbers
    finally:
        is_over.set()
        thread.join(10)
        tap.close()


def pour(pair: Tunnel, flow: int, count: int) -> None:
    """Datagrams of one flow, as fast as they go."""
    with pair.world.alice.inside():
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with source:
        source.bind((LEFT.host, 20_000 + flow))
        for _ in range(count):
            source.sendto(bytes(POURED), (RIGHT.host, 9))


# --- steering ---


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("carrier", [UDP4, UDP6], ids=lambda carrier: carrier.name)
def test_udp_is_steered_by_the_spi(world: Topology, carrier: Carrier, workers: int) -> None:
    """RFC 3948 section 2: the non-ESP marker leads to IKE, an SPI always to the same worker."""
    with daemons_sockets(world.gw2, workers) as sockets, sending(world, carrier) as source:
        group = [each for each in sockets.esp_udp if each.family == carrier.family]
        (ike,) = [port.endpoint for port in sockets.ike if port.encapsulated and port.family == carrier.family]
        target = (carrier.address(RIGHT), 4500)
        assert len(group) == workers
        for spi in (0x100, 0x1234_5678, 0xFFFF_FFFF, 0x8000_0001, 0x8000_0000):
            source.sendto(struct.pack("!II", spi, 1), target)
            assert arrived([ike, *group]) == 1 + spi % workers
        for octets in (MARKER + b"IKE", b"\xff", b"abc"):
            source.sendto(octets, target)
            assert arrived([ike, *group]) == 0


@pytest.mark.parametrize("workers", [1, 2, 4, 6, 64])
@pytest.mark.parametrize("carrier", CARRIERS[2:], ids=lambda carrier: carrier.name)
@pytest.mark.parametrize("protocol", [ESP, AH])
def test_raw_packets_are_steered_by_the_spi(world: Topology, carrier: Carrier, workers: int, protocol: int) -> None:
    """The system gives a raw packet to every raw socket; just one keeps it."""
    with daemons_sockets(world.gw2, workers) as sockets, raw_socket(world.gw1, carrier.family, protocol) as source:
        raw = [each for each in sockets.raw if each.family == carrier.family]
        group = [each for each in raw if each.proto == protocol]
        assert len(group) == max(1, min(workers // 2, 4))
        for each in group:
            each.setblocking(False)
        for spi in (0x100, 0x1234_5678, 0xFFFF_FFFF, 0x8000_0001, 0x8000_0000):
            header = struct.pack("!II", spi, 1) if protocol == ESP else struct.pack("!III", 0x3B010000, spi, 1)
            source.sendto(header, (carrier.address(RIGHT), 0))
            assert arrived(group) == spi % len(group)


@contextmanager
def sending(world: Topology, carrier: Carrier) -> Iterator[socket.socket]:
    """A UDP socket of the left gateway."""
    with world.gw1.inside():
        made = socket.socket(carrier.family, socket.SOCK_DGRAM)
    with made:
        yield made


def arrived(sockets: list[socket.socket]) -> int:
    """Which one got a packet; it must be one alone."""
    found: list[int] = []

    def look() -> bool:
        for place, each in enumerate(sockets):
            try:
                each.recv(65_535)
            except BlockingIOError:
                continue
            found.append(place)
        return bool(found)

    assert eventually(look)
    look()
    assert len(found) == 1, found
    return found[0]


# --- what can go wrong ---


def test_what_overruns_the_queue_is_counted(world: Topology) -> None:
    """Nobody reads the interface yet, and its queue is short: the kernel drops, and the plane says how much."""
    with world.gw1.inside():
        plane = Plane(interface="cap%d", mark=MARK)
    with closing(plane):
        route(world.gw1, plane.interface, RIGHT)
        with world.gw1.netlink() as netlink:
            index = netlink.link_lookup(ifname=plane.interface)[0]
            assert netlink.get_links(index)[0].get_attr("IFLA_TXQLEN") == 2000
            netlink.link("set", index=index, txqlen=10)
        already = plane.drops().get("queue-full", 0)
        with world.alice.inside():
            source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with source:
            for _ in range(60):
                source.sendto(bytes(64), (RIGHT.host, 9))
        assert eventually(lambda: plane.drops().get("queue-full", 0) >= already + 50), plane.drops()


def test_what_overruns_a_socket_is_counted(world: Topology) -> None:
    """The workers do not read yet: what does not fit the socket's buffer is dropped, and the plane says how much."""
    with daemons_sockets(world.gw2, 1) as sockets, sending(world, UDP4) as source:
        with world.gw2.inside():
            plane = Plane(interface="cap%d", mark=MARK)
        with closing(plane):
            plane.attach_udp(sockets.esp_udp[0].fileno())
            assert plane.drops() == {}
            sockets.esp_udp[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            for _ in range(60):
                source.sendto(bytes(1000).replace(b"\0", b"\1"), (RIGHT.outer, 4500))
            assert eventually(lambda: plane.drops().get("socket-full", 0) >= 50), plane.drops()


def test_a_socket_that_fails_stops_no_other(world: Topology) -> None:
    """An error of one socket is its own: the others go on, and so does the one when the error has passed."""
    with daemons_sockets(world.gw1, 1) as sockets, steered_plane(world.gw2, "left", 1) as right:
        with world.gw1.inside():
            plane = Plane(interface="cap%d", mark=MARK)
        with closing(plane):
            for each in sockets.esp_udp:
                plane.attach_udp(each.fileno())
            for each in sockets.raw:
                plane.attach_raw(each.fileno())
            plane.start()
            route(world.gw1, plane.interface, RIGHT)
            left_end, right_end = End(plane, LEFT, RIGHT, 1, 2), End(right, RIGHT, LEFT, 2, 1)
            pair = Tunnel(world, left_end, right_end)
            broken = next(each for each in sockets.esp_udp if each.family == socket.AF_INET)
            for _ in range(100):  # more than the plane endures in a row
                refuse(broken)
                with pair.protected(GCM, RAW4):
                    assert ping(world.alice, RIGHT.host, count=1).received == 1
            with pair.protected(GCM, UDP4):
                assert ping(world.alice, RIGHT.host, count=3).received == 3
            assert told(plane) == []


def refuse(shared: socket.socket) -> None:
    """Leave an error of ICMP (RFC 792: port unreachable) in a socket that the plane has a descriptor of too."""
    shared.connect((RIGHT.outer, 9))
    shared.send(b"is anybody there?")
    forget_peer(shared)


def forget_peer(shared: socket.socket) -> None:
    """connect(2) with AF_UNSPEC, for which Python has no words."""
    address = struct.pack("H14x", socket.AF_UNSPEC)
    assert ctypes.CDLL(None).connect(shared.fileno(), address, len(address)) == 0


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_the_end_is_prompt(world: Topology, workers: int) -> None:
    """All threads end within a tenth of a second, in the midst of traffic, and the interface is gone."""
    seconds = [ending(world, workers) for _ in range(3)]
    assert min(seconds) < PROMPT, seconds


def ending(world: Topology, workers: int) -> float:
    """Run two planes, send what the host can, and close one; how long that took."""
    with steered_plane(world.gw2, "left", workers) as right, steered_plane(world.gw1, "right", workers) as left:
        pair = Tunnel(world, End(left, LEFT, RIGHT, 1, 2), End(right, RIGHT, LEFT, 2, 1))
        for end in pair.ends:
            end.install(GCM, UDP4)
        assert ping(world.alice, RIGHT.host, count=1).received == 1
        is_over = threading.Event()

        def flood() -> None:
            while not is_over.is_set():
                pour(pair, 0, 100)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            assert eventually(lambda: pair.left.outbound()[0] > 1000)
            began = time.monotonic()
            left.close()
            return time.monotonic() - began
        finally:
            is_over.set()
            thread.join(10)
            with world.gw1.netlink() as netlink:
                assert netlink.link_lookup(ifname=left.interface) == []
