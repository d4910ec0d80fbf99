"""What the interoperability tests stand on: privilege, peers, a topology of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from caponier.demo.namespaces import Namespace
from caponier.demo.topology import Topology, topology
from tests.interop import charon
from tests.requirements import require

PREFIX = "caponier-interop-"


@pytest.fixture
def strongswan() -> None:
    """Require strongSwan."""
    require(charon.absence())


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[Topology]:
    """Alice, gw1, gw2 and bob; gone at the end."""
    require(None if os.geteuid() == 0 else "network namespaces need root")
    for name in ("alice", "gw1", "gw2", "bob"):
        Namespace(PREFIX + name).remove()  # of a run that was killed
    with topology(PREFIX) as made:
        yield made


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory of a short name, for the sake of UNIX sockets."""
    short = Path(f"/tmp/caponier-{os.getpid()}-{tmp_path.name[-12:]}")
    short.mkdir(mode=0o755)
    yield short
    shutil.rmtree(short)
