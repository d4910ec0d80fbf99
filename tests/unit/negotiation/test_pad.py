"""The PAD: which entry a peer belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from caponier.errors import AuthenticationFailed
from caponier.mechanisms.negotiation.pad import PadEntry, authorized_entry, entries_at


@dataclass(frozen=True)
class Name:
    """An identity, as far as the PAD looks at it."""

    text: str


@dataclass(frozen=True)
class Suffix:
    """A pattern of names: all that end in ``text``."""

    text: str

    @property
    def specificity(self) -> int:
        return len(self.text)

    def matches(self, identity: Name, /) -> bool:
        return identity.text.endswith(self.text)


def entry(pattern: str, peer: str, *addresses: str) -> PadEntry[Name, str]:
    return PadEntry(Suffix(pattern), tuple(map(IPv4Address, addresses)), peer)


ANY = entry("", "any")
GROUP = entry(".example.com", "group")
GATEWAY = entry("gw.example.com", "gateway", "192.0.2.1", "192.0.2.2")


def test_candidates_before_the_identity_is_known() -> None:
    """Entries that name the address go first, those for another address are none."""
    assert entries_at((ANY, GATEWAY), IPv4Address("192.0.2.2")) == (GATEWAY, ANY)
    assert entries_at((ANY, GATEWAY), IPv4Address("192.0.2.3")) == (ANY,)
    assert entries_at((GATEWAY,), IPv4Address("192.0.2.3")) == ()


@pytest.mark.parametrize(
    ("name", "peer"), [("gw.example.com", "gateway"), ("pc.example.com", "group"), ("example.org", "any")]
)
def test_the_most_exact_entry_wins(name: str, peer: str) -> None:
    """RFC 4301 section 4.4.3.1: star names overlap, so that the order matters; ours is the more exact one first."""
    for entries in ((ANY, GROUP, GATEWAY), (GATEWAY, GROUP, ANY)):
        assert authorized_entry(entries, Name(name)).peer == peer


def test_among_equals_the_first_wins() -> None:
    assert authorized_entry((entry("com", "one"), entry("com", "two")), Name("example.com")).peer == "one"


def test_nobody_is_explained() -> None:
    """RFC 4301 section 4.4.3.4: without an entry there is no peer."""
    with pytest.raises(
        AuthenticationFailed, match=r"says it is example\.org, we expect \.example\.com, gw\.example\.com"
    ) as caught:
        authorized_entry((GROUP, GATEWAY), Name("example.org"))
    assert caught.value.setting == "remote.id"
    with pytest.raises(AuthenticationFailed, match="nobody from that address"):
        authorized_entry((), Name("example.org"))
