"""The connections of an endpoint: the PAD as it is asked (RFC 4301 section 4.4.3), by name and by the peer's address."""

from __future__ import annotations

from caponier.errors import MisuseError
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import ChildPolicy, Connection, IpAddress


class Connections:
    """All connections that may come up."""

    __slots__ = ("_anywhere", "_by_address", "_by_name")

    def __init__(self) -> None:
        self._by_name: dict[str, Connection] = {}
        self._by_address: dict[IpAddress, dict[str, Connection]] = {}  # of those that name where the peer is
        self._anywhere: dict[str, Connection] = {}  # the others

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def add(self, connection: Connection) -> None:
        """One more.

        Raises:
            MisuseError: its name is taken, or it has no children.
        """
        if connection.name in self._by_name:
            raise MisuseError(f"there is a connection named {connection.name} already")
        if not connection.children:
            raise MisuseError(f"connection {connection.name} has no children")
        self._by_name[connection.name] = connection
        for address in connection.remote.addresses:
            self._by_address.setdefault(address, {})[connection.name] = connection
        if not connection.remote.addresses:
            self._anywhere[connection.name] = connection

    def remove(self, name: str) -> None:
        """Forget one; does nothing where there is none."""
        connection = self._by_name.pop(name, None)
        self._anywhere.pop(name, None)
        for address in () if connection is None else connection.remote.addresses:
            there = self._by_address.get(address, {})
            there.pop(name, None)
            if not there:
                self._by_address.pop(address, None)

    def named(self, name: str) -> Connection:
        """The connection of that name.

        Raises:
            MisuseError: there is none.
        """
        found = self._by_name.get(name)
        if found is None:
            raise MisuseError(f"there is no connection named {name}")
        return found

    def policy(self, connection: str, child: str) -> ChildPolicy:
        """A child of a connection.

        Raises:
            MisuseError: there is no such connection or child.
        """
        for policy in self.named(connection).children:
            if policy.name == child:
                return policy
        raise MisuseError(f"connection {connection} has no child named {child}")

    def at(self, path: Path) -> tuple[Connection, ...]:
        """Those that a peer on this path may be of, while its identity is not known yet.

        Those that name its address come first, those for anywhere after them.
        """
        found = (*self._by_address.get(path.remote, {}).values(), *self._anywhere.values())
        return tuple(each for each in found if not each.local.addresses or path.local in each.local.addresses)
