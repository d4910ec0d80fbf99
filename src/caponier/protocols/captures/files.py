"""Capture files: pcap and pcapng to frames, IP packets to pcap.

The formats are those of libpcap and Wireshark (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng); no RFC describes
them yet. A file is read from its start to its end in one go, a frame at a time, so that neither its size nor whether it
is a file at all matters. Every length that it states is bounded before anything is read by it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from caponier.errors import CaponierError

Read = Callable[[int], bytes]  #: at most so many octets; none at the end

MAX_FRAME = 1 << 18  #: octets of a frame; what tcpdump captures at most
MAX_BLOCK = 1 << 24  #: octets of a pcapng block
MAX_INTERFACES = 4096  #: in a section of a pcapng file
SECOND = 1_000_000_000  #: nanoseconds


class CaptureError(CaponierError):
    """A file is no capture, or not what it says it is.

    Args:
        message: what is wrong.
        offset: where in the file, in octets.
        hint: how to mend it.
    """

    def __init__(self, message: str, *, offset: int, hint: str | None = None) -> None:
        super().__init__(f"at octet {offset}: {message}", hint=hint)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame.

    Attributes:
        number: counted from 1, as Wireshark does.
        time: nanoseconds since 1970, UTC; None where the file does not say.
        link: what kind of header it begins with, by its number in the registry of link types.
        octets: of the frame, as many as were captured.
        length: octets that it had on the link.
    """

    number: int
    time: int | None
    link: int
    octets: bytes
    length: int


def frames(read: Read) -> Iterator[Frame]:
    """Read a capture file.

    Args:
        read: gives its next octets.

    Raises:
        CaptureError: what was read is no capture. The frames before it have been given by then.
    """
    stream = _Stream(read)
    magic = stream.take(4, "the magic number")
    if magic == _SECTION_HEADER:
        yield from _Pcapng(stream).frames()
    elif magic in _PCAP:
        yield from _pcap(stream, *_PCAP[magic])
    else:
        raise CaptureError("neither pcap nor pcapng", offset=0, hint=_OTHER_FORMATS.get(magic[:2]))


class _Stream:
    """The octets of a file, in their order; knows how many were taken."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.offset = 0

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` octets.

        Raises:
            CaptureError: the file ends before.
        """
        octets = self.take_unless_at_end(count, what)
        if count and not octets:
            raise self._ended(what, 0, count)
        return octets

    def take_unless_at_end(self, count: int, what: str) -> bytes:
        """The next ``count`` octets; none where the file ends just here."""
        octets = self._read(count)
        if len(octets) < count:  # a pipe gives what it has
            octets = b"".join((octets, *self._more(count - len(octets))))
        if octets and len(octets) < count:
            raise self._ended(what, len(octets), count)
        self.offset += len(octets)
        return octets

    def _more(self, count: int) -> Iterator[bytes]:
        while count and (octets := self._read(count)):
            count -= len(octets)
            yield octets

    def _ended(self, what: str, found: int, count: int) -> CaptureError:
        return CaptureError(
            f"the file ends inside of {what}: {found} of {count} octets are there",
            offset=self.offset,
            hint="it was cut off, or is still being written; what stands before this place is sound",
        )


# -- pcap

#: Magic numbers: the order of the octets, and nanoseconds in the unit of the times.
_PCAP: dict[bytes, tuple[str, int]] = {
    bytes.fromhex("a1b2c3d4"): (">", 1000),
    bytes.fromhex("d4c3b2a1"): ("<", 1000),
    bytes.fromhex("a1b23c4d"): (">", 1),
    bytes.fromhex("4d3cb2a1"): ("<", 1),
}

_OTHER_FORMATS = {
    b"\x1f\x8b": "it is compressed: gzip -dc FILE | caponier esp decode -",
    b"\x28\xb5": "it is compressed: zstd -dc FILE | caponier esp decode -",
    b"\xfd7": "it is compressed: xz -dc FILE | caponier esp decode -",
    b"\x04\x22": "it is compressed: lz4 -dc FILE | caponier esp decode -",
}


