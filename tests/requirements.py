"""What a test cannot do without."""

from __future__ import annotations

import os

import pytest


def require(reason: str | None) -> None:
    """Skip for a reason; under CI=true nothing may be missing."""
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"under CI=true this must not be missing: {reason}")
    pytest.skip(reason)
