"""SAs with their keys, packets, and captures around them: built octet by octet, not by what is tested."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from caponier.mechanisms.negotiation.proposals import parse_esp_proposal
from caponier.mechanisms.negotiation.suites import child_suite
from caponier.octets import Secret
from caponier.protocols.esp import ManualSa

SPI = 0xD6FEC5AF
ESP, UDP, TCP, AH = 50, 17, 6, 51
ETHERNET, RAW = 1, 101


@dataclass(frozen=True)
class Suite:
    """Algorithms in the configuration's spelling, lengths of their keys in octets, and scapy's names for them."""

    text: str
    key: int
    salt: int
    integrity_key: int
    scapy: tuple[str, str | None]


SUITES = (
    *(Suite(f"aes{bits}gcm16", bits // 8, 4, 0, ("AES-GCM", None)) for bits in (128, 192, 256)),
    Suite("chacha20poly1305", 32, 4, 0, ("CHACHA20-POLY1305", None)),
    *(
        Suite(f"aes{bits}-sha{sha}", bits // 8, 0, sha // 8, ("AES-CBC", f"SHA2-{sha}-{sha // 2}"))
        for bits in (128, 192, 256)
        for sha in (256, 384, 512)
    ),
)
GCM = SUITES[2]


def key_of(count: int, start: int = 0) -> bytes:
    """Octets of a key, no two of them alike."""
    return bytes((start + 37 * number) % 256 for number in range(count))


def manual_sa(
    suite: Suite = GCM, spi: int = SPI, *, start: int = 0, destination: IPv4Address | IPv6Address | None = None
) -> ManualSa:
    """An SA; ``start`` makes the keys of one different from those of another."""
    return ManualSa(
        spi=spi,
        suite=child_suite(parse_esp_proposal(suite.text)),
        encryption_key=Secret(key_of(suite.key + suite.salt, start)),
        integrity_key=Secret(key_of(suite.integrity_key, 128 + start)),
        destination=destination,
    )


# -- packets


def ipv4(
    protocol: int,
    payload: bytes,
    *,
    source: str = "192.0.2.1",
    destination: str = "192.0.2.2",
    options: bytes = b"",
    fragment: int = 0,
    length: int | None = None,
) -> bytes:
    """An IPv4 packet (RFC 791 section 3.1); nobody here looks at its checksum."""
    header = 20 + len(options)
    total = header + len(payload) if length is None else length
    ends = ip_address(source).packed + ip_address(destination).packed
    first = struct.pack(">BBHHHBBH", 0x40 | header // 4, 0, total, 1, fragment, 64, protocol, 0)
    return first + ends + options + payload


def ipv6(
    next_header: int,
    payload: bytes,
    *,
    source: str = "2001:db8::1",
    destination: str = "2001:db8::2",
    length: int | None = None,
) -> bytes:
    """An IPv6 packet (RFC 8200 section 3); extension headers are a part of its payload."""
    ends = ip_address(source).packed + ip_address(destination).packed
    size = len(payload) if length is None else length
    return struct.pack(">IHBB", 6 << 28, size, next_header, 64) + ends + payload


def udp(payload: bytes, source: int = 4500, destination: int = 4500, length: int | None = None) -> bytes:
    """A UDP datagram without a checksum (RFC 768)."""
    size = 8 + len(payload) if length is None else length
    return struct.pack(">HHHH", source, destination, size, 0) + payload


def inner(payload: bytes = b"", port: int = 443) -> bytes:
    """What travels inside: a UDP datagram from alice to bob."""
    return ipv4(UDP, udp(payload, 40000, port), source="10.1.0.2", destination="10.2.0.2")


def esp_header(spi: int = SPI, sequence: int = 1) -> bytes:
    return struct.pack(">II", spi, sequence)


def ethernet(packet: bytes, tags: Iterable[str] = ()) -> bytes:
    """An Ethernet frame around an IP packet; each tag is an EtherType in hexadecimal."""
    ethertype = "0800" if packet[0] >> 4 == 4 else "86dd"
    between = b"".join(bytes.fromhex(tag) + b"\x00\x07" for tag in tags)
    return bytes(6) + bytes(6) + between + bytes.fromhex(ethertype) + packet


# -- captures

SECOND = 1_000_000_000


def pcap(
    frames: Iterable[bytes],
    *,
    link: int = ETHERNET,
    order: str = "<",
    nanoseconds: bool = False,
    start: int = 1_700_000_000 * SECOND,
    step: int = 1_000_000,
    cut: int | None = None,
) -> bytes:
    """A pcap file.

    Args:
        frames: its frames.
        link: their link type.
        order: of the octets, as :mod:`struct` has it.
        nanoseconds: the unit of its times; microseconds otherwise.
        start: time of the first frame, in nanoseconds.
        step: between two frames.
        cut: octets that are captured of each frame; all when left out.
    """
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    octets = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262_144, link)
    for number, frame in enumerate(frames):
        seconds, rest = divmod(start + number * step, SECOND)
        captured = frame[:cut]
        octets += struct.pack(f"{order}IIII", seconds, rest // unit, len(captured), len(frame)) + captured
    return octets


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<", major: int = 1) -> bytes:
    """A Section Header Block, of a section whose length is not known."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, major, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(link: int = ETHERNET, options: bytes = b"", order: str = "<", snap_length: int = 0) -> bytes:
    """An Interface Description Block."""
    return block(1, struct.pack(f"{order}HHI", link, 0, snap_length) + options, order)


def enhanced(frame: bytes, ticks: int = 0, which: int = 0, order: str = "<", length: int | None = None) -> bytes:
    """An Enhanced Packet Block."""
    size = len(frame) if length is None else length
    fields = struct.pack(f"{order}IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), size)
    return block(6, fields + frame, order)


def pcapng(frames: Iterable[bytes], *, link: int = ETHERNET, order: str = "<") -> bytes:
    """A pcapng file with one interface, a frame each millisecond."""
    packets = [enhanced(frame, 1_700_000_000_000_000 + 1000 * at, order=order) for at, frame in enumerate(frames)]
    return section(order) + interface(link, order=order) + b"".join(packets)
