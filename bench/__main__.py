"""``make bench``: every contender in turn, round after round, and the medians side by side."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import measure
from bench.contenders import Absent, Contender, contenders
from bench.topology import Pair, pair
from caponier.demo.namespaces import acquire_privilege

SMALL = 64  #: octets of payload of the small packets


@dataclass
class Entrant:
    """A contender on its link, and what was measured of it so far."""

    contender: Contender
    pair: Pair
    tcp: list[measure.Stream] = field(default_factory=list)
    tcp4: list[measure.Stream] = field(default_factory=list)
    small: list[measure.Rate] = field(default_factory=list)
    round_trip: list[float] = field(default_factory=list)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="rounds; the tables show medians")
    parser.add_argument("--seconds", type=int, default=4, help="of one TCP measurement")
    parser.add_argument("--only", default="", help="contenders whose name contains this, beside the raw link")
    parser.add_argument("--no-small", action="store_true", help="leave the slow search for packet rates out")
    parser.add_argument("--json", type=Path, default=Path("run/bench.json"), help="where the results go")
    return parser.parse_args()


def main() -> int:
    """Measure and show."""
    options = _options()
    acquire_privilege()
    console = Console()
    console.width = max(console.width, 132)  # the tables are not to be folded
    with ExitStack() as undo, tempfile.TemporaryDirectory(prefix="capbench-") as directory:
        entrants = _line_up(undo, Path(directory), options.only, console)
        _run(entrants, options, console)
    for table in (_throughput(entrants), _latency(entrants)):
        console.print(table)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(_results(entrants), indent=1) + "\n")
    console.print(f"all runs are in {options.json}")
    return 0


def _line_up(undo: ExitStack, directory: Path, only: str, console: Console) -> list[Entrant]:
    """Start whatever is installed, each on a link of its own; those that wait cost nothing."""
    entrants = []
    for number, contender in enumerate(contenders()):
        if number and only.lower() not in contender.name.lower():
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
    link, processes = entrant.pair, entrant.contender.processes
    entrant.round_trip.append(measure.round_trip(link))
    entrant.tcp.append(measure.tcp(link, processes, seconds=options.seconds))
    entrant.tcp4.append(measure.tcp(link, processes, seconds=options.seconds, streams=4))
    if not options.no_small:
        entrant.small.append(measure.packet_rate(link, processes, size=SMALL))


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def _throughput(entrants: list[Entrant]) -> Table:
    table = Table(title="TCP: medians (least to most)")
    for heading in ("tunnel", "1 stream, Gbit/s", "of raw", "CPU s/GB", "4 streams, Gbit/s", "of raw"):
        table.add_column(heading, justify="left" if heading == "tunnel" else "right")
    raw = entrants[0]
    for each in entrants:
        one, four = _median([run.gigabits for run in each.tcp]), _median([run.gigabits for run in each.tcp4])
        table.add_row(
            each.contender.name,
            f"{one:.2f} ({min(run.gigabits for run in each.tcp):.2f} to {max(run.gigabits for run in each.tcp):.2f})",
            f"{one / _median([run.gigabits for run in raw.tcp]):.2f}",
            f"{_median([run.cpu for run in each.tcp]):.2f}",
            f"{four:.2f}",
            f"{four / _median([run.gigabits for run in raw.tcp4]):.2f}",
        )
    return table


def _latency(entrants: list[Entrant]) -> Table:
    table = Table(title=f"{SMALL}-octet UDP without loss (at most {measure.LOSS} %), and an idle ping: medians")
    for heading in ("tunnel", "packets/s", "CPU µs/packet", "round trip, µs", "added, µs"):
        table.add_column(heading, justify="left" if heading == "tunnel" else "right")
    raw = _median(entrants[0].round_trip)
    for each in entrants:
        table.add_row(
            each.contender.name,
            f"{_median([run.packets for run in each.small]):,.0f}",
            f"{_median([run.cpu for run in each.small]):.1f}",
            f"{_median(each.round_trip):.0f}",
            f"{_median(each.round_trip) - raw:.0f}",
        )
    return table


def _results(entrants: list[Entrant]) -> dict[str, object]:
    return {
        "machine": measure.machine(),
        "versions": {
            "strongSwan": measure.version(["/usr/lib/ipsec/charon", "--version"]),
            "OpenVPN": measure.version(["openvpn", "--version"]),
            "wireguard-go": measure.version(["wireguard-go", "--version"]),
        },
        "contenders": {
            each.contender.name: {
                "tcp": [asdict(run) for run in each.tcp],
                "tcp4": [asdict(run) for run in each.tcp4],
                "small": [asdict(run) for run in each.small],
                "round_trip": each.round_trip,
            }
            for each in entrants
        },
    }


if __name__ == "__main__":
    sys.exit(main())
