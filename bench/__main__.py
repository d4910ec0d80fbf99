"""``make bench``: every contender in turn, round after round, and the medians side by side."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import measure, targets
from bench.contenders import Absent, Contender, contenders
from bench.targets import Figures, median
from bench.topology import Pair, pair
from caponier.demo.namespaces import acquire_privilege

SMALL = 64  #: octets of payload of the small packets


@dataclass
class Entrant:
    """A contender on its link, and what was measured of it so far."""

    contender: Contender
    pair: Pair
    figures: Figures = field(default_factory=lambda: Figures([], [], [], []))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="rounds; the tables show medians")
    parser.add_argument("--seconds", type=int, default=4, help="of one TCP measurement")
    parser.add_argument("--only", default="", help="contenders whose name has one of these words, beside the raw link")
    parser.add_argument("--no-small", action="store_true", help="leave the slow search for packet rates out")
    parser.add_argument("--no-memory", action="store_true", help="leave sealing and opening in memory out")
    parser.add_argument("--json", type=Path, default=Path("run/bench.json"), help="where the results go")
    return parser.parse_args()


def main() -> int:
    """Measure and show."""
    options = _options()
    acquire_privilege()
    console = Console()
    console.width = max(console.width, 132)  # the tables are not to be folded
    memory = None if options.no_memory else _in_memory(console)
    with ExitStack() as undo, tempfile.TemporaryDirectory(prefix="capbench-") as directory:
        entrants = _line_up(undo, Path(directory), options.only, console)
        _run(entrants, options, console)
    found = targets.targets({each.contender.key: each.figures for each in entrants}, memory)
    tables = [_throughput(entrants), _latency(entrants), *([_memory(memory)] if memory else []), targets.table(found)]
    for table in tables:
        console.print(table)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(_results(entrants, memory, found), indent=1) + "\n")
    console.print(f"all runs are in {options.json}")
    return 0


def _line_up(undo: ExitStack, directory: Path, only: str, console: Console) -> list[Entrant]:
    """Start whatever is installed, each on a link of its own; those that wait cost nothing."""
    entrants = []
    for number, contender in enumerate(contenders()):
        words = only.lower().split(",")
        if number and not any(word in contender.name.lower() for word in words):
            continue
        link = undo.enter_context(pair(f"capbench{os.getpid()}-{number}-"))
        place = directory / str(number)
        place.mkdir()
        try:
            contender.start(link, place, undo)
        except Absent as reason:
            console.print(f"without {contender.name}: {reason}")
            continue
        measure.round_trip(link, count=5)  # it carries something, or we stop here
        entrants.append(Entrant(contender, link))
    return entrants


def _run(entrants: list[Entrant], options: argparse.Namespace, console: Console) -> None:
    steps = options.runs * len(entrants)
    columns = (SpinnerColumn(), TextColumn("{task.completed} of {task.total}: {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=steps)
        for _ in range(options.runs):
            for entrant in entrants:
                progress.update(task, description=entrant.contender.name)
                _measure(entrant, options)
                progress.advance(task)


def _measure(entrant: Entrant, options: argparse.Namespace) -> None:
    link, processes, figures = entrant.pair, entrant.contender.processes, entrant.figures
    figures.round_trip.append(measure.round_trip(link))
    figures.tcp.append(measure.tcp(link, processes, seconds=options.seconds))
    figures.tcp4.append(measure.tcp(link, processes, seconds=options.seconds, streams=4))
    if not options.no_small:
        figures.small.append(measure.packet_rate(link, processes, size=SMALL))


def _in_memory(console: Console) -> measure.Memory | None:
    """Before the tunnels, which would disturb it."""
    if shutil.which("cargo") is None:
        console.print("without sealing and opening in memory: cargo is not installed")
        return None
    with console.status("sealing and opening in memory"):
        return measure.in_memory()


def _throughput(entrants: list[Entrant]) -> Table:
    table = Table(title="TCP: medians (least to most)")
    for heading in ("tunnel", "1 stream, Gbit/s", "of raw", "CPU s/GB", "4 streams, Gbit/s", "of raw"):
        table.add_column(heading, justify="left" if heading == "tunnel" else "right")
    raw = entrants[0].figures
    raw4 = median([run.gigabits for run in raw.tcp4])
    for each in entrants:
        runs = [run.gigabits for run in each.figures.tcp]
        four = median([run.gigabits for run in each.figures.tcp4])
        table.add_row(
            each.contender.name,
            f"{median(runs):.2f} ({min(runs):.2f} to {max(runs):.2f})",
            f"{median(runs) / raw.gigabits:.2f}",
            f"{each.figures.cpu:.2f}",
            f"{four:.2f}",
            f"{four / raw4:.2f}",
        )
    return table


def _latency(entrants: list[Entrant]) -> Table:
    table = Table(title=f"{SMALL}-octet UDP without loss (at most {measure.LOSS} %), and an idle ping: medians")
    for heading in ("tunnel", "packets/s", "CPU µs/packet", "round trip, µs", "added, µs"):
        table.add_column(heading, justify="left" if heading == "tunnel" else "right")
    raw = median(entrants[0].figures.round_trip)
    for each in entrants:
        round_trip = median(each.figures.round_trip)
        table.add_row(
            each.contender.name,
            f"{each.figures.packets:,.0f}" if each.figures.small else "",
            f"{median([run.cpu for run in each.figures.small]):.1f}" if each.figures.small else "",
            f"{round_trip:.0f}",
            f"{round_trip - raw:.0f}",
        )
    return table


def _memory(memory: measure.Memory) -> Table:
    table = Table(title="in memory, one thread: nanoseconds for a packet, and the bare cipher's time in relation to it")
    for heading in ("suite", "octets", "seal, ns", "cipher / seal", "open, ns", "cipher / open"):
        table.add_column(heading, justify="left" if heading == "suite" else "right")
    for row in memory["results"]:
        figures = [
            text for each in (row["seal"], row["open"]) for text in (f"{each['esp']:.0f}", f"{each['relative']:.2f}")
        ]
        table.add_row(row["suite"], str(row["octets"]), *figures)
    return table


def _results(entrants: list[Entrant], memory: measure.Memory | None, found: list[targets.Target]) -> dict[str, object]:
    return {
        "machine": measure.machine(),
        "versions": {
            "strongSwan": measure.version(["/usr/lib/ipsec/charon", "--version"]),
            "OpenVPN": measure.version(["openvpn", "--version"]),
            "wireguard-go": measure.version(["wireguard-go", "--version"]),
        },
        "contenders": {each.contender.key: {"name": each.contender.name, **asdict(each.figures)} for each in entrants},
        "memory": memory,
        "targets": [{**asdict(each), "is_met": each.is_met} for each in found],
    }


if __name__ == "__main__":
    sys.exit(main())
