"""Every error of Caponier, in one tree.

::

    CaponierError
    ├─ ConfigError             our configuration, found before any packet is sent
    ├─ MisuseError             the caller broke the API
    ├─ EngineError             the data plane refused or failed
    ├─ PeerError               the peer's octets or choices are wrong
    │   ├─ WireError                    malformed octets (INVALID_SYNTAX)
    │   ├─ InvalidMajorVersion          another IKE version (INVALID_MAJOR_VERSION)
    │   ├─ InvalidIkeSpi                no such IKE SA (INVALID_IKE_SPI)
    │   ├─ InvalidMessageId             outside of the window
    │   ├─ UnsupportedCriticalPayload   a critical payload that we do not know
    │   ├─ UnexpectedMessage            well-formed, but not now
    │   ├─ IntegrityFailed              the checksum did not verify: dropped, counted, never answered
    │   ├─ UnexpectedNat                addresses were changed where the peer allows it to nobody
    │   ├─ AuthenticationFailed         the cause goes to our operator, never to the wire
    │   └─ NegotiationFailed            nothing in common
    │       ├─ NoProposalChosen
    │       ├─ InvalidKe                another group is wanted
    │       ├─ TsUnacceptable
    │       ├─ NoAdditionalSas
    │       ├─ TemporaryFailure
    │       ├─ StateNotFound
    │       ├─ ChildSaNotFound
    │       ├─ InternalAddressFailure   no address for the peer
    │       └─ FailedCpRequired         the peer has to ask for an address first
    ├─ PeerRejected            the peer sent us an error notification
    ├─ Silent                  retransmissions are exhausted
    └─ InternalError           a bug of ours: closes this SA, never the daemon

A :class:`PeerError` carries a *disposition*: what is to become of the exchange. Exactly one
function, ``protocols.ike.v2.reaction``, turns errors into notifications.
"""

from __future__ import annotations

from enum import Enum


class Disposition(Enum):
    """What becomes of the exchange in which a peer's error was found."""

    DROP = "drop"  #: Forget the datagram; count it.
    REPLY = "reply"  #: Answer with an error notification; the IKE SA lives.
    FAIL_CHILD = "fail-child"  #: The Child SA is not created; the IKE SA lives.
    CLOSE_SA = "close-sa"  #: The IKE SA ends.


