"""Capture files: every form of them is read, and whatever else there is, is refused with its place."""

from __future__ import annotations

import io
import logging
import struct
import tracemalloc
from itertools import chain, cycle, repeat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caponier.protocols.captures.files import (
    MAX_BLOCK,
    MAX_FRAME,
    MAX_INTERFACES,
    CaptureError,
    Frame,
    Read,
    frames,
    pcap_frame,
    pcap_header,
)
from tests.unit.protocols.samples import (
    ESP,
    RAW,
    SECOND,
    block,
    enhanced,
    esp_header,
    ethernet,
    interface,
    ipv4,
    option,
    pcap,
    pcapng,
    section,
)

logging.getLogger("scapy").setLevel(logging.ERROR)

FRAMES = [ethernet(ipv4(ESP, esp_header(sequence=number) + bytes(number))) for number in range(1, 8)]


def read(octets: bytes) -> list[Frame]:
    return list(frames(io.BytesIO(octets).read))


def refusal(octets: bytes) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        read(octets)
    return caught.value


# -- pcap


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("unit", [1000, 1])
def test_pcap_of_every_order_and_unit(order: str, unit: int) -> None:
    start = 1_700_000_000 * SECOND + 123_456_789
    found = read(pcap(FRAMES, order=order, nanoseconds=unit == 1, start=start))
    assert [frame.octets for frame in found] == FRAMES
    assert [frame.number for frame in found] == list(range(1, 8))
    assert {(frame.link, frame.length - len(frame.octets)) for frame in found} == {(1, 0)}
    assert found[0].time == start - start % unit
    assert [frame.time - found[0].time for frame in found] == [number * 1_000_000 for number in range(7)]  # type: ignore[operator]


def test_a_frame_that_was_captured_in_part_keeps_its_length() -> None:
    (frame,) = read(pcap([bytes(1000)], cut=60))
    assert (len(frame.octets), frame.length) == (60, 1000)


def test_the_link_type_is_the_lower_half_of_its_field() -> None:
    """The upper half tells of frame check sequences."""
    (frame,) = read(pcap([b"frame"], link=0x5400_0065))
    assert frame.link == RAW


def test_a_capture_without_frames() -> None:
    assert read(pcap([])) == []
    assert read(section()) == []


