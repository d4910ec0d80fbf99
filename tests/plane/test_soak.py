"""``make soak`` in short, and what it would not let pass."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from soak import __main__ as soak
from soak.planes import KINDS, Row
from soak.traffic import Carried
from soak.weather import sa_of
from tests.requirements import require
from tests.unit.protocols.samples import ESP, UDP, ethernet, ipv4, ipv6, udp

GOOD = Row("an SA", is_rough=False, sealed=(100, 9000), opened=(100, 9000))
ROUGH = Row("an SA", True, (100, 9000), (94, 8500), {"replayed": 3}, lost=5, doubled=2)
WHOLE = Carried(connections=3, broken=[], octets=9, datagrams=[1, 1], echoes=[1, 1])


@pytest.mark.privileged
def test_a_short_soak(capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of SA, over a good link and over a rough one, each replaced under traffic without one lost packet."""
    require(None if os.geteuid() == 0 else "network namespaces need root")
    require(None if Path("/dev/net/tun").exists() else "there is no /dev/net/tun")
    result = soak.main(["--minutes", "0.12", "--every", "0.4"])
    told = capsys.readouterr().out
    assert result == 0, told
    assert "both sides agree on every one" in told
    for kind in KINDS:
        assert told.count(f"{kind.name}, left to right") >= 2, kind.name
    assert "good link" in told
    assert "lost on the way" in told


def test_agreement() -> None:
    assert GOOD.fault is None
    assert ROUGH.fault is None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (replace(GOOD, opened=(99, 8910)), "1 packets are missing"),
        (replace(GOOD, opened=(101, 9090)), "1 packets too many"),
        (replace(GOOD, opened=(100, 8999)), "9000 octets were sealed, 8999 opened"),
        (replace(GOOD, opened=(99, 8910), dropped={"replayed": 1}), "dropped without reason: replayed"),
        (replace(ROUGH, dropped={"replayed": 2, "bad-icv": 1}), "dropped without reason: bad-icv"),
        (replace(ROUGH, doubled=3), "1 packets are missing"),
        (replace(ROUGH, lost=6), "1 packets too many"),
    ],
)
def test_faults(row: Row, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert row.fault == told
    assert soak._verdict([GOOD, row], WHOLE, Console(width=200)) == 1
    shown = capsys.readouterr().out
    assert "the two sides do not agree" in shown
    assert told in shown
    assert shown.count("an SA") == 1


def test_broken_connections_and_silence_are_faults() -> None:
    console = Console(width=200)
    assert soak._verdict([GOOD, ROUGH], WHOLE, console) == 0
    assert soak._verdict([GOOD], replace(WHOLE, broken=["TCP to bob: timed out"]), console) == 1
    assert soak._verdict([GOOD], replace(WHOLE, connections=0), console) == 1
    assert soak._verdict([replace(GOOD, sealed=(0, 0), opened=(0, 0))], WHOLE, console) == 1


def test_generations_take_turns() -> None:
    line = soak.generations()
    found = [next(line) for _ in range(4 * len(KINDS))]
    assert len({each.spi(direction) for each in found for direction in (1, 2)}) == 8 * len(KINDS)
    assert {(each.kind.name, each.is_rough) for each in found} == {
        (kind.name, is_rough) for kind in KINDS for is_rough in (False, True)
    }


def test_frames_are_of_the_sa_that_their_spi_says() -> None:
    """RFC 4303 section 2, RFC 4302 section 2, RFC 3948 section 2."""
    spi = bytes.fromhex("00012345")
    assert sa_of(ethernet(ipv4(ESP, spi + bytes(20)))) == ("esp", 0x12345)
    assert sa_of(ethernet(ipv6(51, bytes(4) + spi + bytes(20)))) == ("ah", 0x12345)
    assert sa_of(ethernet(ipv4(UDP, udp(spi + bytes(20))))) == ("esp", 0x12345)
    assert sa_of(ethernet(ipv4(UDP, udp(bytes(24))))) is None
    assert sa_of(ethernet(ipv4(6, bytes(24)))) is None
    assert sa_of(bytes(14)) is None
