"""What the tests of the live plane stand on: privilege, and a network of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from caponier.demo.topology import LEFT, RIGHT, Topology
from caponier.demo.traffic import ping
from tests.namespaces import own_topology
from tests.plane.tunnel import Tunnel, tunnel
from tests.requirements import require


@pytest.fixture(scope="module")
def world() -> Iterator[Topology]:
    """Alice, gw1, gw2 and bob, for one module; gone at its end."""
    require(None if Path("/dev/net/tun").exists() else "there is no /dev/net/tun")
    with own_topology("caponier-plane-") as made:
        _meet_neighbours(made)
        yield made


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
