"""Pools and leases (RFC 7296 sections 2.19, 3.15.1 and 3.15.3)."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.errors import InternalAddressFailure
from caponier.mechanisms.negotiation import leases as module
from caponier.mechanisms.negotiation.leases import Holder, Leases, Pool
from caponier.mechanisms.negotiation.selectors import format_selector

HERE = ip_address("192.0.2.7")


def pool(first: str = "10.9.0.1", last: str = "10.9.0.6", length: int = 24, **more: Any) -> Pool:
    return Pool("road", ip_address(first), ip_address(last), length, **more)


def peer(name: str, port: int = 4500) -> Holder:
    return Holder(name.encode(), (HERE, port))


def test_two_peers_have_two_addresses_until_none_is_left() -> None:
    """Section 3.15.4: then INTERNAL_ADDRESS_FAILURE."""
    leases = Leases()
    given_away = [leases.lend((pool(),), peer(f"peer {number}")) for number in range(6)]
    assert sorted(map(int, given_away)) == [int(ip_address("10.9.0.1")) + number for number in range(6)]
    with pytest.raises(InternalAddressFailure, match="road"):
        leases.lend((pool(),), peer("one too many"))
    assert leases.held(pool()) == 6


def test_who_comes_again_gets_the_same() -> None:
    leases = Leases()
    mine = leases.lend((pool(),), peer("me"))
    for number in range(3):
        leases.give_back(mine)
        leases.lend((pool(),), peer(f"other {number}"))
        assert leases.lend((pool(),), peer("me")) == mine


def test_most_find_their_address_again_after_a_restart() -> None:
    """Where all is forgotten the identity decides where an address is looked for."""
    large = pool("10.9.0.0", "10.9.255.255", 16)
    before, after = Leases(), Leases()
    names = [f"user{number}@example.com" for number in range(500)]
    first = {name: before.lend((large,), peer(name)) for name in names}
    second = {name: after.lend((large,), peer(name)) for name in reversed(names)}
    assert sum(first[name] == second[name] for name in names) > 490


def test_the_longest_gone_loses_its_address_last() -> None:
    leases = Leases()
    old = leases.lend((pool(),), peer("old"))
    leases.give_back(old)
    young = leases.lend((pool(),), peer("young"))
    leases.give_back(young)
    for number in range(4):
        assert leases.lend((pool(),), peer(f"other {number}")) not in (old, young)
    assert leases.lend((pool(),), peer("next")) == old
    assert leases.lend((pool(),), peer("and next")) == young


def test_the_same_peer_at_the_same_place_keeps_its_address_while_it_starts_anew() -> None:
    """Reauthentication makes the new IKE SA before it breaks the old one: both have the address, and it stays one."""
    leases = Leases()
    mine = leases.lend((pool(),), peer("me"))
    assert leases.lend((pool(),), peer("me"), mine) == mine
    leases.give_back(mine)
    assert leases.lend((pool(),), peer("other"), mine) != mine
    leases.give_back(mine)
    assert leases.held(pool()) == 1


@pytest.mark.parametrize("wants", [True, False])
def test_another_with_the_same_identity_gets_another_address(*, wants: bool) -> None:
    """Two devices of one person: never two peers with one address."""
    leases = Leases()
    mine = leases.lend((pool(),), peer("me"))
    assert leases.lend((pool(),), peer("me", port=4501), mine if wants else None) != mine


def test_what_is_asked_for_is_given_where_it_is_free() -> None:
    """Section 3.15.1: "The CFG_REPLY Configuration payload MAY return that value, or a new one"."""
    leases, wanted = Leases(), ip_address("10.9.0.5")
    assert leases.lend((pool(),), peer("me"), wanted) == wanted
    assert leases.lend((pool(),), peer("you"), wanted) != wanted
    assert leases.lend((pool(),), peer("they"), ip_address("10.8.0.5")) in pool()
    leases.give_back(wanted)
    assert leases.lend((pool(),), peer("she"), wanted) != wanted, "it is kept for who had it"


def test_the_interface_identifier_is_kept() -> None:
    """Section 3.15.3."""
    six = pool("fd00:9::1", "fd00:9::ffff:ffff:ffff:ffff", 64)
    leases = Leases()
    assert leases.lend((six,), peer("me"), ip_address("2001:db8::abcd:1")) == ip_address("fd00:9::abcd:1")
    assert leases.lend((six,), peer("you"), ip_address("::abcd:1")) != ip_address("fd00:9::abcd:1")
    assert leases.lend((six,), peer("they"), ip_address("2001:db8::")) in six


def test_servers_of_the_pool_are_not_given_away() -> None:
    small = pool("10.9.0.1", "10.9.0.3", dns=(ip_address("10.9.0.1"),), nbns=(IPv4Address("10.9.0.3"),))
    leases = Leases()
    assert str(leases.lend((small,), peer("me"), ip_address("10.9.0.1"))) == "10.9.0.2"
    with pytest.raises(InternalAddressFailure):
        leases.lend((small,), peer("you"))


def test_the_second_pool_is_for_when_the_first_is_empty() -> None:
    leases, one, two = Leases(), pool("10.9.0.1", "10.9.0.1"), pool("10.9.1.1", "10.9.1.1")
    assert leases.lend((one, two), peer("a")) in one
    assert leases.lend((one, two), peer("b")) in two


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 10)
    leases, six = Leases(), pool("fd00:9::1", "fd00:9::ffff:ffff:ffff:ffff", 64)
    for number in range(50):
        leases.give_back(leases.lend((six,), peer(f"peer {number}")))
    assert len(leases._remembered) == len(leases._former) == 10


def test_what_was_never_lent_is_nobodys() -> None:
    leases = Leases()
    leases.give_back(ip_address("10.9.0.1"))
    assert leases.held(pool()) == 0


def test_a_pool_as_a_selector() -> None:
    assert format_selector(pool("10.9.0.0", "10.9.0.255").selector) == "10.9.0.0/24"


STEPS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2), st.none() | st.integers(0, 7), st.booleans()), max_size=60
)


@given(STEPS)
def test_never_two_peers_with_one_address(steps: list[tuple[str, int, int | None, bool]]) -> None:
    """Against a plain model: who holds what, however often lent and given back."""
    leases, road = Leases(), pool()
    held: dict[IPv4Address | IPv6Address, Holder] = {}
    count: Counter[IPv4Address | IPv6Address] = Counter()
    for name, port, wanted, is_lending in steps:
        holder = peer(name, port)
        mine = [address for address, other in held.items() if other == holder]
        if is_lending:
            try:
                address = leases.lend((road,), holder, None if wanted is None else road.first + wanted)
            except InternalAddressFailure:
                assert len(held) == 6
                continue
            assert held.setdefault(address, holder) == holder
            count[address] += 1
        elif mine:
            leases.give_back(mine[0])
            count[mine[0]] -= 1
            if not count[mine[0]]:
                del held[mine[0]]
        assert leases.held(road) == len(held)
