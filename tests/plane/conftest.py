"""What the tests of the live plane stand on: privilege, and a network of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from caponier.demo.namespaces import DIRECTORY, Namespace
from caponier.demo.topology import LEFT, RIGHT, Topology, topology
from caponier.demo.traffic import ping
from tests.plane.tunnel import Tunnel, tunnel
from tests.requirements import require

PREFIX = "caponier-plane-"
HOSTS = ("alice", "gw1", "gw2", "bob")


@pytest.fixture(scope="module")
def world() -> Iterator[Topology]:
    """Alice, gw1, gw2 and bob, for one module; gone at its end."""
    require(None if os.geteuid() == 0 else "network namespaces need root")
    require(None if Path("/dev/net/tun").exists() else "there is no /dev/net/tun")
    _remove_leftovers()
    with topology(f"{PREFIX}{os.getpid()}-") as made:
        _meet_neighbours(made)
        yield made


def _remove_leftovers() -> None:
    """Remove namespaces of a run that was killed; those of one that is going on keep out of each other's way."""
    for path in DIRECTORY.glob(f"{PREFIX}*-*"):
        owner, _, host = path.name.removeprefix(PREFIX).partition("-")
        if host in HOSTS and owner.isdecimal() and not Path("/proc", owner).exists():
            Namespace(path.name).remove()


def _meet_neighbours(world: Topology) -> None:
    """Let every pair of neighbours find each other's link addresses, so that no test waits for a lost solicitation."""
    for source, addresses in (
        (world.alice, (LEFT.gateway_inner, LEFT.gateway_inner6)),
        (world.gw1, (RIGHT.outer, RIGHT.outer6)),
        (world.bob, (RIGHT.gateway_inner, RIGHT.gateway_inner6)),
    ):
        for address in addresses:
            assert ping(source, address, count=10).received, f"{source.name} does not reach {address}"


@pytest.fixture(scope="module")
def pair(world: Topology) -> Iterator[Tunnel]:
    """Two planes that run, without SAs."""
    with tunnel(world) as made:
        yield made
