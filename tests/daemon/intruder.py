"""Somebody on the link between the gateways: reads everything, and sends whatever it likes from whatever address."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from caponier.demo.capture import Frame
from caponier.demo.namespaces import Namespace

UDP, ESP = 17, 50
MARKER = bytes(4)  #: RFC 3948 section 2.2


@dataclass(frozen=True, slots=True)
class Packet:
    """What is behind the IP header.

    Attributes:
        source: address.
        destination: address.
        protocol: UDP or ESP.
        content: without the UDP header.
        source_port: of UDP.
        destination_port: of UDP.
    """

    source: str
    destination: str
    protocol: int
    content: bytes
    source_port: int = 0
    destination_port: int = 0

    def holding(self, content: bytes) -> Packet:
        return replace(self, content=content)

    def sent_from(self, source: str) -> Packet:
        return replace(self, source=source)

    def answered(self) -> Packet:
        """The same in the other direction."""
        return Packet(
            self.destination, self.source, self.protocol, self.content, self.destination_port, self.source_port
        )

    @property
    def is_marked(self) -> bool:
        """Whether it is IKE behind the non-ESP marker."""
        return self.protocol == UDP and 4500 in (self.source_port, self.destination_port)

    def encode(self) -> bytes:
        """With its IP header; the kernel fills in IPv4's checksum."""
        body = self.content
        ends = ip_address(self.source).packed, ip_address(self.destination).packed
        if self.protocol == UDP:
            body = struct.pack("!HHHH", self.source_port, self.destination_port, 8 + len(body), 0) + body
        if len(ends[0]) == 4:
            header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, self.protocol, 0)
            return header + b"".join(ends) + body
        if self.protocol == UDP:
            body = body[:6] + struct.pack("!H", _checksum(ends, body)) + body[8:]
        return struct.pack("!IHBB", 6 << 28, len(body), self.protocol, 64) + b"".join(ends) + body


def _checksum(ends: Iterable[bytes], body: bytes) -> int:
    """Of UDP over IPv6 (RFC 8200 section 8.1)."""
    octets = b"".join(ends) + struct.pack("!II", len(body), UDP) + body + b"\0" * (len(body) % 2)
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF) or 0xFFFF


def read(frame: Frame) -> Packet:
    """What a captured Ethernet frame carries."""
    ip = frame.octets[14:]
    if ip[0] >> 4 == 4:
        length, protocol = 4 * (ip[0] & 15), ip[9]
        source, destination, body = ip[12:16], ip[16:20], ip[length : int.from_bytes(ip[2:4])]
    else:
        protocol, source, destination = ip[6], ip[8:24], ip[24:40]
        body = ip[40 : 40 + int.from_bytes(ip[4:6])]
    ends = str(ip_address(source)), str(ip_address(destination))
    if protocol != UDP:
        return Packet(*ends, protocol, body)
    return Packet(*ends, protocol, body[8:], *struct.unpack_from("!HH", body))


class Intruder:
    """Sends packets from inside a namespace, with addresses of its choice; a context manager."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        with namespace.inside():  # IPPROTO_RAW: the header is ours to write (raw(7))
            self._raw = {
                4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
                6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
            }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._raw.values():
            each.close()

    def send(self, packet: Packet) -> None:
        self._raw[ip_address(packet.destination).version].sendto(packet.encode(), (packet.destination, 0))

    def send_fragmented(self, packet: Packet) -> None:
        """Let the system cut it into fragments; it leaves from an own address, and from a port of the system's choice."""
        family = socket.AF_INET if ip_address(packet.destination).version == 4 else socket.AF_INET6
        with self.namespace.inside():
            sender = socket.socket(family, socket.SOCK_DGRAM)
        with sender:
            sender.bind((packet.source, 0))
            sender.sendto(packet.content, (packet.destination, packet.destination_port))
