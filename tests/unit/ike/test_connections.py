"""Connections are found by name and by the peer's address (RFC 4301 section 4.4.3)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from caponier.errors import MisuseError
from caponier.protocols.ike.connections import Connections
from caponier.protocols.ike.path import Path
from tests.exchange.world import LEFT, RIGHT, connection

FROM_LEFT = Path(RIGHT, 500, LEFT, 500)


def test_who_names_the_address_comes_before_who_takes_everybody() -> None:
    found = Connections()
    found.add(replace(connection("right", anywhere=True), name="everybody"))
    found.add(connection("right"))
    assert [each.name for each in found.at(FROM_LEFT)] == ["office", "everybody"]
    assert [each.name for each in found.at(replace(FROM_LEFT, remote=ip_address("203.0.113.9")))] == ["everybody"]


def test_a_connection_of_another_address_of_ours_is_no_candidate() -> None:
    found = Connections()
    found.add(connection("right"))
    assert found.at(replace(FROM_LEFT, local=ip_address("203.0.113.9"))) == ()


def test_what_is_removed_leaves_nothing() -> None:
    found = Connections()
    found.add(connection("right"))
    found.add(replace(connection("right", anywhere=True), name="everybody"))
    found.remove("office")
    found.remove("everybody")
    found.remove("nobody")
    assert "office" not in found
    assert found.at(FROM_LEFT) == ()
    assert not found._by_address
    with pytest.raises(MisuseError, match="no connection named office"):
        found.named("office")


def test_names_are_unique_and_children_have_policies() -> None:
    found = Connections()
    found.add(connection("right"))
    with pytest.raises(MisuseError, match="office already"):
        found.add(connection("right"))
    with pytest.raises(MisuseError, match="no children"):
        found.add(replace(connection("right"), name="empty", children=()))
    assert found.policy("office", "lan").name == "lan"
    with pytest.raises(MisuseError, match="no child named wan"):
        found.policy("office", "wan")
