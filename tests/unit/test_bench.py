"""What ``make bench`` makes of its figures: ratios beside their targets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.contenders import Caponier, contenders
from bench.measure import Memory, Rate, Stream
from bench.targets import OF_GCM, OTHERS, RAW, Figures, table, targets

ROOT = Path(__file__).parents[2]


def figures(gigabits: float, cpu: float = 1.0, packets: float = 1000) -> Figures:
    """Three runs, of which the middle one is meant."""
    runs = [Stream(gigabits * each, cpu * each) for each in (0.5, 1, 9)]
    return Figures(runs, runs, [Rate(packets * each, 0, 1) for each in (9, 1, 0.5)], [100.0])


def memory(relative: float) -> Memory:
    figure = {"esp": 100.0, "cipher": 100.0 * relative, "relative": relative}
    rows = [{"suite": "one", "octets": octets, "seal": figure, "open": figure} for octets in (64, 1400)]
    rows[0] = {**rows[0], "seal": {**figure, "relative": 0.1}}  # other sizes are shown, and do not count
    found: Memory = json.loads(json.dumps({"unit": "ns per packet", "runs": 1, "results": rows}))
    return found


GOOD = {
    "raw": figures(10, 0, 9000),
    "gcm": figures(6, 1.1, 5000),
    "chacha": figures(3.5),
    "cbc": figures(2.5),
    "bare-esp": figures(1.1),
    "strongswan": figures(0.5, 20, 2000),
    "openvpn": figures(0.5, 20, 2400),
    "wireguard-go": figures(0.4, 20, 2200),
}


def test_ratios_are_those_of_medians() -> None:
    found = targets(GOOD, memory(0.9))
    assert all(each.is_met for each in found)
    assert [each.found and round(each.found, 2) for each in found] == [
        0.6, 12.0, 12.0, 15.0, 1.1, 2.2, 0.58, 0.42, 2.08, 0.9, 0.9,
    ]  # fmt: skip
    assert [each.wanted for each in found] == [0.4, 12, 10, 10, 1.2, 2, 0.5, 0.4, 2, 0.85, 0.85]


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"gcm": figures(3.9, 1.1, 5000)}, ["of the bare link", "times that of strongswan", "times that of openvpn", "wireguard"]),
        ({"gcm": figures(6, 1.3, 5000)}, ["CPU seconds per gigabyte"]),
        ({"gcm": figures(6, 1.1, 4000)}, ["64-octet UDP"]),
        ({"bare-esp": figures(0.9)}, ["bare ESP"]),
        ({"chacha": figures(2.9), "cbc": figures(2.3)}, ["ChaCha20-Poly1305", "AES-CBC-128"]),
    ],
)  # fmt: skip
def test_what_is_not_reached_is_told(changes: dict[str, Figures], missed: list[str]) -> None:
    found = [each for each in targets({**GOOD, **changes}, memory(0.9)) if not each.is_met]
    assert len(found) == len(missed)
    for each, words in zip(found, missed, strict=True):
        assert words in each.name


def test_memory_counts_by_its_worst_suite() -> None:
    assert [each.found for each in targets(GOOD, memory(0.8)) if not each.is_met] == [0.8, 0.8]


def test_what_was_left_out_is_not_measured() -> None:
    alone = {key: GOOD[key] for key in ("raw", "gcm")}
    found = targets(alone, None)
    assert [each.name for each in found if each.is_met is not None] == [
        "1 TCP stream, AES-128-GCM in UDP, of the bare link",
        "... CPU seconds per gigabyte, both ends",
    ]
    console = Console(width=160, record=True)
    console.print(table(found))
    shown = console.export_text()
    assert shown.count("not measured") == len(found) - 2
    assert "at most 1.2" in shown
    assert "at least 12" in shown
    assert all(each.found is None for each in targets({"raw": GOOD["raw"]}, None))


def test_every_contender_has_a_key_of_its_own() -> None:
    keys = [each.key for each in contenders()]
    assert len(set(keys)) == len(keys)
    assert {RAW, "gcm", "bare-esp", *OTHERS, *OF_GCM} <= set(keys)
    assert {each.protocol for each in contenders() if isinstance(each, Caponier)} == {"esp", "ah"}


def test_what_speed_writes_is_what_is_read() -> None:
    """The kept figures are of the same form as what the example writes now."""
    kept: Memory = json.loads((ROOT / "docs" / "performance" / "tunnels.json").read_text())["memory"]
    assert {1400} <= {row["octets"] for row in kept["results"]}
    found = targets({}, kept)
    assert [each.found is not None for each in found[-2:]] == [True, True]
    source = (ROOT / "rust" / "packet" / "examples" / "speed.rs").read_text()
    for word in ("suite", "octets", "seal", "open", "esp", "cipher", "relative"):
        assert f'"{word}"' in source
