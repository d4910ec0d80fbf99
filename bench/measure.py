"""Measurements between two hosts: TCP throughput, packet rate without loss, round trip; with the CPU time they cost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from bench.topology import Pair

_TICKS = os.sysconf("SC_CLK_TCK")
_PORT = 5201
_ROOT = Path(__file__).parents[1]
LOSS = 0.5  #: per cent that still count as none: the receiver's socket alone loses some at these rates
PROBE_SECONDS = 2  #: of one step of the search for a packet rate


@dataclass(frozen=True)
class Stream:
    """A TCP measurement.

    Attributes:
        gigabits: per second, of payload.
        cpu: seconds that the contender's processes used for each gigabyte (10**9 octets), both ends together.
    """

    gigabits: float
    cpu: float


@dataclass(frozen=True)
class Rate:
    """A UDP measurement.

    Attributes:
        packets: per second that arrived.
        loss: per cent.
        cpu: microseconds that the contender's processes used for each packet, both ends together.
    """

    packets: float
    loss: float
    cpu: float


class Beside(TypedDict):
    """One direction in memory: nanoseconds for each packet, and the bare cipher's time in relation to it."""

    esp: float
    cipher: float
    relative: float


class MemoryRow(TypedDict):
    """A suite with packets of one length."""

    suite: str
    octets: int
    seal: Beside
    open: Beside


class Memory(TypedDict):
    """What ``rust/packet/examples/speed.rs`` writes."""

    unit: str
    runs: int
    results: list[MemoryRow]


def in_memory() -> Memory:
    """Build and run the example that seals and opens in memory, on one thread, beside the bare cipher.

    Raises:
        RuntimeError: it does not build or run.
    """
    command = ["cargo", "run", "--release", "--locked", "--quiet", "-p", "caponier-packet", "--example", "speed"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the example speed: {done.stderr[-2000:]}")
    found: Memory = json.loads(done.stdout)
    return found


def cpu_seconds(processes: list[int]) -> float:
    """User and system time of processes so far, all threads."""
    return sum(map(_cpu_of, processes))


def _cpu_of(process: int) -> float:
    stat = Path(f"/proc/{process}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _iperf(pair: Pair, *options: str, seconds: int) -> dict[str, object]:
    """One run of iperf3 from left to right; its JSON."""
    server = pair.right.namespace.start(
        ["iperf3", "-s", "-1", "-p", str(_PORT), "-B", pair.right.inner], log=Path(os.devnull)
    )
    try:
        _await_listener(pair)
        command = ["iperf3", "-c", pair.right.inner, "-p", str(_PORT), "-t", str(seconds), "-J", *options]
        done = pair.left.namespace.run(command, seconds=seconds + 30)
    finally:
        server.terminate()
        server.wait(10)
    found: dict[str, object] = json.loads(done.stdout)
    if "error" in found:
        raise RuntimeError(f"iperf3: {found['error']}")
    return found


def _await_listener(pair: Pair) -> None:
    deadline = time.monotonic() + 10
    with pair.right.namespace.inside():
        while not any(map(_is_ours, Path("/proc/thread-self/net/tcp").read_text().splitlines())):
            if time.monotonic() > deadline:
                raise RuntimeError("iperf3 does not listen")
            time.sleep(0.02)


def _is_ours(line: str) -> bool:
    """Whether a line of /proc/net/tcp is iperf3's listening socket."""
    _, local, _, state, *_ = line.split()
    return local.endswith(f":{_PORT:04X}") and state == "0A"


def tcp(pair: Pair, processes: list[int], *, seconds: int, streams: int = 1) -> Stream:
    """As much as goes through."""
    before = cpu_seconds(processes)
    found = _iperf(pair, "-P", str(streams), seconds=seconds)
    used = cpu_seconds(processes) - before
    received = found["end"]["sum_received"]  # type: ignore[index]
    return Stream(received["bits_per_second"] / 1e9, used / (received["bytes"] / 1e9))


def udp(pair: Pair, processes: list[int], *, size: int, rate: float, seconds: int = PROBE_SECONDS) -> Rate:
    """Packets of ``size`` octets of payload at ``rate`` a second."""
    before = cpu_seconds(processes)
    found = _iperf(
        pair,
        "-u",
        "-b",
        str(int(rate * size * 8)),
        "-l",
        str(size),
        "-w",
        "4M",
        "--pacing-timer",
        "100",
        seconds=seconds,
    )
    used = cpu_seconds(processes) - before
    stream = found["end"]["streams"][0]["udp"]  # type: ignore[index]
    arrived = stream["packets"] - stream["lost_packets"]
    return Rate(
        arrived / seconds, 100 * stream["lost_packets"] / max(1, stream["packets"]), 1e6 * used / max(1, arrived)
    )


def packet_rate(pair: Pair, processes: list[int], *, size: int, highest: float = 600_000) -> Rate:
    """The highest rate at which no more than :data:`LOSS` is lost, by bisection."""
    low, high, best = 0.0, highest, Rate(0, 100, 0)
    while high - low > 0.04 * high:
        middle = (low + high) / 2
        found = udp(pair, processes, size=size, rate=middle)
        if found.loss <= LOSS and found.packets >= 0.9 * middle:
            low, best = middle, found
        else:
            # A sender that cannot offer more bounds the search as a loss does.
            high = min(middle, max(found.packets, low)) if found.loss <= LOSS else middle
            if found.loss <= LOSS and found.packets > best.packets:
                best = found
    return best


def round_trip(pair: Pair, *, count: int = 200) -> float:
    """Median of the round trips of echo requests on an idle tunnel, in microseconds."""
    done = pair.left.namespace.run(["ping", "-i", "0.01", "-c", str(count), "-I", pair.left.inner, pair.right.inner])
    times = sorted(float(found) for found in re.findall(r"time=([\d.]+) ms", done.stdout))
    if not times:
        raise RuntimeError(f"ping: {done.stdout}{done.stderr}")
    return 1000 * times[len(times) // 2]


def machine() -> dict[str, str]:
    """What this ran on."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": processor[1] if processor else "unknown",
        "cores": str(os.cpu_count()),
        "kernel": os.uname().release,
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "flags": " ".join(flag for flag in ("aes", "vaes", "avx512f", "sha_ni") if _has_flag(flag)),
    }


def _has_flag(flag: str) -> bool:
    found = re.search(r"^flags\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found is not None and flag in found[1].split()


def version(command: list[str]) -> str:
    """The first line that a program says of its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "absent"
    return (done.stdout or done.stderr).splitlines()[0] if done.stdout or done.stderr else "unknown"
