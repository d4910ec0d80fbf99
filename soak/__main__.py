"""``make soak MINUTES=n``: mixed traffic over two planes, and both sides' counters of every SA side by side."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from caponier.demo.namespaces import acquire_privilege
from caponier.demo.topology import topology
from soak.planes import KINDS, Generation, Pair, Row, pair
from soak.traffic import Carried, traffic
from soak.weather import weather

GENERATION_SECONDS = 5.0  #: of the SAs, until others replace them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 if both sides agree on everything."""
    options = _options(arguments)
    acquire_privilege()
    console = Console(highlight=False)
    console.width = max(console.width, 132)  # the lines are not to be folded
    before = memory()
    with (
        topology(f"capsoak{os.getpid()}-") as world,
        weather(world, options.seed) as bad,
        pair(world, bad) as planes,
    ):
        with traffic(world) as carried:
            current, rows = _replace(planes, options, console)
        rows += _retire(planes, current, console)
        drops = planes.drops()
    for line in _carried(carried):
        console.print(line)
    if drops:
        console.print(f"dropped outside of any SA: {drops}")
    console.print(f"memory: {before:.0f} MiB at first, {memory():.0f} MiB at the end")
    return _verdict(rows, carried, console)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: %(default)s)")
    parser.add_argument("--every", type=float, default=GENERATION_SECONDS, help="seconds until SAs are replaced")
    parser.add_argument("--seed", type=int, default=1, help="of the bad weather")
    return parser.parse_args(arguments)


def generations() -> Iterator[Generation]:
    """All kinds, over the good link and over the rough one, in turns, without end."""
    for number in itertools.count():
        yield Generation(KINDS[number % len(KINDS)], number, is_rough=number // len(KINDS) % 2 == 1)


def _replace(planes: Pair, options: argparse.Namespace, console: Console) -> tuple[Generation, list[Row]]:
    """Replace SAs by others until the time is over; the last ones, and what those before have counted."""
    end = time.monotonic() + 60 * options.minutes
    line = generations()
    current = next(line)
    planes.install(current)
    rows: list[Row] = []
    while (left := end - time.monotonic()) > options.every:
        time.sleep(min(options.every, left))
        following = next(line)
        planes.install(following)
        rows += _retire(planes, current, console)
        current = following
    time.sleep(max(0, left))
    return current, rows


def _retire(planes: Pair, generation: Generation, console: Console) -> list[Row]:
    rows = planes.retire(generation)
    for row in rows:
        told = f"lost on the way {row.lost}, doubled {row.doubled}" if row.is_rough else "good link"
        state = f"[red]{row.fault}[/]" if row.fault else "[green]agree[/]"
        console.print(f"{generation.number:4} {row.name:50} {row.sealed[0]:>9,} packets  {told:36} {state}")
    return rows


def _carried(carried: Carried) -> list[str]:
    return [
        f"TCP: {carried.connections} connections whole, {carried.octets / 1e6:,.0f} MB, {len(carried.broken)} broken",
        f"UDP: {carried.datagrams[0]:,} datagrams sent, {carried.datagrams[1]:,} arrived",
        f"echo requests: {carried.echoes[0]:,} sent, {carried.echoes[1]:,} answered",
    ]


def _verdict(rows: list[Row], carried: Carried, console: Console) -> int:
    faults = [row for row in rows if row.fault]
    for told in carried.broken:
        console.print(f"[red]{told}[/]")
    if not any(row.opened[0] for row in rows) or not carried.connections:
        console.print("[red]nothing was carried[/]")
        return 1
    if faults:
        console.print(table(faults))
    else:
        packets = sum(row.sealed[0] for row in rows)
        console.print(f"{len(rows)} SAs with {packets:,} packets: both sides agree on every one")
    return 1 if faults or carried.broken else 0


def table(rows: list[Row]) -> Table:
    """The SAs on which the two sides do not agree."""
    made = Table(title="the two sides do not agree")
    for heading in ("SA", "sealed", "lost", "doubled", "opened", "dropped", "what is wrong"):
        made.add_column(heading)
    for row in rows:
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(row.dropped.items())) or "none"
        made.add_row(
            row.name,
            f"{row.sealed[0]:,}",
            f"{row.lost:,}",
            f"{row.doubled:,}",
            f"{row.opened[0]:,}",
            dropped,
            row.fault or "",
        )
    return made


def memory() -> float:
    """Resident memory of this process, which both planes are in, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
