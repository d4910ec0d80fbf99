"""What IKE is to cost at most, beside what was measured and what another one costs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from bench.ike import crowd, handshakes

#: CPU milliseconds of the responder: ours at most, and strongSwan 6 as measured on a machine of this kind.
MILLISECONDS = {"psk": (0.65, "0.65 to 0.71"), "ecdsa": (0.9, "2.5"), "rsa": (1.1, "1.9"), "pq": (0.9, "3.6")}
KIBIBYTES = (13.0, "13 to 25")


@dataclass(frozen=True)
class Target:
    """One aim.

    Attributes:
        name: what it is about.
        wanted: the most that it may be.
        found: what it is; None where it was not measured.
        other: what strongSwan 6 needs.
    """

    name: str
    wanted: float
    found: float | None
    other: str

    @property
    def is_met(self) -> bool | None:
        return None if self.found is None else self.found <= self.wanted


def targets(shakes: Mapping[str, handshakes.Figures], many: Mapping[str, crowd.Figures]) -> list[Target]:
    """Every aim, by the keys of the kinds that were measured."""
    found = []
    for key, (most, other) in MILLISECONDS.items():
        rounds = shakes[key].milliseconds if key in shakes else []
        found.append(
            Target(f"handshake, {key}: CPU ms, responder", most, statistics.median(rounds) if rounds else None, other)
        )
    for key, figures in many.items():
        found.append(
            Target(
                f"IKE SA with a Child SA, {key}: KiB at {figures.peers}", KIBIBYTES[0], figures.kibibytes, KIBIBYTES[1]
            )
        )
    return found


def table(found: list[Target]) -> Table:
    """What is aimed at beside what is."""
    made = Table(title="targets")
    for heading in ("figure", "at most", "measured", "strongSwan 6", ""):
        made.add_column(heading, justify="left" if heading == "figure" else "right")
    for each in found:
        state = {None: "not built or not measured", True: "[green]met[/]", False: "[red]missed[/]"}[each.is_met]
        measured = "" if each.found is None else f"{each.found:.2f}"
        made.add_row(each.name, f"{each.wanted:g}", measured, each.other, state)
    return made
