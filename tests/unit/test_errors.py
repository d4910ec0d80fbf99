"""The error tree."""

from __future__ import annotations

import inspect
import re

import pytest

from caponier import errors
from caponier.errors import (
    AuthenticationFailed,
    CaponierError,
    ConfigError,
    Disposition,
    IntegrityFailed,
    InvalidIkeSpi,
    InvalidKe,
    InvalidMajorVersion,
    InvalidMessageId,
    NegotiationFailed,
    NoProposalChosen,
    PeerError,
    PeerRejected,
    Silent,
    TsUnacceptable,
    UnexpectedMessage,
    UnsupportedCriticalPayload,
    WireError,
)

CLASSES = [member for _, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, Exception)]


def drawn() -> dict[str, str]:
    """Class to parent, as the module's docstring draws the tree."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = [(-1, "CaponierError")]
    for line in (errors.__doc__ or "").splitlines():
        matched = re.match(r"^(?P<branch>[\s│]*[├└]─ )(?P<name>\w+)", line)
        if matched is None:
            continue
        depth = len(matched["branch"])
        while path[-1][0] >= depth:
            path.pop()
        parents[matched["name"]] = path[-1][1]
        path.append((depth, matched["name"]))
    return parents


def test_the_tree_is_the_one_that_is_drawn() -> None:
    assert drawn() == {
        cls.__name__: cls.__base__.__name__ for cls in CLASSES if cls is not CaponierError and cls.__base__
    }


def test_every_error_is_one_of_ours() -> None:
    assert all(issubclass(cls, CaponierError) for cls in CLASSES)


@pytest.mark.parametrize(
    ("error", "disposition"),
    [
        (PeerError("x"), Disposition.REPLY),
        (WireError("x"), Disposition.CLOSE_SA),
        (InvalidMajorVersion("x"), Disposition.REPLY),
        (InvalidIkeSpi("x"), Disposition.REPLY),
        (InvalidMessageId("x"), Disposition.DROP),
        (UnsupportedCriticalPayload("x", payload_type=99), Disposition.REPLY),
        (UnexpectedMessage("x"), Disposition.DROP),
        (IntegrityFailed("x"), Disposition.DROP),
        (AuthenticationFailed("x"), Disposition.CLOSE_SA),
        (NegotiationFailed("x"), Disposition.FAIL_CHILD),
        (NoProposalChosen("x"), Disposition.FAIL_CHILD),
        (TsUnacceptable("x"), Disposition.FAIL_CHILD),
        (InvalidKe("x", wanted=19), Disposition.REPLY),
    ],
    ids=lambda value: type(value).__name__,
)
def test_dispositions(error: PeerError, disposition: Disposition) -> None:
    """RFC 7296 sections 2.21.1 to 2.21.4: what becomes of the exchange by default."""
    assert error.disposition is disposition


def test_a_disposition_can_be_overridden_for_one_error_only() -> None:
    assert WireError("x", disposition=Disposition.DROP).disposition is Disposition.DROP
    assert NoProposalChosen("x", disposition=Disposition.CLOSE_SA).disposition is Disposition.CLOSE_SA
    assert WireError("x").disposition is Disposition.CLOSE_SA


def test_what_an_error_says() -> None:
    error = ConfigError("what and why", hint="how to mend it", setting="proposals")
    assert (str(error), error.message, error.hint, error.setting) == (
        "what and why",
        "what and why",
        "how to mend it",
        "proposals",
    )
    assert (ConfigError("x").hint, ConfigError("x").setting) == (None, None)


def test_what_each_kind_carries() -> None:
    assert WireError("x", field="group", section="RFC 7296 section 3.4").section == "RFC 7296 section 3.4"
    assert Silent("x", attempts=7).attempts == 7
    rejected = PeerRejected("x", notify=14, offered="aes128", setting="proposals", hint="y")
    assert (rejected.notify, rejected.offered, rejected.setting, rejected.hint) == (14, "aes128", "proposals", "y")
    negotiation = TsUnacceptable("x", offered="10.1.0.0/16", accepted="10.2.0.0/16")
    assert (negotiation.offered, negotiation.accepted) == ("10.1.0.0/16", "10.2.0.0/16")
    assert InvalidKe("x", wanted=19).wanted == 19
    assert UnsupportedCriticalPayload("x", payload_type=99).payload_type == 99
