"""What the tests of the daemon stand on: privilege, and a topology for each module."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from caponier.demo.topology import Topology
from tests.daemon.site import Pair, paired
from tests.namespaces import own_topology


@pytest.fixture(scope="module")
def world() -> Iterator[Topology]:
    """Alice, gw1, gw2 and bob, for all tests of a module; gone at the end."""
    with own_topology("caponier-daemon-") as made:
        yield made


@pytest.fixture(scope="module")
def gateways(world: Topology) -> Iterator[Pair]:
    """Two gateways for all tests of a module, in a directory of a short name, for the sake of UNIX sockets."""
    directory = Path(f"/tmp/caponier-daemon-{os.getpid()}")
    directory.mkdir(mode=0o755)
    with paired(world, directory) as made:
        yield made
    shutil.rmtree(directory)


@pytest.fixture
def pair(gateways: Pair) -> Iterator[Pair]:
    """Two gateways without a connection; their daemons may run already."""
    gateways.begin()
    yield gateways
    gateways.rest()
