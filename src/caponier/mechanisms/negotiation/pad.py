"""The Peer Authorization Database: which entry a peer belongs to (RFC 4301 section 4.4.3).

"The PAD is an ordered database, where the order is defined by an administrator" (section 4.4.3.1). The order here: an
entry that names the peer more exactly goes before one that names it less exactly, whatever stands first in the
configuration; among equals the configuration's order decides. So ``*.example.com`` before ``gw.example.com`` is no
trap. What an identity is, and how exactly a pattern names it, is told by the caller's types.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from caponier.errors import AuthenticationFailed
from caponier.mechanisms.negotiation.selectors import IpAddress

Entry_co = TypeVar("Entry_co", covariant=True)
Identity_contra = TypeVar("Identity_contra", contravariant=True)
Identity = TypeVar("Identity", bound="NamedIdentity")


class NamedIdentity(Protocol):
    """An identity that can be shown to a person."""

    @property
    def text(self) -> str: ...


class Pattern(Protocol[Identity_contra]):
    """A pattern of identities (section 4.4.3.1)."""

    def matches(self, identity: Identity_contra, /) -> bool: ...

    @property
    def specificity(self) -> Any:
        """Larger for a pattern that names fewer peers; only compared with others of its kind."""

    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class PadEntry(Generic[Identity_contra, Entry_co]):
    """A peer, or a group of peers.

    Attributes:
        identity: which identities it is for.
        addresses: where the peer is expected; empty for anywhere.
        peer: what the caller keeps for it: how it proves itself, what it may ask for.
    """

    identity: Pattern[Identity_contra]
    addresses: tuple[IpAddress, ...]
    peer: Entry_co


def entries_at(
    entries: Sequence[PadEntry[Identity_contra, Entry_co]], address: IpAddress
) -> tuple[PadEntry[Identity_contra, Entry_co], ...]:
    """The entries that a peer at ``address`` may belong to, while its identity is not known yet.

    Those that name the address come first, those for anywhere after them.
    """
    named = [entry for entry in entries if address in entry.addresses]
    anywhere = [entry for entry in entries if not entry.addresses]
    return (*named, *anywhere)


def authorized_entry(
    entries: Iterable[PadEntry[Identity, Entry_co]], identity: Identity
) -> PadEntry[Identity, Entry_co]:
    """The entry for an identity that a peer asserts (section 4.4.3.4); it is still to be proved.

    Args:
        entries: the candidates, as :func:`entries_at` gives them.
        identity: what the peer says it is.

    Raises:
        AuthenticationFailed: no entry is for it.
    """
    known = tuple(entries)
    fitting = [entry for entry in known if entry.identity.matches(identity)]
    if not fitting:
        expected = ", ".join(entry.identity.text for entry in known) or "nobody from that address"
        raise AuthenticationFailed(
            f"the peer says it is {identity.text}, we expect {expected}",
            section="RFC 4301 section 4.4.3.4",
            hint="compare the peer's own identity with the remote identity here",
            setting="remote.id",
        )
    return max(fitting, key=lambda entry: entry.identity.specificity)
