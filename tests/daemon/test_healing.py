"""A connection of ``start = "boot"`` comes back, whatever it lacks; with the real daemons."""

from __future__ import annotations

import pytest

from tests.daemon.site import Pair, eventually, left, right

pytestmark = pytest.mark.privileged

VOICE = """
[connection.office.child.voice]
local = "{}"
remote = "{}"
"""
OURS, THEIRS = "10.11.0.0/16", "10.12.0.0/16"
BOOT = 'start = "boot"'


def test_one_child_sa_that_the_peer_deleted_comes_back(pair: Pair) -> None:
    pair.configure(left(lines=BOOT, rest=VOICE.format(OURS, THEIRS)), right(rest=VOICE.format(THEIRS, OURS)))
    pair.start("gw2", "gw1")
    assert eventually(lambda: pair.is_up(child="voice"))
    before, lan = pair.child("gw1", child="voice"), pair.child("gw1")
    assert before is not None
    with pair.client("gw2") as client:
        client.down("office", "voice")
    assert eventually(lambda: pair.is_up(child="voice"))
    after = pair.child("gw1", child="voice")
    assert after is not None
    assert after.spi_in != before.spi_in
    still = pair.child("gw1")
    assert lan is not None
    assert still is not None
    assert still.spi_in == lan.spi_in


def test_one_child_sa_that_the_peer_refused_comes_when_it_agrees(pair: Pair) -> None:
    pair.configure(left(lines=BOOT, rest=VOICE.format(OURS, THEIRS)), right())
    pair.start("gw2", "gw1")
    assert eventually(pair.is_up)
    assert eventually(lambda: any(each.child == "voice" for each in pair.troubles("gw1")))
    pair.configure(None, right(rest=VOICE.format(THEIRS, OURS)))
    with pair.client("gw2") as client:
        client.reload()
    assert eventually(lambda: pair.is_up(child="voice"), seconds=30)
    assert not any(each.child == "voice" for each in pair.troubles("gw1"))


def test_what_a_person_brought_down_stays_down(pair: Pair) -> None:
    pair.configure(left(lines=BOOT, rest=VOICE.format(OURS, THEIRS)), right(rest=VOICE.format(THEIRS, OURS)))
    pair.start("gw2", "gw1")
    assert eventually(lambda: pair.is_up(child="voice"))
    with pair.client("gw1") as client:
        client.down("office", "voice")
        assert not eventually(lambda: pair.child("gw1", child="voice") is not None, seconds=3)
        client.up("office", "voice")
    assert eventually(lambda: pair.is_up(child="voice"))
