"""What the interoperability tests stand on: privilege, peers, a topology of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from caponier.demo.topology import Topology
from tests.interop import charon
from tests.namespaces import own_topology
from tests.requirements import require


@pytest.fixture
def strongswan() -> None:
    """Require strongSwan."""
    require(charon.absence())


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[Topology]:
    """Alice, gw1, gw2 and bob; gone at the end."""
    with own_topology("caponier-interop-") as made:
        yield made


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory of a short name, for the sake of UNIX sockets."""
    short = Path(f"/tmp/caponier-{os.getpid()}-{tmp_path.name[-12:]}")
    short.mkdir(mode=0o755)
    yield short
    shutil.rmtree(short)
