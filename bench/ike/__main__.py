"""``make bench-ike``: what IKE costs a gateway: handshakes and where their time goes, memory, timers, lookups."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import measure
from bench.ike import crowd, handshakes, targets
from bench.ike.parties import KINDS, Kind, is_built


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-ike", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of each kind, in turns; the tables show medians")
    parser.add_argument("--handshakes", type=int, default=200, help="in a round")
    parser.add_argument("--peers", type=int, default=10_000, help="that stand at one gateway; 0 leaves that part out")
    parser.add_argument("--only", default="", help=f"kinds, parted by commas: {', '.join(kind.key for kind in KINDS)}")
    parser.add_argument("--json", type=Path, default=Path("run/bench-ike.json"), help="where the results go")
    return parser.parse_args()


def main() -> int:
    """Measure and show."""
    options = _options()
    console = Console()
    console.width = max(console.width, 132)  # the tables are not to be folded
    words = [word for word in options.only.split(",") if word]
    kinds = [kind for kind in KINDS if (not words or kind.key in words) and is_built(kind)]
    columns = (SpinnerColumn(), TextColumn("{task.completed} of {task.total}: {task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        shakes = _shake(kinds, options, progress)
        many = _gather([kind for kind in kinds if kind.key in ("psk", "ecdsa")], options, progress)
    found = targets.targets(shakes, many)
    for table in (
        _costs(kinds, shakes),
        _shares(kinds, shakes),
        *([_crowds(many)] if many else []),
        targets.table(found),
    ):
        console.print(table)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(_results(shakes, many, found), indent=1) + "\n")
    console.print(f"all rounds are in {options.json}")
    return 0


def _shake(kinds: list[Kind], options: argparse.Namespace, progress: Progress) -> dict[str, handshakes.Figures]:
    """All kinds in turns, so that what disturbs the machine disturbs all of them."""
    task = progress.add_task("", total=(options.rounds + 1) * len(kinds))
    benches = {kind.key: handshakes.Bench(kind) for kind in kinds}
    for turn in range(options.rounds + 1):
        for kind in kinds:
            progress.update(task, description=f"handshakes: {kind.name}")
            if turn < options.rounds:
                benches[kind.key].round(options.handshakes)
            else:
                benches[kind.key].sample(options.handshakes * 5)
            progress.advance(task)
    return {key: bench.figures for key, bench in benches.items()}


def _gather(kinds: list[Kind], options: argparse.Namespace, progress: Progress) -> dict[str, crowd.Figures]:
    sizes = (*(size for size in (100, 1000) if size < options.peers), options.peers)
    found: dict[str, crowd.Figures] = {}
    if options.peers < 100:
        return found
    task = progress.add_task("", total=len(sizes) * len(kinds))
    for kind in kinds:
        progress.update(task, description=f"{options.peers} peers: {kind.name}")
        with crowd.crowd(kind) as there:
            for figures in there.measure(sizes):
                found[kind.key] = figures
                progress.advance(task)
    return found


def _costs(kinds: list[Kind], shakes: dict[str, handshakes.Figures]) -> Table:
    table = Table(
        title="a handshake, IKE_SA_INIT to IKE_AUTH with one Child SA, at its responder: medians (least to most)"
    )
    for heading in ("kind", "CPU ms", "handshakes per second and core"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for kind in kinds:
        rounds = shakes[kind.key].milliseconds
        middle = statistics.median(rounds)
        table.add_row(kind.name, f"{middle:.2f} ({min(rounds):.2f} to {max(rounds):.2f})", f"{1000 / middle:,.0f}")
    return table


def _shares(kinds: list[Kind], shakes: dict[str, handshakes.Figures]) -> Table:
    table = Table(title="where that time goes, per cent")
    groups = [*dict.fromkeys(group for _, group in handshakes.GROUPS), handshakes.REST]
    table.add_column("kind")
    for group in groups:
        table.add_column(group, justify="right")
    for kind in kinds:
        shares = shakes[kind.key].shares
        table.add_row(kind.name, *(f"{100 * shares.get(group, 0):.0f}" for group in groups))
    return table


def _crowds(many: dict[str, crowd.Figures]) -> Table:
    table = Table(title="many peers at one gateway, the core alone")
    for heading in ("kind", "peers", "KiB for each", "idle: CPU s per s", "handshake, ms", "new keys, ms"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for key, figures in many.items():
        for size, shake in figures.handshake.items():
            is_last = size == figures.peers
            memory, idle = (f"{figures.kibibytes:.1f}", f"{figures.idle:.3f}") if is_last else ("", "")
            table.add_row(key, f"{size:,}", memory, idle, f"{shake:.2f}", f"{figures.rekey[size]:.2f}")
    return table


def _results(
    shakes: dict[str, handshakes.Figures], many: dict[str, crowd.Figures], found: list[targets.Target]
) -> dict[str, object]:
    return {
        "machine": measure.machine(),
        "handshakes": {key: asdict(figures) for key, figures in shakes.items()},
        "many": {key: asdict(figures) for key, figures in many.items()},
        "targets": [{**asdict(each), "is_met": each.is_met} for each in found],
    }


if __name__ == "__main__":
    sys.exit(main())
