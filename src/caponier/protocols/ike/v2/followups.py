"""CREATE_CHILD_SA exchanges of the peer that wait for further key exchanges (RFC 9370 section 2.2.4).

What we answered to CREATE_CHILD_SA lies here until the last IKE_FOLLOWUP_KE brings its key exchange, or too much time goes
by. The link, which only we understand, says which it is; each round has a new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from caponier.doi.ikev2 import KeyExchangeId
from caponier.errors import StateNotFound, TemporaryFailure
from caponier.octets import Secret
from caponier.protocols.ike.v2.host import Answer
from caponier.protocols.ike.v2.steps import Step
from caponier.protocols.ike.v2.timers import FOLLOWUP_SECONDS, Timer

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

MAX_PENDING = 4  #: on one IKE SA; ours, not the RFC's
_LINK_OCTETS = 16


@dataclass(slots=True)
class Followup:
    """One CREATE_CHILD_SA of the peer that is not complete.

    Attributes:
        remaining: key exchanges that are still to be done, in order.
        finish: makes the SA, with the secrets of all of them.
        abandon: gives back what it holds.
        rekeys_ike: whether it is to replace the IKE SA.
        further: the secrets so far, one behind the other.
        ends_at: when it is given up.
    """

    remaining: deque[KeyExchangeId]
    finish: Callable[[Secret], Step[Answer]]
    abandon: Callable[[], None]
    rekeys_ike: bool = False
    further: Secret = field(default_factory=lambda: Secret(b""))
    ends_at: float = 0.0

    def close(self) -> None:
        self.further.wipe()
        self.abandon()


class Followups:
    """Those of one IKE SA."""

    __slots__ = ("_by_link", "_sa")

    def __init__(self, sa: IkeSa) -> None:
        self._sa = sa
        self._by_link: dict[bytes, Followup] = {}

    def __len__(self) -> int:
        return len(self._by_link)

    def require_room(self) -> None:
        """Require that one more fits.

        Raises:
            TemporaryFailure: there are too many that the peer does not go on with.
        """
        if len(self._by_link) >= MAX_PENDING:
            raise TemporaryFailure(f"{MAX_PENDING} exchanges of the peer wait for further key exchanges already")

    def keep(self, followup: Followup) -> bytes:
        """Wait for the next round; returns the link to it."""
        link = self._sa.host.rng(_LINK_OCTETS)
        followup.ends_at = self._sa.now + FOLLOWUP_SECONDS
        self._by_link[link] = followup
        self._set_timer()
        return link

    def take(self, link: bytes | None) -> Followup:
        """The one that a link of the peer leads to.

        Raises:
            StateNotFound: there is none: it took too long, or there never was one.
        """
        found = None if link is None else self._by_link.pop(link, None)
        if found is None:
            raise StateNotFound("IKE_FOLLOWUP_KE for an exchange that we do not know, or no longer")
        return found

    def handle_timeout(self) -> None:
        """Give up those that the peer did not go on with."""
        self._close(link for link, each in self._by_link.items() if each.ends_at <= self._sa.now)
        self._set_timer()

    def close(self) -> None:
        """Give up all of them."""
        self._close(self._by_link)

    def _close(self, links: Iterable[bytes]) -> None:
        for link in tuple(links):
            self._by_link.pop(link).close()

    def _set_timer(self) -> None:
        if self._by_link:
            self._sa.timers.set(Timer.FOLLOWUP, min(each.ends_at for each in self._by_link.values()))