def test_what_scapy_writes_is_read(tmp_path: Path) -> None:
    """A writer that we did not write, for both formats."""
    from scapy.layers.l2 import Ether
    from scapy.utils import wrpcap, wrpcapng

    packets = [Ether(octets) for octets in FRAMES]
    for number, packet in enumerate(packets):
        packet.time = 1_700_000_000 + number / 8
    for write in (wrpcap, wrpcapng):
        path = tmp_path / write.__name__
        write(str(path), packets)
        found = read(path.read_bytes())
        assert [frame.octets for frame in found] == FRAMES
        assert [frame.time for frame in found] == [1_700_000_000 * SECOND + at * SECOND // 8 for at in range(7)]


def test_what_we_write_is_read_by_scapy(tmp_path: Path) -> None:
    from scapy.utils import RawPcapReader

    path = tmp_path / "inner.pcap"
    octets = [ipv4(17, bytes(number)) for number in range(3)]
    path.write_bytes(pcap_header(RAW) + b"".join(pcap_frame(at * SECOND + 7, each) for at, each in enumerate(octets)))
    with RawPcapReader(str(path)) as reader:
        assert (reader.linktype, reader.nano) == (RAW, True)
        found = list(reader)
    assert [each for each, _ in found] == octets
    assert [(about.sec, about.usec) for _, about in found] == [(0, 7), (1, 7), (2, 7)]


@pytest.mark.parametrize("time", [None, -1, 1 << 62, (1 << 32) * SECOND])
def test_a_time_that_pcap_cannot_say_is_written_as_none(time: int | None) -> None:
    (frame,) = read(pcap_header(RAW) + pcap_frame(time, b"\x45"))
    assert (frame.time, frame.octets, frame.link) == (0, b"\x45", RAW)


# -- pcapng


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_both_orders(order: str) -> None:
    found = read(pcapng(FRAMES, order=order))
    assert [frame.octets for frame in found] == FRAMES
    assert [frame.time for frame in found] == [(1_700_000_000 * 1000 + at) * 1_000_000 for at in range(7)]


RESOLUTIONS = [
    (option(9, b"\x06"), 1_500_000, 1_500_000_000),
    (option(9, b"\x09"), 1_500_000, 1_500_000),
    (option(9, b"\x00"), 3, 3 * SECOND),
    (option(9, b"\x8a"), 1536, 1_500_000_000),  # 2^-10 s
    (option(9, b"\x80"), 3, 3 * SECOND),
    (option(9, b"\x7f"), 1 << 63, 0),  # 10^-127 s: nobody has such a clock
    (option(14, struct.pack("<q", 10)), 1_000_000, 11 * SECOND),
    (option(14, struct.pack("<q", -2)), 1_000_000, -1 * SECOND),
    (option(9, b"\x03") + option(14, struct.pack("<q", 1)), 500, 1_500_000_000),
    (option(2, b"eth0") + option(9, b"\x03"), 500, 500_000_000),
    (option(0, b"") + option(9, b"\x03"), 1_000_000, SECOND),  # behind the end of the options there is none
    (b"", 1_000_000, SECOND),
]


@pytest.mark.parametrize(("options", "ticks", "time"), RESOLUTIONS)
def test_times_by_resolution_and_offset_of_the_interface(options: bytes, ticks: int, time: int) -> None:
    """if_tsresol and if_tsoffset; microseconds where nothing is said."""
    (frame,) = read(section() + interface(options=options) + enhanced(b"frame", ticks))
    assert frame.time == time


def test_each_frame_is_of_its_interface() -> None:
    octets = section() + interface(1) + interface(113) + enhanced(b"a", which=1) + enhanced(b"b", which=0)
    assert [(frame.link, frame.octets) for frame in read(octets)] == [(113, b"a"), (1, b"b")]


def test_a_new_section_has_interfaces_and_an_order_of_its_own() -> None:
    octets = pcapng(FRAMES[:1], order="<") + pcapng(FRAMES[1:2], link=RAW, order=">")
    assert [(frame.number, frame.link) for frame in read(octets)] == [(1, 1), (2, RAW)]
    assert "interface 0" in str(refusal(pcapng(FRAMES[:1]) + section() + enhanced(b"frame")))


def test_simple_packet_blocks_have_no_time_and_are_cut_to_the_snap_length() -> None:
    simple = block(3, struct.pack("<I", 10) + b"0123456789")
    (whole,) = read(section() + interface() + simple)
    assert (whole.time, whole.octets, whole.length) == (None, b"0123456789", 10)
    (part,) = read(section() + interface(snap_length=4) + block(3, struct.pack("<I", 10) + b"0123"))
    assert (part.octets, part.length) == (b"0123", 10)


def test_obsolete_packet_blocks() -> None:
    body = struct.pack("<HHIIII", 0, 7, 0, 5, 3, 9) + b"abc"
    (frame,) = read(section() + interface() + block(2, body))
    assert (frame.time, frame.octets, frame.length) == (5000, b"abc", 9)


def test_blocks_that_are_about_something_else_are_passed_over() -> None:
    others = [block(kind, b"whatever") for kind in (4, 5, 10, 0x80000001, 0xBAD)]
    octets = section() + b"".join(others) + interface() + others[0] + enhanced(b"frame") + others[1]
    assert [frame.octets for frame in read(octets)] == [b"frame"]


# -- what is refused

GOOD = {
    "pcap": pcap(FRAMES[:2]),
    "pcapng": pcapng(FRAMES[:2]),
    "interface with options": section() + interface(options=option(9, b"\x03") + option(0, b"")) + enhanced(b"frame"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_file_that_ends_anywhere_gives_its_frames_and_the_place(name: str) -> None:
    """Cut off at each octet: what stands before is given, and where it ends is told."""
    octets = GOOD[name]
    whole = read(octets)
    ends = 0
    for length in range(len(octets)):
        found: list[Frame] = []
        try:
            found.extend(frames(io.BytesIO(octets[:length]).read))  # keeps what came before an error
        except CaptureError as error:
            assert error.offset <= length
            assert "the file ends" in str(error)
            assert error.hint
        else:
            ends += 1
        assert found == whole[: len(found)]
    # Without an error only where it ends between two frames or two blocks.
    assert ends == (2 if name == "pcap" else 3 if name == "pcapng" else 2)


MISTAKES: list[tuple[str, bytes, str, int]] = [
    ("nothing", b"", "the file ends inside of the magic number", 0),
    ("text", b"hello, world", "neither pcap nor pcapng", 0),
    ("an IP packet", ipv4(ESP, bytes(100)), "neither pcap nor pcapng", 0),
    ("pcap of another version", pcap([])[:4] + struct.pack("<HH", 2, 3) + pcap([])[8:], "version 2.3", 4),
    ("a huge frame", pcap([]) + struct.pack("<IIII", 0, 0, MAX_FRAME + 1, 60), f"a frame of {MAX_FRAME + 1} octets", 32),
    ("the largest number", pcap([]) + b"\xff" * 16, "a frame of 4294967295 octets", 32),
    ("no byte-order magic", section()[:8] + bytes(4) + section()[12:], "00000000 is no byte-order magic", 0),
    ("pcapng of another version", section(major=2), "version 2", 0),
    ("a block of 0 octets", section() + struct.pack("<II", 6, 0), "cannot have 0 octets", 28),
    ("a block of 8 octets", section() + struct.pack("<II", 6, 8), "cannot have 8 octets", 28),
    ("a block of 13 octets", section() + struct.pack("<II", 6, 13), "cannot have 13 octets", 28),
    ("a huge block", section() + struct.pack("<II", 6, MAX_BLOCK + 4), f"cannot have {MAX_BLOCK + 4}", 28),
    ("a section of 12 octets", section()[:4] + struct.pack("<II", 12, 0x1A2B3C4D), "cannot have 12 octets", 0),
    ("a section without a version", block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)), "section's header of 0 octets", 0),
    ("two lengths", section()[:-4] + b"\x20\x00\x00\x00", "two lengths are different", 0),
    ("an interface of 4 octets", section() + block(1, bytes(4)), "description of 4 octets", 28),
    ("an option without end", section() + interface(options=b"\x02\x00\x40\x00abcd"), "option of 64 octets", 28),
    ("half an option", section() + block(1, bytes(8) + b"\x02\x00"), "", 28),
    ("no interface", section() + enhanced(b"frame"), "frame of interface 0", 28),
    ("another interface", section() + interface() + enhanced(b"frame", which=1), "frame of interface 1", 48),
    ("a simple packet of none", section() + block(3, bytes(8)), "frame of interface 0", 28),
    ("a frame beyond its block", section() + interface() + block(6, struct.pack("<IIIII", 0, 0, 0, 9, 9) + bytes(8)), "9 octets in a block that has 8", 48),
    ("a huge frame in a block", section() + interface() + block(6, struct.pack("<IIIII", 0, 0, 0, 1 << 31, 9)), "a frame of 2147483648 octets", 48),
    ("half a packet block", section() + interface() + block(6, bytes(16)), "packet block of 16 octets", 48),
]  # fmt: skip


@pytest.mark.parametrize(
    ("octets", "message", "offset"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_what_is_no_capture_is_refused_with_its_place(octets: bytes, message: str, offset: int) -> None:
    if message:
        error = refusal(octets)
        assert message in str(error)
        assert error.offset == offset
        assert str(error).startswith(f"at octet {offset}: ")
    else:  # padded to the end of its block, and so it is an option of no octets
        assert read(octets) == []


@pytest.mark.parametrize(
    ("magic", "tool"), [("1f8b0800", "gzip"), ("28b52ffd", "zstd"), ("fd377a58", "xz"), ("04224d18", "lz4")]
)
def test_a_compressed_file_is_told_how_to_be_read(magic: str, tool: str) -> None:
    hint = refusal(bytes.fromhex(magic) + bytes(100)).hint
    assert hint is not None
    assert f"{tool} -dc FILE | caponier esp decode -" in hint


def test_the_number_of_interfaces_is_bounded() -> None:
    """Else a file of nothing else would fill the memory."""
    octets = section() + interface() * MAX_INTERFACES
    assert read(octets) == []
    assert "more than 4096 interfaces" in str(refusal(octets + interface()))


# -- however it is read


def in_pieces(octets: bytes, sizes: list[int]) -> Read:
    """A pipe: it gives less than it is asked for."""
    file = io.BytesIO(octets)
    count = cycle(sizes)
    return lambda wanted: file.read(min(wanted, next(count)))


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_a_pipe_gives_what_it_has(sizes: list[int]) -> None:
    for octets in (pcap(FRAMES), pcapng(FRAMES)):
        assert list(frames(in_pieces(octets, sizes))) == read(octets)


def test_memory_does_not_grow_with_the_file() -> None:
    """20 MiB of frames, made as they are read: never more than a few of them are kept."""
    record = pcap([bytes(1024)])[24:]

    def source() -> Read:
        pieces = chain([pcap([])], repeat(record, 20_000))
        rest = b""

        def take(count: int) -> bytes:
            nonlocal rest
            rest = rest or next(pieces, b"")
            given, rest = rest[:count], rest[count:]
            return given

        return take

    tracemalloc.start()
    try:
        assert sum(1 for _ in frames(source())) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 18


# -- junk


def total(octets: bytes) -> None:
    """Frames, or a CaptureError with a place in the file; nothing else."""
    try:
        for frame in frames(io.BytesIO(octets).read):
            assert len(frame.octets) <= MAX_FRAME
    except CaptureError as error:
        assert 0 <= error.offset <= len(octets)


STARTS = [b"", pcap([]), pcap([], order=">"), section(), section(">"), section() + interface(), pcapng(FRAMES[:1])]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_junk_is_refused(start: bytes, junk: bytes) -> None:
    total(start + junk)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(GOOD.values())),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([b"\x00", b"\xff", b"\x80", b"\x01", b"\xff\xff\xff\xff"])), max_size=4),
)  # fmt: skip
def test_a_changed_capture_is_read_or_refused(good: bytes, changes: list[tuple[int, bytes]]) -> None:
    octets = bytearray(good)
    for at, value in changes:
        octets[at : at + len(value)] = value
    total(bytes(octets))


@settings(deadline=None)
@given(st.sampled_from([2, 3, 6, 1, 4]), st.binary(max_size=64), st.sampled_from(["<", ">"]))
def test_a_block_of_junk_is_read_or_refused(kind: int, body: bytes, order: str) -> None:
    total(section(order) + interface(order=order) + block(kind, body, order))
