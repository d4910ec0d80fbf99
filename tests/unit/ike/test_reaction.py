"""What every error leads to, in every phase: the whole table (RFC 7296 section 2.21)."""

from __future__ import annotations

import inspect

import pytest

from caponier import errors
from caponier.doi.ikev2 import NotifyType
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
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.reaction import Action, notify_of, reaction

DROP, REPLY, FAIL, CLOSE = Action.DROP, Action.REPLY, Action.FAIL_CHILD, Action.CLOSE

#: error: (notify, for a stranger, while connecting, once established)
TABLE: tuple[tuple[CaponierError, int | None, Action, Action, Action], ...] = (
    (WireError("x"), 7, DROP, CLOSE, CLOSE),
    (WireError("x", disposition=Disposition.DROP), 7, DROP, DROP, DROP),
    (InvalidMajorVersion("x"), 5, REPLY, CLOSE, REPLY),
    (InvalidIkeSpi("x"), 4, REPLY, CLOSE, REPLY),
    (InvalidMessageId("x"), None, DROP, DROP, DROP),
    (UnsupportedCriticalPayload("x", payload_type=200), 1, REPLY, CLOSE, REPLY),
    (UnexpectedMessage("x"), None, DROP, DROP, DROP),
    (IntegrityFailed("x"), None, DROP, DROP, DROP),
    (AuthenticationFailed("x"), 24, DROP, CLOSE, CLOSE),
    (UnexpectedNat("x"), 41, DROP, CLOSE, CLOSE),
    (NegotiationFailed("x"), 14, DROP, FAIL, FAIL),
    (NoProposalChosen("x"), 14, REPLY, FAIL, FAIL),
    (InvalidKe("x", wanted=31), 17, REPLY, CLOSE, REPLY),
    (TsUnacceptable("x"), 38, DROP, FAIL, FAIL),
    (NoAdditionalSas("x"), 35, DROP, FAIL, FAIL),
    (TemporaryFailure("x"), 43, DROP, FAIL, FAIL),
    (ChildSaNotFound("x", protocol=3, spi=bytes(4)), 44, DROP, FAIL, FAIL),
    (InternalAddressFailure("x"), 36, DROP, FAIL, FAIL),
    (FailedCpRequired("x"), 37, DROP, FAIL, FAIL),
    (StateNotFound("x"), 47, DROP, FAIL, FAIL),
    (PeerError("x"), None, DROP, CLOSE, REPLY),
    (PeerRejected("x", notify=38), None, DROP, CLOSE, FAIL),
    (PeerRejected("x", notify=24), None, DROP, CLOSE, CLOSE),
    (PeerRejected("x", notify=7), None, DROP, CLOSE, CLOSE),
    (Silent("x", attempts=5), None, DROP, CLOSE, CLOSE),
    (EngineError("x"), 43, DROP, CLOSE, FAIL),
    (ConfigError("x"), None, DROP, CLOSE, FAIL),
    (MisuseError("x"), None, DROP, CLOSE, CLOSE),
    (InternalError("x"), None, DROP, CLOSE, CLOSE),
)


@pytest.mark.parametrize(
    ("error", "notify", "stranger", "connecting", "established"), TABLE, ids=lambda each: type(each).__name__
)
def test_every_error_in_every_phase(
    error: CaponierError, notify: int | None, stranger: Action, connecting: Action, established: Action
) -> None:
    told = notify_of(error)
    assert (None if told is None else int(told.type)) == notify
    assert reaction(error, Phase.CONNECTING, is_protected=False).action is stranger
    assert reaction(error, Phase.CONNECTING, is_protected=True).action is connecting
    assert reaction(error, Phase.ESTABLISHED, is_protected=True).action is established
    for phase in Phase:
        assert reaction(error, phase, is_protected=False).action in (DROP, REPLY)
        decided = reaction(error, phase, is_protected=True)
        assert decided.notify is None or decided.action is not DROP
    assert reaction(error, Phase.CLOSED, is_protected=True).action is DROP


def test_every_class_of_the_tree_has_its_row() -> None:
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CaponierError)} - {
        CaponierError
    }
    assert {type(row[0]) for row in TABLE} == classes


def test_notify_data() -> None:
    """Section 3.10.1: the wanted group in two octets, the payload type in one."""
    group, payload = notify_of(InvalidKe("x", wanted=31)), notify_of(UnsupportedCriticalPayload("x", payload_type=200))
    assert group is not None
    assert (group.type, group.data) == (NotifyType.INVALID_KE_PAYLOAD, b"\x00\x1f")
    assert payload is not None
    assert (payload.type, payload.data) == (NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, b"\xc8")