def _pcap(stream: _Stream, order: str, unit: int) -> Iterator[Frame]:
    """The frames of a pcap file, behind its magic number.

    ::

        |          Major Version        |         Minor Version         |
        |                    Reserved (8 octets)                        |
        |                            SnapLen                            |
        | FCS |f|       Reserved        |           LinkType            |

    and of each frame::

        |                      Timestamp (Seconds)                      |
        |            Timestamp (Microseconds or nanoseconds)            |
        |                    Captured Packet Length                     |
        |                    Original Packet Length                     |
    """
    major, minor, _, link = struct.unpack(f"{order}HH8sxxxxI", stream.take(20, "the file's header"))
    if (major, minor) != (2, 4):
        raise CaptureError(f"pcap of version {major}.{minor}; 2.4 is what there is", offset=4)
    header = struct.Struct(f"{order}IIII")
    number = 0
    while head := stream.take_unless_at_end(16, "a frame's header"):
        number += 1
        seconds, fraction, captured, length = header.unpack(head)
        _check_length(captured, stream.offset - 8)
        octets = stream.take(captured, f"frame {number}")
        yield Frame(number, seconds * SECOND + fraction * unit, link & 0xFFFF, octets, length)


def _check_length(captured: int, offset: int) -> None:
    if captured > MAX_FRAME:
        raise CaptureError(f"a frame of {captured} octets; more than {MAX_FRAME} are not captured", offset=offset)


def pcap_header(link: int) -> bytes:
    """The begin of a pcap file with times in nanoseconds."""
    return struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, MAX_FRAME, link)


def pcap_frame(time: int | None, octets: bytes) -> bytes:
    """A frame of such a file.

    Args:
        time: nanoseconds since 1970. What the format cannot say, and None, are 1970.
        octets: the frame, whole.
    """
    seconds, fraction = divmod(time or 0, SECOND)
    if not 0 <= seconds < 1 << 32:
        seconds, fraction = 0, 0
    return struct.pack("<IIII", seconds, fraction, len(octets), len(octets)) + octets


# -- pcapng

_SECTION_HEADER = bytes.fromhex("0a0d0d0a")
_BYTE_ORDERS: dict[bytes, tuple[str, Literal["big", "little"]]] = {
    bytes.fromhex("1a2b3c4d"): (">", "big"),
    bytes.fromhex("4d3c2b1a"): ("<", "little"),
}
_END_OF_OPTIONS, _TIME_RESOLUTION, _TIME_OFFSET = 0, 9, 14


class _Block(IntEnum):
    """The blocks that matter to us."""

    INTERFACE_DESCRIPTION = 1
    PACKET = 2
    SIMPLE_PACKET = 3
    ENHANCED_PACKET = 6


@dataclass(frozen=True, slots=True)
class _Interface:
    """What an Interface Description Block says: link type, and how times are to be read."""

    link: int
    snap_length: int
    ticks: int  #: in a second
    seconds: int  #: to add


