"""What Caponier aims at, beside what was measured: ratios within one run, which other machines have too."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.table import Table

from bench import measure

RAW = "raw"
OTHERS = {"strongswan": 12.0, "openvpn": 10.0, "wireguard-go": 10.0}  #: how many times as fast
OF_GCM = {"chacha": ("ChaCha20-Poly1305", 0.5), "cbc": ("AES-CBC-128 with HMAC-SHA2-256", 0.4)}
OCTETS = 1400  #: of the packets in memory that count


@dataclass
class Figures:
    """All runs of a contender.

    Attributes:
        tcp: of one stream.
        tcp4: of four.
        small: of small packets.
        round_trip: of an idle tunnel, in microseconds.
    """

    tcp: list[measure.Stream]
    tcp4: list[measure.Stream]
    small: list[measure.Rate]
    round_trip: list[float]

    @property
    def gigabits(self) -> float:
        return median([run.gigabits for run in self.tcp])

    @property
    def cpu(self) -> float:
        return median([run.cpu for run in self.tcp])

    @property
    def packets(self) -> float:
        return median([run.packets for run in self.small])


@dataclass(frozen=True)
class Target:
    """One aim.

    Attributes:
        name: what is compared with what.
        wanted: the least that it has to be, or the most.
        found: what it is; None where it was not measured.
        is_limit: whether it must not be more.
    """

    name: str
    wanted: float
    found: float | None
    is_limit: bool = False

    @property
    def is_met(self) -> bool | None:
        if self.found is None:
            return None
        return self.found <= self.wanted if self.is_limit else self.found >= self.wanted


def median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def targets(figures: Mapping[str, Figures], memory: measure.Memory | None) -> list[Target]:
    """Every aim, in the order of the project's table.

    Args:
        figures: of each contender, by its key.
        memory: how fast packets are sealed and opened in memory; None where that was left out.
    """
    best = max((figures[key].gigabits for key in OTHERS if key in figures), default=None)
    return [
        Target("1 TCP stream, AES-128-GCM in UDP, of the bare link", 0.40, _ratio(figures, "gcm", RAW)),
        *(Target(f"... times that of {key}", wanted, _ratio(figures, "gcm", key)) for key, wanted in OTHERS.items()),
        Target("... CPU seconds per gigabyte, both ends", 1.2, figures["gcm"].cpu if "gcm" in figures else None, True),
        Target(
            "1 TCP stream, AES-128-GCM in bare ESP, times the best of the others",
            2.0,
            None if best is None or "bare-esp" not in figures else figures["bare-esp"].gigabits / best,
        ),
        *(
            Target(f"{name}, of AES-128-GCM", wanted, _ratio(figures, key, "gcm"))
            for key, (name, wanted) in OF_GCM.items()
        ),
        Target("64-octet UDP packets without loss, times the best of the others", 2.0, _small(figures)),
        *_in_memory(memory),
    ]


def _ratio(figures: Mapping[str, Figures], ours: str, theirs: str) -> float | None:
    return figures[ours].gigabits / figures[theirs].gigabits if ours in figures and theirs in figures else None


def _small(figures: Mapping[str, Figures]) -> float | None:
    best = max((figures[key].packets for key in OTHERS if key in figures and figures[key].small), default=None)
    return figures["gcm"].packets / best if best and "gcm" in figures and figures["gcm"].small else None


def _in_memory(memory: measure.Memory | None) -> Iterator[Target]:
    for verb in ("seal", "open"):
        of = [row[verb]["relative"] for row in memory["results"] if row["octets"] == OCTETS] if memory else []
        yield Target(
            f"{verb} in memory, {OCTETS} octets, of the bare cipher (worst suite)", 0.85, min(of, default=None)
        )


def table(found: list[Target]) -> Table:
    """What is aimed at beside what is."""
    made = Table(title="targets")
    for heading in ("figure", "target", "measured", ""):
        made.add_column(heading, justify="left" if heading == "figure" else "right")
    for each in found:
        state = {None: "not measured", True: "[green]met[/]", False: "[red]missed[/]"}[each.is_met]
        measured = "" if each.found is None else f"{each.found:.2f}"
        made.add_row(each.name, f"{'at most' if each.is_limit else 'at least'} {each.wanted:g}", measured, state)
    return made
