"""Whether the peer lives (RFC 7296 section 2.4).

Theory of operation. Every authentic message of the peer is a sign of life, on the IKE SA or on any of its Child SAs. So a
busy tunnel is never asked: when the LIVENESS timer is due and no IKE message came, the data plane is asked how many packets
it has received, once, and only where there is none more than the last time the peer is asked. A peer whose last packet
came just after we had looked is asked one interval late; nothing has to be noted for a packet.

A complaint that comes without protection (INVALID_IKE_SPI) proves nothing, and whoever sees our messages can forge it: it
is a reason to ask now, and no reason to believe that the peer has gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier.doi.ikev2 import PayloadType
from caponier.protocols.ike.messages.header import Header
from caponier.protocols.ike.v2.host import Repertoire
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.timers import DOUBT_SECONDS, Timer

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa


class Pulse:
    """Signs of life on one IKE SA.

    Args:
        sa: the IKE SA.
        repertoire: has the exchange that asks the peer.
    """

    __slots__ = ("_asked_at", "_received", "_repertoire", "_sa")

    def __init__(self, sa: IkeSa, repertoire: Repertoire) -> None:
        self._sa = sa
        self._repertoire = repertoire
        self._received = 0  # packets on the Child SAs when we looked last
        self._asked_at: float | None = None  # the last time that a complaint made us ask

    @property
    def _interval(self) -> float | None:
        """Seconds of silence after which the peer is asked."""
        return None if self._sa.connection is None else self._sa.connection.liveness

    def begin(self) -> None:
        """The IKE SA is established."""
        if self._interval is not None:
            self._sa.timers.set(Timer.LIVENESS, self._sa.now + self._interval)

    def check(self) -> None:
        """The timer is due: has the peer been silent for an interval?"""
        sa, interval = self._sa, self._interval
        if interval is None or sa.phase is not Phase.ESTABLISHED:
            return
        quiet_until = sa.last_heard + interval
        if quiet_until > sa.now:
            sa.timers.set(Timer.LIVENESS, quiet_until)
            return
        sa.timers.set(Timer.LIVENESS, sa.now + interval)
        if sa.requests.is_idle:  # else a request is out already, and its answer is a sign of life too
            sa.requests.enqueue(self._repertoire.liveness(sa))

    def counted(self, received: int) -> bool:
        """Whether packets came since we looked last.

        Args:
            received: by all Child SAs that there are; less than the last time where some have gone.
        """
        lives = received > self._received
        self._received = received
        if lives:
            self._sa.last_heard = self._sa.now
        return lives

    # -- complaints

    def is_complaint(self, header: Header) -> bool:
        """Whether a message may be one of a peer that does not know the IKE SA (section 2.21.4): it answers in clear."""
        is_clear = header.is_response and header.next_payload == PayloadType.N
        return is_clear and self._sa.phase is Phase.ESTABLISHED

    def doubt(self) -> None:
        """Somebody says that the peer has forgotten the IKE SA: ask it now, and not because of each such message."""
        sa = self._sa
        if self._interval is None or (self._asked_at is not None and sa.now < self._asked_at + DOUBT_SECONDS):
            return
        self._asked_at = sa.now
        if sa.requests.is_idle:
            sa.requests.enqueue(self._repertoire.probe(sa))
