"""``caponier`` with little patience: it gives up on a silent peer after about a second instead of a minute.

Everything else is the same program: the tests of retries and of liveness would take minutes otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

from caponier.cli.main import main
from caponier.protocols.ike.policy import Retransmission, Settings

PATIENCE = Retransmission(first=0.2, factor=1.2, attempts=4)

_load = import_module("caponier.daemon.config.load")
_compose = _load.compose_settings


def _impatient(*arguments: Any) -> Settings:
    settings: Settings = _compose(*arguments)
    return replace(settings, retransmission=PATIENCE)


if __name__ == "__main__":
    _load.compose_settings = _impatient  # type: ignore[attr-defined]
    main()