class _Pcapng:
    """The frames of a pcapng file, behind its first four octets.

    ::

        |                          Block Type                           |
        |                      Block Total Length                       |
        /                          Block Body                           /
        |                      Block Total Length                       |
    """

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._order: str = ">"
        self._byteorder: Literal["big", "little"] = "big"
        self._interfaces: list[_Interface] = []
        self._offset = 0  # of the block at hand

    def frames(self) -> Iterator[Frame]:
        number = 0
        kind = _SECTION_HEADER
        while kind:
            self._offset = self._stream.offset - 4
            body = self._section() if kind == _SECTION_HEADER else self._body()
            match int.from_bytes(kind, self._byteorder):
                case _Block.INTERFACE_DESCRIPTION:
                    self._describe_interface(body)
                case _Block.PACKET | _Block.SIMPLE_PACKET | _Block.ENHANCED_PACKET as packet:
                    number += 1
                    yield self._frame(packet, number, body)
                case _:
                    pass  # names, statistics, secrets, and what is still to be invented
            kind = self._stream.take_unless_at_end(4, "a block's type")

    # -- blocks

    def _section(self) -> bytes:
        """A Section Header Block: it says how all that follows is written, and forgets the interfaces before it."""
        length, magic = self._stream.take(4, "a block's length"), self._stream.take(4, "the byte-order magic")
        if magic not in _BYTE_ORDERS:
            raise self._wrong(f"{magic.hex()} is no byte-order magic of a section")
        self._order, self._byteorder = _BYTE_ORDERS[magic]
        self._interfaces = []
        body = self._rest(length, 12)
        major, _ = self._fields("HH", body, "a section's header")
        if major != 1:
            raise self._wrong(f"pcapng of version {major}; 1 is what there is")
        return b""

    def _body(self) -> bytes:
        return self._rest(self._stream.take(4, "a block's length"), 8)

    def _rest(self, length: bytes, taken: int) -> bytes:
        """What is left of a block's body when its first ``taken`` octets were read."""
        total = int.from_bytes(length, self._byteorder)
        if total % 4 or not taken + 4 <= total <= MAX_BLOCK:
            raise self._wrong(f"a block cannot have {total} octets")
        body = self._stream.take(total - taken - 4, "a block")
        if self._stream.take(4, "a block's second length") != length:
            raise self._wrong("a block's two lengths are different")
        return body

    def _describe_interface(self, body: bytes) -> None:
        if len(self._interfaces) >= MAX_INTERFACES:
            raise self._wrong(f"a section with more than {MAX_INTERFACES} interfaces")
        link, _, snap_length = self._fields("HHI", body, "an interface's description")
        ticks, seconds = 1_000_000, 0
        for code, value in self._options(body[8:]):
            if code == _TIME_RESOLUTION and len(value) == 1:  # a power of 10, or of 2 where the first bit is set
                ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == _TIME_OFFSET and len(value) == 8:
                seconds = int.from_bytes(value, self._byteorder, signed=True)
        self._interfaces.append(_Interface(link, snap_length, ticks, seconds))

    def _options(self, octets: bytes) -> Iterator[tuple[int, bytes]]:
        """Code and value of each option, each padded to four octets."""
        at = 0
        while at < len(octets):
            code, length = self._fields("HH", octets[at : at + 4], "an option")
            value = octets[at + 4 : at + 4 + length]
            if code == _END_OF_OPTIONS:
                return
            if len(value) < length:
                raise self._wrong(f"an option of {length} octets in a block that is shorter")
            yield code, value
            at += 4 + length + -length % 4

    def _frame(self, kind: int, number: int, body: bytes) -> Frame:
        """An Enhanced or Simple Packet Block, or the obsolete Packet Block."""
        match kind:
            case _Block.ENHANCED_PACKET:  # Interface ID, Timestamp, Captured and Original Packet Length
                which, high, low, captured, length = self._fields("IIIII", body, "a packet block")
                body = body[20:]
            case _Block.PACKET:  # Interface ID, Drops Count, and the same
                which, _, high, low, captured, length = self._fields("HHIIII", body, "a packet block")
                body = body[20:]
            case _:  # of interface 0, without a time, cut to the interface's snap length
                (length,) = self._fields("I", body, "a packet block")
                which, high, low, body = 0, 0, 0, body[4:]
                captured = min(length, (self._interface(0).snap_length or length))
        interface = self._interface(which)
        _check_length(captured, self._offset)
        if captured > len(body):
            raise self._wrong(f"a frame of {captured} octets in a block that has {len(body)}")
        time = None if kind == _Block.SIMPLE_PACKET else _nanoseconds(high << 32 | low, interface)
        return Frame(number, time, interface.link, body[:captured], length)

    def _interface(self, which: int) -> _Interface:
        if which >= len(self._interfaces):
            raise self._wrong(f"a frame of interface {which}, which no block describes")
        return self._interfaces[which]

    # -- fields

    def _fields(self, layout: str, octets: bytes, what: str) -> tuple[Any, ...]:
        size = struct.calcsize(self._order + layout)
        if len(octets) < size:
            raise self._wrong(f"{what} of {len(octets)} octets; {size} are the least")
        return struct.unpack_from(self._order + layout, octets)

    def _wrong(self, message: str) -> CaptureError:
        return CaptureError(message, offset=self._offset)


def _nanoseconds(ticks: int, interface: _Interface) -> int:
    return ticks * SECOND // interface.ticks + interface.seconds * SECOND
