"""Cookies, half-open limits, answer budget, refusals (RFC 7296 sections 2.6 and 2.21.4)."""

from __future__ import annotations

import itertools
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Limits
from caponier.protocols.ike.v2.cookies import ROTATION_SECONDS, CookieJar
from caponier.protocols.ike.v2.half_open import AnswerBudget, HalfOpen, Refusals

HERE, THERE = ip_address("192.0.2.1"), ip_address("192.0.2.2")
NI, SPI = b"n" * 32, b"s" * 8


def jar() -> CookieJar:
    counter = itertools.count(1)
    return CookieJar(lambda count: bytes((next(counter),)) * count)


def test_a_cookie_is_good_for_its_sender_alone() -> None:
    """Section 2.6: bound to Ni, IPi, SPIi and a secret."""
    cookies = jar()
    baked = cookies.bake(NI, THERE, SPI, 0)
    assert 1 <= len(baked) <= 64
    assert cookies.recognizes(baked, NI, THERE, SPI, 1)
    assert not cookies.recognizes(baked, NI, HERE, SPI, 1)
    assert not cookies.recognizes(baked, NI + b"n", THERE, SPI, 1)
    assert not cookies.recognizes(baked, NI, THERE, b"t" * 8, 1)
    assert not cookies.recognizes(baked[:-1], NI, THERE, SPI, 1)
    assert not cookies.recognizes(b"", NI, THERE, SPI, 1)


@given(st.floats(0, 10 * ROTATION_SECONDS), st.floats(0, 5 * ROTATION_SECONDS))
def test_a_cookie_lives_for_one_to_two_rotations(born: float, age: float) -> None:
    cookies = jar()
    cookies.bake(NI, THERE, SPI, 0)
    baked = cookies.bake(NI, THERE, SPI, born)
    good = cookies.recognizes(baked, NI, THERE, SPI, born + age)
    if age < ROTATION_SECONDS * 0.99:
        assert good
    if age > ROTATION_SECONDS * 2.01:
        assert not good


def test_half_open_is_counted_in_all_and_for_each_origin() -> None:
    half_open = HalfOpen(Limits(half_open=5, half_open_per_address=2, cookie_threshold=3))
    for number in (1, 1, 2):
        half_open.enter(ip_address(f"198.51.100.{number}"))
    assert half_open.demands_cookie(ip_address("203.0.113.9"))
    assert half_open.refusal(ip_address("198.51.100.1")) == "half-open-limit-per-address"
    assert half_open.refusal(ip_address("198.51.100.2")) is None
    half_open.enter(THERE)
    half_open.enter(HERE)
    assert half_open.refusal(ip_address("198.51.100.2")) == "half-open-limit"
    half_open.leave(ip_address("198.51.100.1"))
    assert half_open.refusal(ip_address("198.51.100.1")) is None


def test_a_quarter_of_what_an_address_may_have_is_given_without_a_cookie() -> None:
    """So that who only pretends to be a peer does not use up all that the peer may have (section 2.6)."""
    half_open = HalfOpen(Limits(half_open_per_address=8))
    for _ in range(2):
        assert not half_open.demands_cookie(THERE)
        half_open.enter(THERE)
    assert half_open.demands_cookie(THERE)
    assert not half_open.demands_cookie(HERE)


def test_an_ipv6_host_counts_by_its_network() -> None:
    half_open = HalfOpen(Limits(half_open_per_address=2))
    for number in (1, 2):
        half_open.enter(ip_address(f"2001:db8::{number}"))
    assert half_open.refusal(ip_address("2001:db8::ffff"))
    assert half_open.refusal(ip_address("2001:db8:0:1::1")) is None


def test_leaving_keeps_nothing() -> None:
    half_open = HalfOpen(Limits())
    for number in range(100):
        half_open.enter(ip_address(number))
        half_open.leave(ip_address(number))
    assert half_open.total == 0
    assert not half_open._by_origin


def test_the_answer_budget_refills_with_time_and_no_further() -> None:
    budget = AnswerBudget()
    assert sum(budget.take(0) for _ in range(1000)) == 100
    assert sum(budget.take(0.5) for _ in range(1000)) == 50
    assert sum(budget.take(1000) for _ in range(1000)) == 100


def test_refusals_are_remembered_for_their_sender_and_in_bounds() -> None:
    refusals = Refusals()
    path, other = Path(HERE, 500, THERE, 500), Path(HERE, 500, THERE, 501)
    refusals.remember(path, b"request", b"answer")
    assert refusals.find(path, b"request") == b"answer"
    assert refusals.find(other, b"request") is None
    for number in range(1000):
        refusals.remember(path, number.to_bytes(4), b"answer")
    assert refusals.find(path, b"request") is None
    assert len(refusals._answers) <= 256
    refusals.forget_all()
    assert refusals.find(path, (999).to_bytes(4)) is None
