"""Who inherits the Child SAs of an IKE SA that is rekeyed (RFC 7296 sections 2.8.2 and 2.25.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.timers import SUCCEEDED_SECONDS, Timer

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


@dataclass(frozen=True, slots=True)
class Heir:
    """A successor, with what decides between two of them.

    Attributes:
        sa: the new IKE SA.
        lowest_nonce: the lower one of the two nonces of the exchange that made it.
    """

    sa: IkeSa
    lowest_nonce: bytes


class Succession:
    """The successors of one IKE SA.

    Args:
        old: the IKE SA that is replaced.
    """

    __slots__ = ("_old", "is_following_up", "pending", "theirs")

    def __init__(self, old: IkeSa) -> None:
        self._old = old
        self.theirs: Heir | None = None  #: made by the peer's exchange
        self.pending: bytes | None = (
            None  #: lowest nonce of an exchange of the peer that waits for further key exchanges
        )
        self.is_following_up = False  #: whether ours is at its further key exchanges (RFC 9370 section 2.2.4)

    @property
    def rival(self) -> bytes | None:
        """The lowest nonce of the peer's exchange."""
        return self.pending if self.theirs is None else self.theirs.lowest_nonce

    def offered(self, theirs: Heir) -> None:
        """The peer's exchange made a successor. While ours is under way it is not known yet which one lives."""
        self.theirs, self.pending = theirs, None
        if self._old.phase is not Phase.REKEYING:
            self.settle_for_theirs()

    def conclude(self, ours: Heir) -> None:
        """Our exchange made a successor: "The new IKE SA containing the lowest nonce SHOULD be deleted by the node that
        created it, and the other surviving new IKE SA MUST inherit all the Child SAs" (section 2.8.2)."""
        if self._old.phase is not Phase.REKEYING:
            self._give_up(ours, "it was brought down while it was being rekeyed")
            return
        if self.rival is not None and ours.lowest_nonce < self.rival:
            self._give_up(ours, "both sides rekeyed at once; the peer's IKE SA stays")
            self._old.phase = Phase.ESTABLISHED  # until the peer's is complete
            self.settle_for_theirs()
            return
        if self.theirs is not None:
            self._leave_to_peer(self.theirs.sa)
        self._pass_on(ours)
        self._old.request_close("rekeyed")

    def chosen(self, heir: IkeSa) -> None:
        """The peer uses a successor as if it had inherited already: so it has, on that side."""
        if self.theirs is not None and self.theirs.sa is heir:
            self.settle_for_theirs()

    def settle_for_theirs(self) -> None:
        """The peer's successor inherits, if there is one; the peer deletes the old one."""
        if self.theirs is None:
            return
        if self.theirs.sa.phase is Phase.CLOSED:
            self._old.phase = (
                Phase.REKEYED
            )  # it inherited on the peer's side alone, and is deleted: nothing is left to inherit
        else:
            self._pass_on(self.theirs)
        self._leave_to_peer(self._old)

    def _leave_to_peer(self, sa: IkeSa) -> None:
        """The peer is to delete it. It may have forgotten it, with its own request, when our Delete overtook our answer: then
        nobody else does."""
        sa.timers.set(Timer.SUCCEEDED, self._old.now + SUCCEEDED_SECONDS)
        sa.host.touched(sa)

    def _give_up(self, ours: Heir, reason: str) -> None:
        ours.sa.now = self._old.now
        ours.sa.request_close(reason)
        ours.sa.host.touched(ours.sa)

    def _pass_on(self, heir: Heir) -> None:
        self._old.phase = Phase.REKEYED
        heir.sa.inherit(self._old)
