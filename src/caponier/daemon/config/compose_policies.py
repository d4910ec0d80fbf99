"""The entries of the SPD that no connection belongs to: BYPASS and DISCARD (RFC 4301 section 4.4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from caponier.daemon.config.attempts import Attempts, Complaints
from caponier.daemon.config.schema import PolicyTable
from caponier.mechanisms.negotiation.selectors import TrafficSelector, parse_selector
from caponier.mechanisms.negotiation.spd import Action, SpdEntry, overlaps

_EVERYTHING: tuple[TrafficSelector, ...] = (parse_selector("0.0.0.0/0"), parse_selector("::/0"))


def compose_policies(tables: Sequence[PolicyTable], complaints: Complaints) -> tuple[SpdEntry, ...]:
    """The entries, in the order of the file; those with mistakes are left out, and ``complaints`` tell of them."""
    entries: list[SpdEntry] = []
    for index, table in enumerate(tables):
        attempts = Attempts(("policy", str(index)), complaints)
        entry = _entry(attempts, table)
        if entry is not None and _may_follow(attempts, entries, entry):
            entries.append(entry)
    return tuple(entries)


def _entry(attempts: Attempts, table: PolicyTable) -> SpdEntry | None:
    before = len(attempts.complaints.found)
    attempts.name(table.name)
    remote = attempts.selectors("remote", table.remote)
    local = _EVERYTHING
    if "local" in table.model_fields_set:
        local = attempts.selectors("local", table.local)
    if len(attempts.complaints.found) != before:
        return None
    if not {each.start.version for each in local} & {each.start.version for each in remote}:
        attempts.refuse(("local",), "no packet goes from one address family to the other", "name both in one family")
        return None
    return SpdEntry(table.name, local, remote, Action(table.action))


def _may_follow(attempts: Attempts, entries: Sequence[SpdEntry], entry: SpdEntry) -> bool:
    """Whether an entry may stand behind these: with a name of its own, and so that some packet comes to it."""
    if any(each.name == entry.name for each in entries):
        attempts.refuse(("name",), f"another policy has the name {entry.name}", "give each a name of its own")
        return False
    for first in entries:
        if any(overlap.is_hidden for overlap in overlaps((first, entry))):
            why = f"no packet comes to this policy: each that fits it fits {first.name}, which stands before it"
            attempts.refuse((), why, "let the narrower policy stand first")
            return False
    return True
