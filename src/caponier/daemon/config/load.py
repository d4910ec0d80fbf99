"""Reading a configuration file: all of it, or a list of everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from caponier.daemon.config.attempts import Complaints
from caponier.daemon.config.compose import compose_connection, compose_settings
from caponier.daemon.config.compose_addresses import compose_pools
from caponier.daemon.config.compose_policies import compose_policies
from caponier.daemon.config.findings import Finding, InvalidConfiguration, Place
from caponier.daemon.config.locate import KeyPath
from caponier.daemon.config.schema import DaemonTable, File
from caponier.daemon.config.tables import Document, read_document
from caponier.errors import ConfigError
from caponier.mechanisms.negotiation.leases import Pool
from caponier.mechanisms.negotiation.spd import SpdEntry
from caponier.protocols.ike.policy import Connection, Settings

MAX_FILE = 16 << 20  #: octets; twenty thousand connections fit


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that holds.

    Attributes:
        file: where it was read from.
        daemon: what holds for all connections.
        settings: the same as the core takes it.
        policies: asked before all connections, in their order.
        pools: of internal addresses for peers.
        connections: by name.
        document: the file, for the places of its keys.
    """

    file: Path
    daemon: DaemonTable
    settings: Settings
    policies: tuple[SpdEntry, ...]
    pools: tuple[Pool, ...]
    connections: Mapping[str, Connection]
    document: Document[File]

    def place(self, connection: str | None, setting: str | None) -> Place | None:
        """Where a setting stands, or the nearest table around it; None when the error is about no connection.

        Args:
            connection: its name.
            setting: relative to the connection, as errors of the core tell it: ``child.lan.remote``.
        """
        if connection is None or connection not in self.connections:
            return None
        names = [child.name for child in self.connections[connection].children]
        key: KeyPath = ("connection", connection, *_parts(setting or "", names))
        return self.document.place(key)


def load(path: Path) -> Configuration:
    """Read and check a configuration file.

    Raises:
        InvalidConfiguration: it is refused whole; with every finding.
    """
    document = read_document(path, _read(path), File)
    file, complaints = document.root, Complaints()
    settings = compose_settings(file.daemon, complaints)
    policies = compose_policies(file.policy, complaints)
    _check_interfaces(file, complaints)
    pools = compose_pools(file.pool, complaints)
    composed = {
        name: compose_connection(name, table, path.parent, pools, complaints) for name, table in file.connection.items()
    }
    if complaints.found:
        raise InvalidConfiguration([document.finding(key, error) for key, error in complaints.found])
    connections = {name: connection for name, connection in composed.items() if connection is not None}
    return Configuration(path, file.daemon, settings, policies, tuple(pools.values()), connections, document)


def _check_interfaces(file: File, complaints: Complaints) -> None:
    """Each interface is of one connection, or of all that name none: else nobody could say whose a packet is."""
    owners = {file.daemon.interface: "the daemon (daemon.interface)"}
    for name, table in file.connection.items():
        if table.interface is None:
            continue
        owner = owners.setdefault(table.interface, f"connection {name}")
        if owner != f"connection {name}":
            why = f"{table.interface} is of {owner} already"
            complaints.add(("connection", name, "interface"), ConfigError(why, hint="choose another name"))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE + 1)
    except OSError as error:
        why = error.strerror or str(error)
        raise InvalidConfiguration([Finding(Place(path), "", f"cannot be read: {why}", "check the path")]) from None
    if len(octets) > MAX_FILE:
        raise InvalidConfiguration([Finding(Place(path), "", f"longer than {MAX_FILE} octets")])
    return octets


def _parts(setting: str, children: Iterable[str]) -> KeyPath:
    """A setting's parts; a child's name may hold dots itself."""
    for name in sorted(children, key=len, reverse=True):
        table = f"child.{name}"
        if setting == table or setting.startswith(f"{table}."):
            return ("child", name, *setting[len(table) :].split(".")[1:])
    return tuple(setting.split(".")) if setting else ()
