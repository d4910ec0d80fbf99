"""What crosses the link between the gateways: counted by the kernel, kept in part, written as a capture file.

Three packet sockets (packet(7)) stand on the link, each with a classic BPF program that lets one kind of frame pass:
IKE, ESP, and everything else. The kernel counts what passes each of them, so the counts are whole however fast the
link is; the sockets' buffers keep the first frames of each kind to look at.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

from caponier.demo.namespaces import Namespace

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
SO_ATTACH_FILTER = 26
SO_TIMESTAMPNS = 35
SNAP_LENGTH = 2048  #: octets kept of a frame


class Kind(Enum):
    """What a frame carries, as far as anybody on the link can tell."""

    IKE = "IKE"
    ESP = "ESP"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame: Ethernet header first, perhaps cut short."""

    kind: Kind
    seconds: float  #: since 1970, UTC
    octets: bytes
    length: int  #: octets on the link

    @property
    def is_housekeeping(self) -> bool:
        """Whether it only keeps the link itself alive: ARP, IPv6 neighbour discovery, multicast listeners."""
        ethertype = int.from_bytes(self.octets[12:14], "big")
        if ethertype == 0x0806:
            return True
        if ethertype != 0x86DD or len(self.octets) < 56:
            return False
        next_header, offset = self.octets[20], 54
        if next_header == 0:  # hop-by-hop options with the router alert of a listener report (RFC 3810)
            next_header, offset = self.octets[54], 54 + 8 * (self.octets[55] + 1)
        return next_header == 58 and len(self.octets) > offset and self.octets[offset] in range(130, 144)


@dataclass(frozen=True, slots=True)
class Capture:
    """The link's traffic between start and stop."""

    counts: dict[Kind, int]
    frames: tuple[Frame, ...]  #: the first of each kind, in order of time

    @property
    def housekeeping(self) -> int:
        return sum(frame.is_housekeeping for frame in self.frames)

    @property
    def strangers(self) -> int:
        """Frames that are neither IKE nor ESP nor the link's own housekeeping."""
        return self.counts[Kind.OTHER] - self.housekeeping

    def contains(self, octets: bytes) -> bool:
        """Whether ``octets`` can be read in any frame that was kept."""
        return any(octets in frame.octets for frame in self.frames)

    def write_pcap(self, path: Path) -> None:
        """Write the kept frames as a pcap file, for tcpdump, tshark or Wireshark."""
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP_LENGTH, 1))
            for frame in self.frames:
                whole, part = divmod(int(frame.seconds * 1_000_000), 1_000_000)
                file.write(struct.pack("<IIII", whole, part, len(frame.octets), frame.length) + frame.octets)


class Tap:
    """A capture that is running on ``interface`` inside ``namespace``; a context manager."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        with namespace.inside():
            self._sockets = {kind: _open(kind, interface) for kind in Kind}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._sockets.values():
            each.close()

    def stop(self) -> Capture:
        """What was seen. The tap is at its end: closing it is what remains."""
        counts = {}
        frames: list[Frame] = []
        for kind, each in self._sockets.items():
            counts[kind], _ = struct.unpack("II", each.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            frames += _drain(each, kind)
        return Capture(counts, tuple(sorted(frames, key=lambda frame: frame.seconds)))


def _open(kind: Kind, interface: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        _attach(tap, _program(kind))
        tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        tap.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        tap.setblocking(False)
        tap.bind((interface, ETH_P_ALL))  # from here on frames arrive: the filter is in place already
    except OSError:
        tap.close()
        raise
    return tap


def _drain(tap: socket.socket, kind: Kind) -> list[Frame]:
    frames: list[Frame] = []
    while True:
        try:
            octets, ancillary, _, _ = tap.recvmsg(SNAP_LENGTH, 128)
        except BlockingIOError:
            return frames
        seconds, length = 0.0, len(octets)
        for level, option, data in ancillary:
            if (level, option) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                whole, part = struct.unpack("qq", data)
                seconds = whole + part / 1e9
            elif (level, option) == (SOL_PACKET, PACKET_AUXDATA):
                length = struct.unpack_from("II", data)[1]
        frames.append(Frame(kind, seconds, octets, length))


# The filter: one program that finds the kind of a frame; what it is asked for passes. Classic BPF as in
# linux/filter.h: (code, jump if true, jump if false, constant), jumps relative to the next instruction. Labels
# instead of relative numbers keep it readable.

_LD_WORD, _LD_HALF, _LD_BYTE = 0x20, 0x28, 0x30  # absolute offsets
_LD_WORD_X, _LD_HALF_X = 0x40, 0x48  # offsets from X
_LDX_HEADER_LENGTH, _LDX_CONSTANT = 0xB1, 0x01  # X = 4 * (low nibble); X = constant
_JUMP, _JEQ, _JGE, _JSET, _RETURN = 0x05, 0x15, 0x35, 0x45, 0x06

_Instruction = tuple[int, int, str, str]

_CLASSIFIER: tuple[tuple[str, _Instruction], ...] = (
    ("", (_LD_HALF, 12, "", "")),
    ("", (_JEQ, 0x0800, "v4", "")),
    ("", (_JEQ, 0x86DD, "v6", "other")),
    ("v6", (_LD_BYTE, 20, "", "")),
    ("", (_JEQ, 50, "esp", "")),
    ("", (_JEQ, 17, "", "other")),
    ("", (_LDX_CONSTANT, 40, "", "")),
    ("", (_JUMP, 0, "udp", "")),
    ("v4", (_LD_BYTE, 23, "", "")),
    ("", (_JEQ, 50, "esp", "")),
    ("", (_JEQ, 17, "", "other")),
    ("", (_LD_HALF, 20, "", "")),
    ("", (_JSET, 0x1FFF, "other", "")),  # a later fragment has no ports
    ("", (_LDX_HEADER_LENGTH, 14, "", "")),
    ("udp", (_LD_HALF_X, 14, "", "")),
    ("", (_JEQ, 500, "ike", "")),
    ("", (_JEQ, 4500, "encapsulated", "")),
    ("", (_LD_HALF_X, 16, "", "")),
    ("", (_JEQ, 500, "ike", "")),
    ("", (_JEQ, 4500, "encapsulated", "other")),
    ("encapsulated", (_LD_HALF_X, 18, "", "")),
    ("", (_JGE, 12, "", "ike")),  # shorter than a marker: a NAT keepalive (RFC 3948 section 2.3)
    ("", (_LD_WORD_X, 22, "", "")),
    ("", (_JEQ, 0, "ike", "esp")),  # the non-ESP marker (RFC 3948 section 2.2)
)


def _program(wanted: Kind) -> list[tuple[int, int, int, int]]:
    """The classifier, with the frames of ``wanted`` let through."""
    ends = [("ike", Kind.IKE), ("esp", Kind.ESP), ("other", Kind.OTHER)]
    labels = {label: index for index, (label, _) in enumerate(_CLASSIFIER) if label}
    labels |= {label: len(_CLASSIFIER) + index for index, (label, _) in enumerate(ends)}

    program = []
    for index, (_, (code, constant, if_true, if_false)) in enumerate(_CLASSIFIER):
        true, false = (labels[label] - index - 1 if label else 0 for label in (if_true, if_false))
        program.append((code, 0, 0, true) if code == _JUMP else (code, true, false, constant))
    program += [(_RETURN, 0, 0, SNAP_LENGTH if kind is wanted else 0) for _, kind in ends]
    return program


def _attach(tap: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))  # must live until setsockopt has returned
    tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(buffer)))
