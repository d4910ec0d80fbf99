"""Many IKE SAs at one gateway: memory, timers, lookups. The gateway is a process of its own, so that its memory is its own."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path as File
from typing import Any

from bench.ike.parties import Kind, Party, gateways, peers, turned
from caponier.doi.ikev2 import ProtocolId
from caponier.protocols.ike.path import Datagram

FIRST = 500  #: IKE SAs before memory is counted: the first ones also pay for tables that all share
BATCH = 50  #: handshakes, and Child SAs that get new keys, for each figure at a size
IDLE_SECONDS = 60.0  #: of simulated time


@dataclass
class Figures:
    """What was measured with many of one kind.

    Attributes:
        peers: how many stood at the end.
        kibibytes: of resident memory for each established IKE SA with one Child SA.
        idle: CPU seconds for each second in which they only ask for signs of life, every 30 seconds for each.
        handshake: milliseconds of CPU time for one more, by how many there are.
        rekey: the same for new keys of one Child SA.
    """

    peers: int = 0
    kibibytes: float = 0.0
    idle: float = 0.0
    handshake: dict[int, float] = field(default_factory=dict)
    rekey: dict[int, float] = field(default_factory=dict)


class Crowd:
    """All peers, and the other end of the pipe to the gateway."""

    def __init__(self, kind: Kind, pipe: Pipe) -> None:
        self._kind = kind
        self._pipe = pipe
        self._others = Party()
        self._count = 0
        self._now = 0.0

    def measure(self, sizes: tuple[int, ...]) -> Iterator[Figures]:
        """Grow to each size in turn; the figures so far after each."""
        found, before, first = Figures(), 0.0, min(FIRST, sizes[-1] // 2)
        for size in sizes:
            if self._count < first <= size:
                self._connect(first - self._count)
                before = self._ask("resident")
            self._connect(size - self._count)
            if size == sizes[-1]:
                found.peers = size
                found.kibibytes = (self._ask("resident") - before) / (size - first)
                found.idle = self._idle()
            found.handshake[size] = self._cost(lambda: self._connect(BATCH))
            found.rekey[size] = self._cost(self._rekey)
            yield found

    def _connect(self, count: int) -> None:
        for _ in range(count):
            number, self._count = self._count, self._count + 1
            self._others.endpoint.add_connection(peers(self._kind, number))
            self._converse(self._others.initiate(number, self._now))
            if not self._others.endpoint.ike_sas(f"peer{number}"):
                raise RuntimeError(f"{self._kind.name}: peer {number} was not let in")

    def _rekey(self) -> None:
        for number in range(self._count - BATCH, self._count):
            (sa,) = self._others.endpoint.ike_sas(f"peer{number}")
            self._others.endpoint.rekey_child(ProtocolId.ESP, sa.children[0].spi_in, self._now)
            self._converse(self._others.wake(self._now))

    def _idle(self) -> float:
        """CPU seconds for each second of simulated time."""
        before, end = self._ask("nanoseconds"), self._now + IDLE_SECONDS
        while (at := self._ask("next")) is not None and at <= end:
            self._now = max(self._now, at)
            self._answer(self._ask("wake", self._now))
        self._now = end
        return float(self._ask("nanoseconds") - before) / 1e9 / IDLE_SECONDS

    def _cost(self, work: Any) -> float:
        before = self._ask("nanoseconds")
        work()
        return float(self._ask("nanoseconds") - before) / BATCH / 1e6

    def _converse(self, leaving: list[Datagram]) -> None:
        for datagram in leaving:
            self._answer(self._ask("receive", datagram.octets, turned(datagram.path), self._now))

    def _answer(self, arriving: list[Datagram]) -> None:
        for datagram in arriving:
            self._converse(self._others.receive(datagram.octets, turned(datagram.path), self._now))

    def _ask(self, what: str, *arguments: object) -> Any:
        self._pipe.send((what, *arguments))
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def crowd(kind: Kind) -> Iterator[Crowd]:
    """A gateway in a process of its own, and nobody there yet."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(kind, theirs), daemon=True)
    process.start()
    try:
        yield Crowd(kind, ours)
    finally:
        ours.send(("end",))
        process.join(30)


def _serve(kind: Kind, pipe: Pipe) -> None:
    """Be the gateway."""
    gateway = Party()
    gateway.endpoint.add_connection(gateways(kind))
    while True:
        what, *arguments = pipe.recv()
        match what:
            case "receive":
                pipe.send(gateway.receive(*arguments))
            case "wake":
                pipe.send(gateway.wake(*arguments))
            case "next":
                pipe.send(gateway.endpoint.next_timeout())
            case "nanoseconds":
                pipe.send(gateway.nanoseconds)
            case "resident":
                gc.collect()
                pipe.send(int(File("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024)
            case _:
                return
