"""Namespaces of one run of the tests, named after its process, so that runs beside each other do not meet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caponier.demo.namespaces import DIRECTORY, Namespace
from caponier.demo.topology import Topology, topology
from tests.requirements import require


def own(prefix: str) -> str:
    """A prefix of names that no other run uses. What runs left behind that were killed is removed."""
    require(None if os.geteuid() == 0 else "network namespaces need root")
    for path in DIRECTORY.glob(f"{prefix}*-*"):
        owner = path.name.removeprefix(prefix).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            Namespace(path.name).remove()
    return f"{prefix}{os.getpid()}-"


@contextmanager
def own_topology(prefix: str) -> Iterator[Topology]:
    """Alice, gw1, gw2 and bob, for this run alone; gone at the end."""
    with topology(own(prefix)) as made:
        yield made
