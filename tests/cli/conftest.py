"""The command line is tested on the same gateways as the daemon."""

from tests.daemon.conftest import gateways, pair, world

__all__ = ["gateways", "pair", "world"]
