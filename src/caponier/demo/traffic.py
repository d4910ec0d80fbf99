"""Traffic of a host: echo requests and a TCP stream, each between two namespaces."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass

from caponier.demo.namespaces import Namespace

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Ping:
    """The answers to a series of echo requests."""

    sent: int
    round_trips: tuple[float, ...]  #: seconds, of those that were answered

    @property
    def received(self) -> int:
        return len(self.round_trips)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A TCP stream that arrived whole."""

    octets: int
    seconds: float
    intact: bool  #: whether what arrived is what was sent, by SHA-256

    @property
    def megabits_per_second(self) -> float:
        return self.octets * 8 / self.seconds / 1e6


def ping(
    source: Namespace, destination: str, *, count: int, seconds: float = 1.0, payload: bytes = b"caponier"
) -> Ping:
    """Send ``count`` echo requests (RFC 792, RFC 4443), waiting at most ``seconds`` for each answer."""
    version = ipaddress.ip_address(destination).version
    with source.inside():
        family, protocol = (socket.AF_INET, 1) if version == 4 else (socket.AF_INET6, 58)
        echo = socket.socket(family, socket.SOCK_RAW, protocol)
    with echo:
        echo.connect((destination, 0))
        identifier = os.getpid() & 0xFFFF
        answers = (_echo(echo, version, identifier, number, payload, seconds) for number in range(1, count + 1))
        return Ping(count, tuple(answer for answer in answers if answer is not None))


def _echo(
    echo: socket.socket, version: int, identifier: int, number: int, payload: bytes, seconds: float
) -> float | None:
    """One request; the round trip in seconds, or None."""
    request_type, reply_type, header = (8, 0, 20) if version == 4 else (128, 129, 0)
    body = struct.pack("!HH", identifier, number) + payload
    checksum = _checksum(struct.pack("!BBH", request_type, 0, 0) + body) if version == 4 else 0
    start = time.monotonic()
    try:
        echo.send(struct.pack("!BBH", request_type, 0, checksum) + body)
        while (left := start + seconds - time.monotonic()) > 0:
            echo.settimeout(left)
            answer = echo.recv(65536)[header:]
            if answer[:1] == bytes([reply_type]) and answer[4:] == body:
                return time.monotonic() - start
    except OSError:  # no answer in time, or an error that ICMP reported: both mean that nothing came back
        pass
    return None


def _checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = octets + b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transfer(
    source: Namespace, sink: Namespace, address: str, *, octets: int, filling: bytes, seconds: float = 60
) -> Transfer:
    """Send ``octets`` octets, made of ``filling`` over and over, through one TCP connection.

    Raises:
        OSError: the connection did not come to be, or broke, or stood still for ``seconds``.
    """
    block = (filling * (CHUNK // len(filling) + 1))[:CHUNK]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with sink.inside():
        listener = socket.create_server((address, 0), family=family)
    with source.inside():
        sender = socket.socket(family, socket.SOCK_STREAM)
    with listener, sender:
        listener.settimeout(seconds)
        sender.settimeout(seconds)
        arrival = _Arrival(listener, seconds)
        arrival.start()
        sender.connect(listener.getsockname()[:2])
        start = time.monotonic()
        sent = _send(sender, block, octets)
        sender.shutdown(socket.SHUT_WR)
        arrival.join(seconds)
        if arrival.error is not None:
            raise arrival.error
        return Transfer(arrival.octets, time.monotonic() - start, arrival.octets == octets and arrival.digest == sent)


def _send(sender: socket.socket, block: bytes, octets: int) -> bytes:
    """Send; the SHA-256 of what was sent."""
    digest = hashlib.sha256()
    for start in range(0, octets, CHUNK):
        part = block[: min(CHUNK, octets - start)]
        sender.sendall(part)
        digest.update(part)
    return digest.digest()


class _Arrival(threading.Thread):
    """The far end: reads one connection to its end."""

    def __init__(self, listener: socket.socket, seconds: float) -> None:
        super().__init__(daemon=True)
        self.octets = 0
        self.digest = b""
        self.error: OSError | None = None
        self._listener = listener
        self._seconds = seconds

    def run(self) -> None:
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(CHUNK))
        try:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(self._seconds)
                while count := connection.recv_into(buffer):
                    digest.update(buffer[:count])
                    self.octets += count
        except OSError as error:
            self.error = error
        self.digest = digest.digest()
