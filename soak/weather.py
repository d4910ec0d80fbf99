"""A second link between the gateways, with bad weather: packets are lost, come twice, or in another order.

It is made of two taps and a thread that carries frames between them, so that every frame that is lost or doubled is known
by the SPI in it; ``tc netem`` could not tell.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Topology

LINK = "rough0"
#: The gateways as they are reached by this link.
ROUGH_LEFT = replace(LEFT, outer="198.51.100.1", outer6="2001:db8:1::1")
ROUGH_RIGHT = replace(RIGHT, outer="198.51.100.2", outer6="2001:db8:1::2")

LOSS, DOUBLED, LATE = 0.01, 0.005, 0.02  #: of all frames
QUEUE = 10_000  #: frames that wait for the thread in front of each tap

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME = 65_536
_ESP, _AH, _UDP = 50, 51, 17

SaName = tuple[str, int]  #: protocol and SPI


@dataclass
class Weather:
    """What happened to the frames of each SA.

    Attributes:
        lost: frames that did not arrive.
        doubled: frames that arrived once more than they were sent.
    """

    lost: Counter[SaName] = field(default_factory=Counter)
    doubled: Counter[SaName] = field(default_factory=Counter)


@contextmanager
def weather(world: Topology, seed: int) -> Iterator[Weather]:
    """Make the link; it is gone at the end."""
    with ExitStack() as undo:
        taps = []
        for namespace, site in ((world.gw1, ROUGH_LEFT), (world.gw2, ROUGH_RIGHT)):
            taps.append(undo.enter_context(_tap(namespace)))
            with namespace.netlink() as netlink:
                index = netlink.link_lookup(ifname=LINK)[0]
                netlink.addr("add", index=index, address=site.outer, prefixlen=24)
                netlink.addr("add", index=index, address=site.outer6, prefixlen=64)
                netlink.link("set", index=index, state="up", txqlen=QUEUE)
        made, is_over = Weather(), threading.Event()
        left, right = taps
        carriers = [_Carrier(left, right, made, seed, is_over), _Carrier(right, left, made, seed + 1, is_over)]
        for carrier in carriers:
            carrier.start()
        try:
            yield made
        finally:
            is_over.set()
            for carrier in carriers:
                carrier.join()


@contextmanager
def _tap(namespace: Namespace) -> Iterator[int]:
    """The descriptor behind a tap of a namespace; without it the tap is gone."""
    with namespace.inside():
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", LINK.encode(), _IFF_TAP | _IFF_NO_PI))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Carrier(threading.Thread):
    """Carries frames from one tap to the other. Who has to wait goes behind the next one."""

    def __init__(self, source: int, sink: int, weather: Weather, seed: int, is_over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._source, self._sink, self._weather, self._is_over = source, sink, weather, is_over
        self._draw = random.Random(seed)
        self._late: bytes | None = None

    def run(self) -> None:
        while not self._is_over.is_set():
            ready, _, _ = select.select([self._source], [], [], 0.02)
            if not ready:
                self._release()
                continue
            self._carry(os.read(self._source, _FRAME))

    def _carry(self, frame: bytes) -> None:
        name = sa_of(frame)
        fate = self._draw.random()
        if name is None or fate > LOSS + DOUBLED + LATE:
            self._send(frame)
        elif fate <= LOSS:
            self._weather.lost[name] += 1
        elif fate <= LOSS + DOUBLED:
            self._weather.doubled[name] += 1
            self._send(frame)
            self._send(frame)
        elif self._late is None:
            self._late = frame
            return
        else:
            self._send(frame)
        self._release()

    def _release(self) -> None:
        if self._late is not None:
            self._send(self._late)
            self._late = None

    def _send(self, frame: bytes) -> None:
        try:
            os.write(self._sink, frame)
        except OSError:
            name = sa_of(frame)
            if name is not None:
                self._weather.lost[name] += 1


def sa_of(frame: bytes) -> SaName | None:
    """The SA that an Ethernet frame is of; None where it holds neither ESP nor AH."""
    packet = frame[14:]
    match packet[0] >> 4 if packet else 0:
        case 4:
            protocol, payload = packet[9], packet[4 * (packet[0] & 15) :]
        case 6:
            protocol, payload = packet[6], packet[40:]
        case _:
            return None
    if protocol == _UDP and payload[8:12] != bytes(4):
        return "esp", int.from_bytes(payload[8:12])
    if protocol == _ESP:
        return "esp", int.from_bytes(payload[:4])
    return ("ah", int.from_bytes(payload[4:8])) if protocol == _AH else None
