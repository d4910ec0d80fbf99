"""When an IKE SA has to be authenticated anew, and by whom (RFC 7296 section 2.8.3, RFC 4478).

Theory of operation. "Reauthentication is done by creating a new IKE SA from scratch ..., creating new Child SAs within the
new IKE SA ..., and finally deleting the old IKE SA" (section 2.8.3): in this order, so that no packet is without a Child SA.
Who initiated the initial exchanges does it, whatever the roles are since a rekeying. Its time comes by what is configured, or
by the AUTH_LIFETIME of the peer, whichever is earlier; who sent that deletes the IKE SA when it is over. Rekeying neither
prolongs nor shortens it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caponier.doi.ikev2 import NotifyType
from caponier.errors import AuthenticationFailed, CaponierError, PeerRejected, WireError
from caponier.protocols.ike.events import Role
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.policy import Connection
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.timers import REAUTH_RETRY_SECONDS, Timer

if TYPE_CHECKING:
    from caponier.protocols.ike.v2.ike_sa import IkeSa

_OCTETS = 4  #: of an AUTH_LIFETIME


class Reauthentication:
    """The authentication of one IKE SA, and its end.

    Args:
        sa: the IKE SA.
    """

    __slots__ = ("_at", "_is_ours", "_sa", "is_running")

    def __init__(self, sa: IkeSa) -> None:
        self._sa = sa
        self._is_ours = False  # whether we are who authenticates anew
        self._at: float | None = None
        self.is_running = False  #: whether another IKE SA is being made in place of this one

    def begin(self) -> None:
        """Both sides are proven."""
        sa = self._sa
        self._is_ours = sa.role is Role.INITIATOR
        lifetime = None if sa.connection is None else sa.connection.reauth
        if lifetime is not None:
            early = sa.jitter() / 10 if self._is_ours else 0.0
            self._set(sa.now + lifetime * (1 - early))

    def heed(self, notify: Notify | None) -> None:
        """The peer says how long it believes in our authentication: "the time ... in seconds" (RFC 4478 section 3).

        We are earlier by a tenth to a fifth, so that there is time to try more than once.

        Raises:
            WireError: it is not four octets.
        """
        if notify is None or not self._is_ours:
            return
        if len(notify.data) != _OCTETS:
            raise WireError("an AUTH_LIFETIME that is not 4 octets", field="lifetime", section="RFC 4478 section 3")
        seconds = int.from_bytes(notify.data)
        at = self._sa.now + seconds * (0.9 - self._sa.jitter() / 10)
        if self._at is None or at < self._at:
            self._set(at)

    def inherit(self, old: Reauthentication) -> None:
        """The IKE SA replaces another one: "rekeying does not ... reauthenticate" (RFC 7296 section 2.8.3)."""
        self._is_ours = old._is_ours
        if old._at is not None:
            self._set(old._at)

    def handle(self) -> None:
        """Its time has come."""
        sa = self._sa
        if sa.phase is Phase.REKEYING and self._is_ours:
            self._set(sa.now + 1.0)  # the successor inherits the task
        elif sa.phase is not Phase.ESTABLISHED:
            return
        elif not self._is_ours:
            sa.request_close("its authentication is too old, and the peer did not authenticate itself anew (RFC 4478)")
        elif not self.is_running:
            self.is_running = True
            sa.host.reauthenticate(sa)

    def failed(self, error: CaponierError) -> None:
        """There is no new IKE SA. Who is not let in any more, or is not who it was, loses the old one too; anything else
        may pass, and we try again for as long as the peer lets us."""
        sa = self._sa
        self.is_running = False
        is_refused = isinstance(error, PeerRejected) and error.notify == NotifyType.AUTHENTICATION_FAILED
        if is_refused or isinstance(error, AuthenticationFailed):
            sa.request_close("reauthentication failed", error)
        else:
            self._set(sa.now + REAUTH_RETRY_SECONDS * (1 + sa.jitter() / 2))

    def _set(self, at: float) -> None:
        self._at = at
        self._sa.timers.set(Timer.REAUTH, at)


def auth_lifetime(connection: Connection) -> tuple[Notify, ...]:
    """``[N(AUTH_LIFETIME)]`` of a responder (RFC 4478 section 3)."""
    if connection.reauth is None:
        return ()
    return (Notify(NotifyType.AUTH_LIFETIME, data=int(connection.reauth).to_bytes(_OCTETS)),)
