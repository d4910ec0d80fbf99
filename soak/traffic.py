"""Mixed traffic between the hosts: TCP both ways, small UDP both ways, echo requests of many sizes; until it is ended."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Topology
from caponier.demo.traffic import ping, transfer

OCTETS = 4 << 20  #: of a TCP connection
FILLING = bytes(range(256)) * 64
SMALL = 64  #: octets of a UDP datagram
BURST, PAUSE = 20, 0.02  #: datagrams at once, and the time between two bursts
SIZES = (0, 56, 500, 1300, 1372, 3000)  #: octets in echo requests; the last ones travel in fragments
#: Bounds what is in flight, so that it fits the buffers of the planes' sockets.
SYSCTLS = {"net/ipv4/tcp_rmem": "4096 65536 262144", "net/ipv4/tcp_wmem": "4096 65536 262144"}


@dataclass
class Carried:
    """What the hosts sent and got.

    Attributes:
        connections: TCP connections whose octets arrived whole.
        broken: what became of the others.
        octets: of TCP.
        datagrams: UDP sent, and arrived.
        echoes: requests, and answers.
    """

    connections: int
    broken: list[str]
    octets: int
    datagrams: list[int]
    echoes: list[int]


@contextmanager
def traffic(world: Topology) -> Iterator[Carried]:
    """Have the hosts talk; at the end, they finish what they say."""
    for host in (world.alice, world.bob):
        host.write_sysctls(SYSCTLS)
    carried, is_over = Carried(0, [], 0, [0, 0], [0, 0]), threading.Event()
    threads = []
    for source, sink, address in _ways(world):
        threads += [
            threading.Thread(target=_stream, args=(source, sink, address, carried, is_over)),
            threading.Thread(target=_datagrams, args=(source, sink, address, carried, is_over)),
            threading.Thread(target=_echoes, args=(source, address, carried, is_over)),
        ]
    for thread in threads:
        thread.start()
    try:
        yield carried
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _ways(world: Topology) -> list[tuple[Namespace, Namespace, str]]:
    return [
        (world.alice, world.bob, RIGHT.host),
        (world.bob, world.alice, LEFT.host6),
    ]


def _stream(source: Namespace, sink: Namespace, address: str, carried: Carried, is_over: threading.Event) -> None:
    while not is_over.is_set():
        try:
            done = transfer(source, sink, address, octets=OCTETS, filling=FILLING, seconds=60)
        except OSError as error:
            carried.broken.append(f"TCP to {address}: {error}")
            is_over.wait(1)
            continue
        carried.octets += done.octets
        if done.intact:
            carried.connections += 1
        else:
            carried.broken.append(f"TCP to {address}: {done.octets} octets arrived, and not those that were sent")


def _datagrams(source: Namespace, sink: Namespace, address: str, carried: Carried, is_over: threading.Event) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with sink.inside():
        receiver = socket.socket(family, socket.SOCK_DGRAM)
    with source.inside():
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.bind((address, 0))
        receiver.setblocking(False)
        sender.connect(receiver.getsockname()[:2])
        while not is_over.wait(PAUSE):
            for _ in range(BURST):
                sender.send(bytes(SMALL))
            carried.datagrams[0] += BURST
            carried.datagrams[1] += _drain(receiver)
        time.sleep(PAUSE)
        carried.datagrams[1] += _drain(receiver)


def _drain(receiver: socket.socket) -> int:
    count = 0
    try:
        while True:
            receiver.recv(SMALL)
            count += 1
    except BlockingIOError:
        return count


def _echoes(source: Namespace, address: str, carried: Carried, is_over: threading.Event) -> None:
    number = 0
    while not is_over.wait(0.05):
        answered = ping(source, address, count=1, payload=bytes(SIZES[number % len(SIZES)]))
        carried.echoes[0] += 1
        carried.echoes[1] += answered.received
        number += 1
