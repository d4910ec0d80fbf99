"""What ``make bench-ike`` measures and shows: a small run of it, and its targets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.ike import crowd, handshakes, targets
from bench.ike.__main__ import main
from bench.ike.parties import KINDS, Kind


@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda kind: kind.key)
def test_a_round_of_each_kind(kind: Kind) -> None:
    bench = handshakes.Bench(kind)
    bench.round(2)
    bench.sample(20)
    assert len(bench.figures.milliseconds) == 1
    assert bench.figures.milliseconds[0] > 0
    assert sum(bench.figures.shares.values()) == pytest.approx(1) or not bench.figures.shares


def test_targets_are_limits_of_medians() -> None:
    shakes = {"psk": handshakes.Figures([0.1, 0.6, 9.0]), "rsa": handshakes.Figures([1.2])}
    found = targets.targets(shakes, {"psk": crowd.Figures(10_000, 14.0)})
    assert [each.is_met for each in found] == [True, None, False, None, False]
    console = Console(width=200, record=True)
    console.print(targets.table(found))
    shown = console.export_text()
    assert "0.65 to 0.71" in shown
    assert shown.count("missed") == 2


def test_a_whole_run_leaves_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "found.json"
    options = ["--rounds", "1", "--handshakes", "1", "--peers", "120", "--only", "psk", "--json", str(file)]
    monkeypatch.setattr("sys.argv", ["bench-ike", *options])
    assert main() == 0
    found = json.loads(file.read_text())
    assert found["machine"]["cores"]
    assert found["many"]["psk"]["peers"] == 120
    assert set(found["many"]["psk"]["handshake"]) == {"100", "120"}