class CaponierError(Exception):
    """The root. ``str()`` says what happened and why; ``hint`` says how to mend it.

    Args:
        message: what happened and why, one or two sentences, without secrets.
        hint: what a person may change.
        setting: the configuration key that decides it, relative to the connection
            (``"proposals"``, ``"local.secret"``, ``"child.lan.remote"``).
    """

    def __init__(self, message: str, *, hint: str | None = None, setting: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.setting = setting


class ConfigError(CaponierError):
    """The configuration is wrong; nothing of it is taken."""


class MisuseError(CaponierError):
    """The caller broke the API: a bug above, not a peer's doing."""


class EngineError(CaponierError):
    """The data plane refused or failed."""


class InternalError(CaponierError):
    """A bug of ours. It closes the SA in which it happened, never the daemon."""


class Silent(CaponierError):
    """The peer did not answer any of our ``attempts`` transmissions."""

    def __init__(self, message: str, *, attempts: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.attempts = attempts


class PeerRejected(CaponierError):
    """The peer sent an error notification.

    Args:
        message: what was refused, in words.
        notify: the notify type's number (RFC 7296 section 3.10.1).
        hint: what a person may change.
        setting: the configuration key that it is likely about.
        offered: what we offered, in the configuration's spelling.
    """

    def __init__(
        self,
        message: str,
        *,
        notify: int,
        hint: str | None = None,
        setting: str | None = None,
        offered: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, setting=setting)
        self.notify = notify
        self.offered = offered


class PeerError(CaponierError):
    """The peer's octets or choices are wrong.

    Args:
        message: what was wrong.
        field: the field of the message, when one is to blame.
        section: the RFC section that was broken ("RFC 7296 section 3.3").
        hint: what a person may change.
        setting: the configuration key that decides it, relative to the connection.
        disposition: overrides the class's own.
    """

    disposition: Disposition = Disposition.REPLY

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        section: str | None = None,
        hint: str | None = None,
        setting: str | None = None,
        disposition: Disposition | None = None,
    ) -> None:
        super().__init__(message, hint=hint, setting=setting)
        self.field = field
        self.section = section
        if disposition is not None:
            self.disposition = disposition


class WireError(PeerError):
    """Octets that do not parse (INVALID_SYNTAX, RFC 7296 section 3.10.1)."""

    disposition = Disposition.CLOSE_SA


class InvalidMajorVersion(PeerError):
    """A major version above ours (RFC 7296 section 2.5)."""


class InvalidIkeSpi(PeerError):
    """The IKE SPIs name no SA of ours (RFC 7296 section 2.21.4)."""


class InvalidMessageId(PeerError):
    """A message id outside of the window (RFC 7296 section 2.3)."""

    disposition = Disposition.DROP


class UnsupportedCriticalPayload(PeerError):
    """A payload with the critical bit that we do not know (RFC 7296 section 2.5)."""

    def __init__(self, message: str, *, payload_type: int) -> None:
        super().__init__(message, field="critical", section="RFC 7296 section 2.5")
        self.payload_type = payload_type


class UnexpectedMessage(PeerError):
    """Well-formed, but neither expected nor allowed now."""

    disposition = Disposition.DROP


class IntegrityFailed(PeerError):
    """The integrity checksum did not verify. Always dropped and counted, never answered."""

    disposition = Disposition.DROP


class UnexpectedNat(PeerError):
    """Addresses were changed on the way, which the peer allows to nobody (UNEXPECTED_NAT_DETECTED, RFC 4555 section 3.9)."""

    disposition = Disposition.CLOSE_SA


class AuthenticationFailed(PeerError):
    """The peer did not prove its identity. The cause goes to our operator, never to the wire."""

    disposition = Disposition.CLOSE_SA


class NegotiationFailed(PeerError):
    """Nothing in common.

    Args:
        message: what could not be agreed.
        offered: what the peer offered, in the configuration's spelling.
        accepted: what we accept, in the configuration's spelling.
    """

    disposition = Disposition.FAIL_CHILD

    def __init__(
        self,
        message: str,
        *,
        offered: str = "",
        accepted: str = "",
        hint: str | None = None,
        setting: str | None = None,
        disposition: Disposition | None = None,
    ) -> None:
        super().__init__(message, hint=hint, setting=setting, disposition=disposition)
        self.offered = offered
        self.accepted = accepted


class NoProposalChosen(NegotiationFailed):
    """No proposal of the peer is acceptable (NO_PROPOSAL_CHOSEN)."""


class InvalidKe(NegotiationFailed):
    """The KE payload is of another group than the chosen proposal (INVALID_KE_PAYLOAD)."""

    def __init__(self, message: str, *, wanted: int) -> None:
        super().__init__(message, disposition=Disposition.REPLY)
        self.wanted = wanted


class TsUnacceptable(NegotiationFailed):
    """No traffic selectors in common (TS_UNACCEPTABLE)."""


class NoAdditionalSas(NegotiationFailed):
    """No more Child SAs on this IKE SA (NO_ADDITIONAL_SAS)."""


class TemporaryFailure(NegotiationFailed):
    """Not now; try again (TEMPORARY_FAILURE, RFC 7296 section 2.25)."""


class InternalAddressFailure(NegotiationFailed):
    """There is no internal address for the peer (INTERNAL_ADDRESS_FAILURE, RFC 7296 section 3.15.4)."""


class FailedCpRequired(NegotiationFailed):
    """The peer has to ask for an internal address, and does not (FAILED_CP_REQUIRED, RFC 7296 section 2.19)."""


class StateNotFound(NegotiationFailed):
    """IKE_FOLLOWUP_KE belongs to nothing that we know (STATE_NOT_FOUND, RFC 9370 section 2.2.4)."""


class ChildSaNotFound(NegotiationFailed):
    """The Child SA named by the peer does not exist (CHILD_SA_NOT_FOUND).

    Args:
        message: what the peer wants with it.
        protocol: ESP or AH, its number.
        spi: as the peer named it, 4 octets.
    """

    def __init__(self, message: str, *, protocol: int, spi: bytes) -> None:
        super().__init__(message)
        self.protocol = protocol
        self.spi = spi
