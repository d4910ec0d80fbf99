"""The life of an IKE SA: which exchange may run when (RFC 7296 sections 1.2, 2.8, 2.25).

One table says it all; ``render`` draws it for the documentation, so the picture cannot differ from the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from caponier.doi.ikev2 import ExchangeType


class Phase(Enum):
    """Where an IKE SA is in its life."""

    CONNECTING = "connecting"  #: In its initial exchanges: the peer has not proved who it is.
    ESTABLISHED = "established"  #: Both sides are authenticated.
    REKEYING = "rekeying"  #: A successor is being negotiated (section 2.18).
    REKEYED = "rekeyed"  #: A successor has taken over the Child SAs; the Delete is to come.
    CLOSING = "closing"  #: Our Delete is queued or under way (section 1.4.1).
    CLOSED = "closed"  #: Gone; only its last answer is kept, for a peer that missed it.


class Verdict(Enum):
    """What becomes of an exchange that wants to run."""

    RUN = "run"
    QUEUE = "queue"  #: Ours only: it waits for another phase.
    TEMPORARY_FAILURE = "temporary-failure"  #: Theirs only: "not now, try again" (section 2.25).
    IGNORE = "ignore"  #: It is dropped.


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of an exchange, by who asks for it."""

    ours: Verdict
    theirs: Verdict
    why: str


_RUN, _QUEUE, _LATER, _IGNORE = Verdict.RUN, Verdict.QUEUE, Verdict.TEMPORARY_FAILURE, Verdict.IGNORE
_INIT, _AUTH = ExchangeType.IKE_SA_INIT, ExchangeType.IKE_AUTH
_INTERMEDIATE = ExchangeType.IKE_INTERMEDIATE
_FOLLOWUP = ExchangeType.IKE_FOLLOWUP_KE
_CHILD, _INFORMATIONAL = ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL

LIFECYCLE: dict[tuple[Phase, ExchangeType], Row] = {
    (Phase.CONNECTING, _INIT): Row(_RUN, _IGNORE, "our first message; theirs makes the SA and never comes to it again"),
    (Phase.CONNECTING, _INTERMEDIATE): Row(_RUN, _RUN, "RFC 9242 section 3.2"),
    (Phase.CONNECTING, _AUTH): Row(_RUN, _RUN, "section 1.2"),
    (Phase.CONNECTING, _CHILD): Row(_QUEUE, _IGNORE, "nobody is authenticated yet"),
    (Phase.CONNECTING, _FOLLOWUP): Row(_IGNORE, _IGNORE, "nobody is authenticated yet"),
    (Phase.CONNECTING, _INFORMATIONAL): Row(_QUEUE, _IGNORE, "nobody is authenticated yet"),
    (Phase.ESTABLISHED, _INIT): Row(_IGNORE, _IGNORE, "over"),
    (Phase.ESTABLISHED, _INTERMEDIATE): Row(_IGNORE, _IGNORE, "over"),
    (Phase.ESTABLISHED, _AUTH): Row(_IGNORE, _IGNORE, "over"),
    (Phase.ESTABLISHED, _CHILD): Row(_RUN, _RUN, "section 1.3"),
    (Phase.ESTABLISHED, _FOLLOWUP): Row(_RUN, _RUN, "RFC 9370 section 2.2.4"),
    (Phase.ESTABLISHED, _INFORMATIONAL): Row(_RUN, _RUN, "section 1.4"),
    (Phase.REKEYING, _INIT): Row(_IGNORE, _IGNORE, "over"),
    (Phase.REKEYING, _INTERMEDIATE): Row(_IGNORE, _IGNORE, "over"),
    (Phase.REKEYING, _AUTH): Row(_IGNORE, _IGNORE, "over"),
    (Phase.REKEYING, _CHILD): Row(_QUEUE, _LATER, "Child SAs are made on the successor, section 2.25.2"),
    (Phase.REKEYING, _FOLLOWUP): Row(
        _RUN, _RUN, "of a successor: both sides may make one; of a Child SA it has to wait"
    ),
    (Phase.REKEYING, _INFORMATIONAL): Row(_RUN, _RUN, "Child SAs may go, section 2.25.2"),
    (Phase.REKEYED, _INIT): Row(_IGNORE, _IGNORE, "over"),
    (Phase.REKEYED, _INTERMEDIATE): Row(_IGNORE, _IGNORE, "over"),
    (Phase.REKEYED, _AUTH): Row(_IGNORE, _IGNORE, "over"),
    (Phase.REKEYED, _CHILD): Row(_IGNORE, _LATER, "the successor is there, section 2.25.2"),
    (Phase.REKEYED, _FOLLOWUP): Row(_IGNORE, _LATER, "the successor is there"),
    (Phase.REKEYED, _INFORMATIONAL): Row(_RUN, _RUN, "the Delete of the old SA, section 2.8"),
    (Phase.CLOSING, _INIT): Row(_IGNORE, _IGNORE, "over"),
    (Phase.CLOSING, _INTERMEDIATE): Row(_IGNORE, _IGNORE, "over"),
    (Phase.CLOSING, _AUTH): Row(_IGNORE, _IGNORE, "over"),
    (Phase.CLOSING, _CHILD): Row(_IGNORE, _LATER, "section 2.25.2"),
    (Phase.CLOSING, _FOLLOWUP): Row(_IGNORE, _LATER, "section 2.25.2"),
    (Phase.CLOSING, _INFORMATIONAL): Row(_RUN, _RUN, "Deletes cross, section 2.25.2"),
    (Phase.CLOSED, _INIT): Row(_IGNORE, _IGNORE, "over"),
    (Phase.CLOSED, _INTERMEDIATE): Row(_IGNORE, _IGNORE, "over"),
    (Phase.CLOSED, _AUTH): Row(_IGNORE, _IGNORE, "over"),
    (Phase.CLOSED, _CHILD): Row(_IGNORE, _IGNORE, "over"),
    (Phase.CLOSED, _FOLLOWUP): Row(_IGNORE, _IGNORE, "over"),
    (Phase.CLOSED, _INFORMATIONAL): Row(_IGNORE, _IGNORE, "over; a retransmission gets the last answer again"),
}

