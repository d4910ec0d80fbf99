"""The configuration file: read whole, refused whole, and every finding with its line."""

from caponier.daemon.config.findings import Finding, InvalidConfiguration, Place
from caponier.daemon.config.load import Configuration, load

__all__ = ["Configuration", "Finding", "InvalidConfiguration", "Place", "load"]
