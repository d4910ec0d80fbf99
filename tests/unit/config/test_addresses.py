"""Pools and internal addresses of the configuration (RFC 7296 section 2.19)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from caponier.mechanisms.negotiation.selectors import format_selector
from tests.unit.config.site import findings, furnish, loaded

POOLS = """
[pool.four]
addresses = "10.9.0.0/24"
dns = ["10.1.0.53", "fd00:1::53"]
nbns = ["10.1.0.7"]
subnets = ["10.1.0.0/16"]

[pool.six]
addresses = "fd00:9::/64"

[pool.range]
addresses = "10.8.0.10-10.8.0.19"
"""
GATEWAY = """
[connection.road]
pool = ["four", "six"]
local = { id = "gw1.example.com", secret = "file:office.psk" }
remote = { id = "*.example.com" }

[connection.road.child.lan]
local = ["10.1.0.0/16"]
remote = "dynamic"
"""
WARRIOR = """
[connection.home]
virtual_ip = "any"
local = { id = "user@example.com", secret = "file:office.psk" }
remote = { address = "192.0.2.2", id = "gw1.example.com" }

[connection.home.child.lan]
local = "dynamic"
remote = ["10.1.0.0/16"]
"""
GOOD = POOLS + GATEWAY + WARRIOR


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return furnish(tmp_path)


def test_a_gateway_and_a_road_warrior(file: Path) -> None:
    found = loaded(file, GOOD)
    road, home = found.connections["road"], found.connections["home"]
    four, six = road.pools
    assert (four.first, four.last, four.prefix_length) == (ip_address("10.9.0.1"), ip_address("10.9.0.254"), 24)
    assert (str(six.first), str(six.last)) == ("fd00:9::1", "fd00:9::ffff:ffff:ffff:ffff")
    assert four.subnets == (ip_network("10.1.0.0/16"),)
    assert list(map(str, (*four.dns, *four.nbns))) == ["10.1.0.53", "fd00:1::53", "10.1.0.7"]
    (lan,) = road.children
    assert (lan.local_is_assigned, lan.remote_is_assigned) == (False, True)
    assert [format_selector(each) for each in lan.remote] == [
        "10.9.0.1-10.9.0.254",
        "fd00:9::1-fd00:9::ffff:ffff:ffff:ffff",
    ]
    assert list(map(str, home.virtual_ip)) == ["0.0.0.0", "::"]
    assert home.takes_dns
    assert not road.tells_version
    (lan,) = home.children
    assert (lan.local_is_assigned, lan.remote_is_assigned) == (True, False)
    assert [format_selector(each) for each in lan.local] == ["0.0.0.0/0", "::/0"]
    assert [pool.name for pool in found.pools] == ["four", "six", "range"]


@pytest.mark.parametrize(
    ("text", "first", "last", "length"),
    [
        ("10.9.0.0/30", "10.9.0.1", "10.9.0.2", 30),
        ("10.9.0.0/31", "10.9.0.0", "10.9.0.1", 31),
        ("10.9.0.4", "10.9.0.4", "10.9.0.4", 32),
        ("10.9.0.4-10.9.0.9", "10.9.0.4", "10.9.0.9", 32),
        ("fd00:9::/126", "fd00:9::1", "fd00:9::3", 126),
        ("fd00:9::4-fd00:9::9", "fd00:9::4", "fd00:9::9", 128),
    ],
)
def test_what_a_pool_spans(file: Path, text: str, first: str, last: str, length: int) -> None:
    """The address of a network and its broadcast address are no host's."""
    (pool,) = loaded(file, f'[pool.one]\naddresses = "{text}"\n').pools
    assert (str(pool.first), str(pool.last), pool.prefix_length) == (first, last, length)


@pytest.mark.parametrize(
    ("old", "new", "key", "message", "hint"),
    [
        ('pool = ["four", "six"]', 'pool = ["for"]', "connection.road.pool", "there is no pool named 'for'", "'four'"),
        ('"10.9.0.0/24"', '"10.9.0.7/24"', "pool.four.addresses", "not the first address", "10.9.0.0/24"),
        ('"10.9.0.0/24"', '"10.9.0.0/24[tcp]"', "pool.four.addresses", "not of protocols", "brackets"),
        ('"10.8.0.10-10.8.0.19"', '"10.9.0.10-10.9.0.19"', "pool.range.addresses", "pool four has some", "one pool"),
        ('"10.1.0.53", ', '"127.0.0.53", ', "pool.four.dns", "no server that a peer could reach", "in the network"),
        ('"10.1.0.53", ', '"dns", ', "pool.four.dns", "no IP address", "10.1.0.53"),
        ('["10.1.0.7"]', '["fd00:1::7"]', "pool.four.nbns", "IPv4", None),
        ('subnets = ["10.1.0.0/16"]', 'subnets = ["10.1.0.1/16"]', "pool.four.subnets", "no network", "10.1.0.0/16"),
        ('virtual_ip = "any"', "", "connection.home.child.lan.local", "needs virtual_ip", "set virtual_ip"),
        ('pool = ["four", "six"]', "", "connection.road.child.lan.remote", "needs pool", "set pool"),
        ('virtual_ip = "any"', 'virtual_ip = "all"', "connection.home.virtual_ip", "no IP address", '"any"'),
        (
            'virtual_ip = "any"',
            'virtual_ip = ["::", "fd00::1"]',
            "connection.home.virtual_ip",
            "more than one IPv6",
            None,
        ),
        ('virtual_ip = "any"', 'virtual_ip = "any"\npool = "four"', "connection.home.pool", "either asks", "leave one"),
        ('local = "dynamic"', 'local = "10.5.0.0/16"', "connection.home.virtual_ip", "no child is for", "dynamic"),
        (
            'local = "dynamic"',
            'local = ["dynamic", "10.5.0.0/16"]',
            "connection.home.child.lan.local",
            "stands alone",
            None,
        ),
        (
            'local = "dynamic"',
            'local = "dynamic"\nmode = "transport"',
            "connection.home.child.lan.local",
            "tunnel",
            "tunnel",
        ),
    ],
)
def test_mistakes_are_named(file: Path, old: str, new: str, key: str, message: str, hint: str | None) -> None:
    """File, key, what was found, what is allowed."""
    assert GOOD.count(old) == 1
    found = findings(file, GOOD.replace(old, new))
    (named,) = [each for each in found if each.key == key and message in each.message]
    assert hint is None or hint in (named.hint or "")
