"""What an error leads to: the one place where it is decided (RFC 7296 sections 2.21 and 3.10.1).

Three kinds of senders matter:

* A stranger: the message is not protected. It may be refused, but it never changes what we keep.
* A peer whose keys are ours but whose identity is unproven: it can end only the half-made SA that is its own.
* A proven peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from caponier.doi.ikev2 import NotifyType, ProtocolId
from caponier.errors import (
    AuthenticationFailed,
    CaponierError,
    ChildSaNotFound,
    ConfigError,
    Disposition,
    EngineError,
    FailedCpRequired,
    IntegrityFailed,
    InternalAddressFailure,
    InternalError,
    InvalidIkeSpi,
    InvalidKe,
    InvalidMajorVersion,
    InvalidMessageId,
    MisuseError,
    NegotiationFailed,
    NoAdditionalSas,
    NoProposalChosen,
    PeerError,
    PeerRejected,
    Silent,
    StateNotFound,
    TemporaryFailure,
    TsUnacceptable,
    UnexpectedMessage,
    UnexpectedNat,
    UnsupportedCriticalPayload,
    WireError,
)
from caponier.protocols.ike.messages.payloads import Notify
from caponier.protocols.ike.v2.lifecycle import Phase


class Action(Enum):
    """What becomes of the message, the Child SA and the IKE SA."""

    DROP = "drop"  #: As if the message had not come; it is counted.
    REPLY = "reply"  #: The request is refused; nothing else changes.
    FAIL_CHILD = "fail-child"  #: The Child SA is not made; the IKE SA lives.
    CLOSE = "close"  #: The IKE SA ends.


@dataclass(frozen=True, slots=True)
class Reaction:
    """An action, and the notification for the peer if the error is in a request of its."""

    action: Action
    notify: Notify | None = None


#: The notification of each error; those without one are never told to a peer.
NOTIFY: dict[type[CaponierError], NotifyType] = {
    WireError: NotifyType.INVALID_SYNTAX,
    InvalidMajorVersion: NotifyType.INVALID_MAJOR_VERSION,
    InvalidIkeSpi: NotifyType.INVALID_IKE_SPI,
    UnsupportedCriticalPayload: NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD,
    UnexpectedNat: NotifyType.UNEXPECTED_NAT_DETECTED,
    AuthenticationFailed: NotifyType.AUTHENTICATION_FAILED,
    NoProposalChosen: NotifyType.NO_PROPOSAL_CHOSEN,
    InvalidKe: NotifyType.INVALID_KE_PAYLOAD,
    TsUnacceptable: NotifyType.TS_UNACCEPTABLE,
    NoAdditionalSas: NotifyType.NO_ADDITIONAL_SAS,
    TemporaryFailure: NotifyType.TEMPORARY_FAILURE,
    ChildSaNotFound: NotifyType.CHILD_SA_NOT_FOUND,
    InternalAddressFailure: NotifyType.INTERNAL_ADDRESS_FAILURE,
    FailedCpRequired: NotifyType.FAILED_CP_REQUIRED,
    StateNotFound: NotifyType.STATE_NOT_FOUND,
    NegotiationFailed: NotifyType.NO_PROPOSAL_CHOSEN,
    # Our own trouble with a Child SA: "not now" is all that the peer can use of it.
    EngineError: NotifyType.TEMPORARY_FAILURE,
}

#: Answered even where nothing is protected: sections 1.2, 2.5, 2.21.1 and 2.21.4.
_TOLD_TO_STRANGERS = (InvalidMajorVersion, InvalidIkeSpi, UnsupportedCriticalPayload, NoProposalChosen, InvalidKe)

#: Refusals by a proven peer after which "the IKE SA ... is deleted" (section 2.21.3 and 3.10.1).
_FATAL_REFUSALS = (NotifyType.INVALID_SYNTAX, NotifyType.AUTHENTICATION_FAILED, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD)

_FROM_DISPOSITION = {
    Disposition.DROP: Action.DROP,
    Disposition.REPLY: Action.REPLY,
    Disposition.FAIL_CHILD: Action.FAIL_CHILD,
    Disposition.CLOSE_SA: Action.CLOSE,
}


def reaction(error: CaponierError, phase: Phase, *, is_protected: bool) -> Reaction:
    """Turn an error into what is done about it.

    Args:
        error: what went wrong.
        phase: of the IKE SA; CONNECTING for a stranger's first message.
        is_protected: whether it is about a message whose checksum verified, or about a silence.
    """
    if phase is Phase.CLOSED:
        return Reaction(Action.DROP)
    action = _action(error, phase) if is_protected else _action_for_stranger(error)
    return Reaction(action, None if action is Action.DROP else notify_of(error))


def is_passing(error: CaponierError) -> bool:
    """Whether a refusal is part of the game, and no person needs to hear of it: the peer asks again with another group, or
    later, or finds that it has what it wants already (sections 1.3 and 2.25)."""
    return isinstance(error, (InvalidKe, TemporaryFailure, ChildSaNotFound, StateNotFound))


def notify_of(error: CaponierError) -> Notify | None:
    """The notification that tells a peer of an error; None for those that it is not told of."""
    notify_type = next((NOTIFY[kind] for kind in type(error).__mro__ if kind in NOTIFY), None)
    if notify_type is None:
        return None
    match error:
        case InvalidKe(wanted=group):
            return Notify(notify_type, data=group.to_bytes(2))
        case UnsupportedCriticalPayload(payload_type=payload_type):
            return Notify(notify_type, data=payload_type.to_bytes(1))
        case ChildSaNotFound(protocol=protocol, spi=spi):
            return Notify(notify_type, ProtocolId(protocol), spi)  # section 3.10: with the SPI that it is about
        case _:
            return Notify(notify_type)


def _action_for_stranger(error: CaponierError) -> Action:
    if isinstance(error, _TOLD_TO_STRANGERS) and error.disposition is not Disposition.DROP:
        return Action.REPLY
    return Action.DROP


def _action(error: CaponierError, phase: Phase) -> Action:
    match error:
        case IntegrityFailed() | InvalidMessageId() | UnexpectedMessage():
            return Action.DROP
        case Silent() | InternalError() | MisuseError():
            return Action.CLOSE
        case PeerRejected(notify=notify):
            return Action.CLOSE if phase is Phase.CONNECTING or notify in _FATAL_REFUSALS else Action.FAIL_CHILD
        case EngineError() | ConfigError():
            return Action.CLOSE if phase is Phase.CONNECTING else Action.FAIL_CHILD
        case PeerError(disposition=disposition):
            return _action_for_peer(_FROM_DISPOSITION[disposition], phase)
        case _:
            return Action.CLOSE


def _action_for_peer(action: Action, phase: Phase) -> Action:
    """A request that is refused while the SA is being made leaves no SA behind (section 2.21.2)."""
    if phase is Phase.CONNECTING and action is Action.REPLY:
        return Action.CLOSE
    return action
