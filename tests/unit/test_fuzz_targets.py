"""The fuzz targets without a fuzzer: seeds, and mutations that come from a seed, so that no target rots unseen."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from fuzz.drive import names

MUTATIONS = 200


class Target(NamedTuple):
    """The two functions that every ``fuzz/fuzz_*.py`` has."""

    seeds: Callable[[], dict[str, bytes]]
    one: Callable[[bytes], None]


def target(name: str) -> Target:
    module = importlib.import_module(f"fuzz.fuzz_{name}")
    return Target(module.seeds, module.one)


def mutations(seeds: list[bytes], count: int) -> Iterator[bytes]:
    """What a fuzzer does first: change, cut, double, and cross what it has; the same in every run."""
    draw = random.Random(20_260_601)
    for _ in range(count):
        octets = bytearray(draw.choice(seeds))
        for _ in range(draw.randint(1, 4)):
            _mutate(octets, draw, seeds)
        yield bytes(octets)


def _mutate(octets: bytearray, draw: random.Random, seeds: list[bytes]) -> None:
    at = draw.randint(0, len(octets))
    end = min(len(octets), at + draw.choice((1, 1, 2, 4, 16)))
    match draw.randint(0, 5):
        case 0:
            octets[at:end] = draw.randbytes(end - at)
        case 1 if at < len(octets):
            octets[at] ^= 1 << draw.randint(0, 7)
        case 2:
            octets[at:end] = draw.choice((b"\x00", b"\xff", b"\x7f\xff", b"\x80", b"\x00\x00\x00\x00"))
        case 3:
            del octets[at:end]
        case 4:
            octets[at:at] = octets[at : at + 64]
        case _:
            other = draw.choice(seeds)
            octets[at:] = other[draw.randint(0, len(other)) :]


def test_there_are_targets() -> None:
    assert {"message", "sealed", "payloads", "certificates", "signature", "identity"} <= set(names())
    assert {"configuration", "spelling", "control", "stranger", "peer", "inbound", "session", "fragments"} <= set(
        names()
    )


@pytest.mark.parametrize("name", names())
def test_every_seed_passes(name: str) -> None:
    """A seed is an input that once was worth keeping; no one of them is found a second time."""
    seeds, one = target(name)
    assert len(seeds()) >= 3
    for octets in seeds().values():
        one(octets)


@pytest.mark.parametrize("name", names())
def test_mutated_seeds_pass(name: str) -> None:
    seeds, one = target(name)
    for octets in mutations(list(seeds().values()), MUTATIONS):
        one(octets)


@pytest.mark.parametrize("name", names())
def test_the_same_seeds_come_every_time(name: str) -> None:
    """A finding that starts from a seed can be reproduced from it."""
    assert target(name).seeds() == target(name).seeds()


def test_the_mutations_change_something() -> None:
    seeds = [bytes(range(50)), b"another"]
    mutated = list(mutations(seeds, MUTATIONS))
    assert mutated == list(mutations(seeds, MUTATIONS))
    assert len(set(mutated)) > MUTATIONS // 2