_UNKNOWN_EXCHANGE = Row(_IGNORE, _IGNORE, "an exchange that we do not know")

#: How an IKE SA moves on; the edges of the picture.
TRANSITIONS: tuple[tuple[Phase, Phase, str], ...] = (
    (Phase.CONNECTING, Phase.ESTABLISHED, "AUTH verified"),
    (Phase.CONNECTING, Phase.CLOSING, "the peer's AUTH is wrong"),
    (Phase.CONNECTING, Phase.CLOSED, "refused, silent, or too slow"),
    (Phase.ESTABLISHED, Phase.REKEYING, "its time is nearly over"),
    (Phase.REKEYING, Phase.ESTABLISHED, "no successor this time"),
    (Phase.REKEYING, Phase.REKEYED, "successor established"),
    (Phase.ESTABLISHED, Phase.CLOSING, "we want an end"),
    (Phase.REKEYING, Phase.CLOSING, "we want an end"),
    (Phase.REKEYED, Phase.CLOSING, "we send the Delete"),
    (Phase.ESTABLISHED, Phase.CLOSED, "the peer deleted it, or is silent"),
    (Phase.REKEYING, Phase.CLOSED, "the peer deleted it, or is silent"),
    (Phase.REKEYED, Phase.CLOSED, "the peer deleted it, or is silent"),
    (Phase.CLOSING, Phase.CLOSED, "Delete answered, crossed, or never answered"),
)


def verdict_on_ours(phase: Phase, exchange: ExchangeType) -> Verdict:
    """Whether an exchange of ours may start now."""
    return LIFECYCLE.get((phase, exchange), _UNKNOWN_EXCHANGE).ours


def verdict_on_theirs(phase: Phase, exchange: ExchangeType) -> Verdict:
    """Whether a request of the peer is answered now."""
    return LIFECYCLE.get((phase, exchange), _UNKNOWN_EXCHANGE).theirs


def render() -> str:
    """The lifecycle as Markdown: a Mermaid picture and the table."""
    picture = [f"    {start.value} --> {end.value}: {why}" for start, end, why in TRANSITIONS]
    table = [
        f"| {phase.value} | {exchange} | {row.ours.value} | {row.theirs.value} | {row.why} |"
        for (phase, exchange), row in LIFECYCLE.items()
    ]
    lines = [
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {Phase.CONNECTING.value}",
        *picture,
        f"    {Phase.CLOSED.value} --> [*]",
        "```",
        "",
        "| phase | exchange | our request | their request | why |",
        "| --- | --- | --- | --- | --- |",
        *table,
        "",
    ]
    return "\n".join(lines)
