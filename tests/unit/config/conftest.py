"""A directory to configure in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.site import furnish


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the configuration is to be written; its secrets and certificates are there."""
    return furnish(tmp_path)
