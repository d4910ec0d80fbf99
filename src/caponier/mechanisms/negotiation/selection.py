"""The choice among proposals (RFC 7296 sections 2.7 and 3.3.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from caponier.doi.ikev2 import ProtocolId, TransformType
from caponier.errors import NoProposalChosen, WireError
from caponier.mechanisms.negotiation.spelling import TYPE_NAMES, format_proposal, format_proposals, keyword_of
from caponier.mechanisms.negotiation.transforms import (
    KEY_EXCHANGES,
    MANDATORY_TYPES,
    NONE,
    OPTIONAL_TYPES,
    Proposal,
    Transform,
    goes_with,
)

_MAX_WORDS = 12  #: algorithms of one type in a message; a peer may propose more than anybody reads

_MAX_EXPLAINED = 8  #: proposals of a peer's that we explain; a stranger's offer must not cost more than the choice


def select(offered: Sequence[Proposal], accepted: Sequence[Proposal]) -> Proposal:
    """Choose as responder: one proposal, and of it exactly one transform of each type that it has.

    Our order decides: our proposals first, and within one our transforms. A proposal with a type that we do not
    know, or without a mandatory type, is passed over, and so is a transform with an attribute that we do not know
    (RFC 7296 section 3.3.6). A type that one side leaves out means NONE (section 3.3.3).

    Args:
        offered: the peer's, in its order.
        accepted: ours, best first.

    Returns:
        The peer's proposal, its number and its SPI, with the transforms that are left. The caller puts our own SPI in
        before it sends that back.

    Raises:
        NoProposalChosen: nothing in common; the message says what was closest.
    """
    for ours in accepted:
        for theirs in offered:
            suite = _common_suite(theirs, ours)
            if suite is not None:
                return replace(theirs, transforms=suite)
    raise NoProposalChosen(
        f"no proposal in common: {_closest(offered, accepted)}",
        offered=format_proposals(offered),
        accepted=format_proposals(accepted),
        hint="let both sides name the same algorithms",
        setting="proposals" if any(ours.protocol == ProtocolId.IKE for ours in accepted) else None,
    )


def accept(chosen: Sequence[Proposal], offered: Sequence[Proposal]) -> Proposal:
    """Check as initiator what the peer chose: "the initiator MUST check that the accepted offer is consistent with
    one of its proposals" (RFC 7296 section 3.3.6).

    Args:
        chosen: the proposals of the peer's SA payload.
        offered: ours, as we sent them.

    Returns:
        The peer's proposal, with the peer's SPI.

    Raises:
        WireError: not exactly one proposal, or several transforms of one type.
        NoProposalChosen: the peer chose what we did not offer. ``offered`` is the peer's choice then, and
            ``accepted`` what we offered.
    """
    if len(chosen) != 1:
        raise WireError(
            f"SA payload: {len(chosen)} proposals in an answer, not one",
            field="proposals",
            section="RFC 7296 section 2.7",
        )
    answer = chosen[0]
    if len(answer.types) != len(answer.transforms):
        raise WireError(
            f"SA payload: the answer {format_proposal(answer)} has several transforms of one type",
            field="transforms",
            section="RFC 7296 section 2.7",
        )
    fault = _fault(answer, offered)
    if fault is not None:
        raise NoProposalChosen(
            f"the peer's choice is none of our proposals: {fault}",
            offered=format_proposal(answer),
            accepted=format_proposals(offered),
            hint="the peer's software is at fault, or somebody changed the offer on its way",
        )
    return answer


@cache
def _types(protocol: ProtocolId) -> tuple[TransformType, ...]:
    return tuple(sorted((*MANDATORY_TYPES.get(protocol, ()), *OPTIONAL_TYPES.get(protocol, ()))))


def _types_in(theirs: Proposal, ours: Proposal) -> list[TransformType]:
    """Those that decide: a key exchange that both leave out is NONE on both sides (RFC 7296 section 3.3.3)."""
    there = theirs.types | ours.types
    there |= frozenset(MANDATORY_TYPES.get(ours.protocol, ()))
    return [kind for kind in _types(ours.protocol) if kind in there or kind not in KEY_EXCHANGES]


def _alternatives(proposal: Proposal, kind: TransformType) -> tuple[Transform, ...]:
    """The transforms of one type; where an optional type is left out, NONE (RFC 7296 section 3.3.3)."""
    there = proposal.of(kind)
    if there or kind not in OPTIONAL_TYPES.get(proposal.protocol, ()):
        return there
    return (Transform(kind, NONE),)


def _in_common(theirs: Proposal, ours: Proposal, kind: TransformType) -> tuple[Transform, ...]:
    wanted = _alternatives(theirs, kind)
    return tuple([transform for transform in _alternatives(ours, kind) if transform in wanted])


def _common_suite(theirs: Proposal, ours: Proposal) -> tuple[Transform, ...] | None:
    kinds = _types(ours.protocol)
    if theirs.protocol != ours.protocol or not theirs.types.issubset(kinds):
        return None
    choices: list[tuple[Transform, ...]] = []
    for kind in _types_in(theirs, ours):
        choices.append(_in_common(theirs, ours, kind))
        if not choices[-1]:
            return None
    suite = next(_suites(choices), None)
    if suite is None:
        return None
    return tuple(transform for transform in suite if transform.type in theirs.types)


def _suites(
    choices: Sequence[tuple[Transform, ...]], chosen: tuple[Transform, ...] = ()
) -> Iterator[tuple[Transform, ...]]:
    """All sound suites, the best first; the choices are ours too, so that no stranger makes them many."""
    if not choices:
        yield chosen
        return
    for transform in choices[0]:
        if goes_with(transform, chosen):
            yield from _suites(choices[1:], (*chosen, transform))


def _fault(answer: Proposal, offered: Sequence[Proposal]) -> str | None:
    """What of an answer is not in our offer; None if all is well."""
    ours = next((proposal for proposal in offered if proposal.number == answer.number), None)
    if ours is None:
        return f"it has the number {answer.number}"
    if answer.protocol != ours.protocol:
        return f"it is for {answer.protocol}"
    for kind in answer.types.difference(_types(ours.protocol)):
        return f"it has a transform of type {int(kind)}"
    suite: tuple[Transform, ...] = ()
    for kind in _types(ours.protocol):
        transform = next(iter(_alternatives(answer, kind)), None)
        if transform is None or transform not in _alternatives(ours, kind) or not goes_with(transform, suite):
            return f"{TYPE_NAMES[kind]} is {_words((transform,) if transform else ())}"
        suite = (*suite, transform)
    return None


def _closest(offered: Sequence[Proposal], accepted: Sequence[Proposal]) -> str:
    """Say in words what kept the two proposals apart that have most in common."""
    looked_at = offered[:_MAX_EXPLAINED]
    pairs = [(theirs, ours) for ours in accepted for theirs in looked_at if theirs.protocol == ours.protocol]
    if not pairs:
        return "the peer proposes another protocol"
    differences = [_differences(theirs, ours) for theirs, ours in pairs]
    fewest = min(differences, key=len)
    return "; ".join(fewest)


def _differences(theirs: Proposal, ours: Proposal) -> list[str]:
    kinds = _types(ours.protocol)
    found = [
        f"the peer proposes type {int(kind)}, which we do not know" for kind in sorted(theirs.types.difference(kinds))
    ]
    for kind in kinds:
        if not _in_common(theirs, ours, kind):
            peers, own = _words(_alternatives(theirs, kind)), _words(_alternatives(ours, kind))
            found.append(f"for {TYPE_NAMES[kind]} the peer proposes {peers}, we accept {own}")
    return found or ["no combination of the algorithms is allowed"]


def _words(transforms: Sequence[Transform]) -> str:
    """The keywords of some transforms of one type; of very many only the first."""
    words = [
        "none" if transform.id == NONE and _can_be_none(transform) else keyword_of(transform)
        for transform in transforms
    ]
    shown = words[:_MAX_WORDS] + ["…"] * (len(words) > _MAX_WORDS)
    return ", ".join(shown) or "nothing"


def _can_be_none(transform: Transform) -> bool:
    return transform.type in (TransformType.INTEGRITY, *KEY_EXCHANGES)
