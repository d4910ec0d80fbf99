"""The IKE SAs of an endpoint, found by SPI (RFC 7296 section 2.6), by connection and by peer, without a look at any other one.

A gateway has ten thousand of them as well as ten: nothing here walks over those that are not asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, TypeVar

from caponier.mechanisms.authentication.identity import sameness

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

_Found = dict[bytes, "IkeSa"]  # by our SPI, in the order in which they came
K = TypeVar("K", bound=Hashable)


class IkeSas:
    """All IKE SAs of an endpoint: those that live, and closed ones that linger for a peer's retransmission."""

    __slots__ = ("_by_connection", "_by_peer", "_by_spi", "_lingering")

    def __init__(self) -> None:
        self._by_spi: _Found = {}
        self._lingering: set[bytes] = set()
        self._by_connection: dict[str, _Found] = {}  # those that live
        self._by_peer: dict[Hashable, _Found] = {}  # the same, once the peer is known

    def __len__(self) -> int:
        return len(self._by_spi)

    def __contains__(self, spi: bytes) -> bool:
        return spi in self._by_spi

    @property
    def living(self) -> int:
        """How many are not closed."""
        return len(self._by_spi) - len(self._lingering)

    def find(self, spi: bytes) -> IkeSa | None:
        """The one with this SPI of ours, closed or not."""
        return self._by_spi.get(spi)

    def values(self) -> tuple[IkeSa, ...]:
        """All of them, closed ones too, the oldest first."""
        return tuple(self._by_spi.values())

    def of(self, connection: str) -> tuple[IkeSa, ...]:
        """Those of a connection that live, the oldest first."""
        return tuple(self._by_connection.get(connection, {}).values())

    def first_of(self, connection: str) -> Iterator[IkeSa]:
        """The same one by one, for who wants only the first that fits; none may come or go meanwhile."""
        return iter(self._by_connection.get(connection, {}).values())

    def with_same_peer(self, sa: IkeSa) -> list[IkeSa]:
        """The others of the same connection whose peer has proved to be the same (RFC 7296 section 2.4)."""
        found = self._by_peer.get(_peer(sa), {})
        return [other for other in found.values() if other is not sa]

    # -- come and go

    def enter(self, sa: IkeSa) -> None:
        """One more, from its first message on."""
        self._by_spi[sa.local_spi] = sa
        self.learn(sa)

    def learn(self, sa: IkeSa) -> None:
        """Its connection, or its peer, is known now."""
        if sa.connection is None or sa.local_spi not in self._by_spi:
            return
        self._by_connection.setdefault(sa.connection.name, {})[sa.local_spi] = sa
        if sa.peer is not None:
            self._by_peer.setdefault(_peer(sa), {})[sa.local_spi] = sa

    def close(self, sa: IkeSa) -> None:
        """It is closed; its SPI finds it a little longer."""
        if sa.local_spi in self._by_spi:
            self._lingering.add(sa.local_spi)
        if sa.connection is not None:
            _take_out(self._by_connection, sa.connection.name, sa)
            _take_out(self._by_peer, _peer(sa), sa)

    def forget(self, sa: IkeSa) -> None:
        """It does not linger any longer."""
        self._by_spi.pop(sa.local_spi, None)
        self._lingering.discard(sa.local_spi)


def _peer(sa: IkeSa) -> Hashable:
    connection, peer = sa.connection, sa.peer
    return None if connection is None or peer is None else (connection.name, sameness(peer.identity))


def _take_out(index: dict[K, _Found], key: K, sa: IkeSa) -> None:
    """An entry that is empty goes with its last one: strangers' names must not stay."""
    found = index.get(key, {})
    found.pop(sa.local_spi, None)
    if not found:
        index.pop(key, None)
