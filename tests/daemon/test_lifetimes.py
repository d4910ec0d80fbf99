"""Child SAs that carry, or last, only so much (RFC 4301 section 4.4.2.1), and what is told of dropped packets (section 9)."""

from __future__ import annotations

import pytest

from caponier.demo.topology import LEFT, RIGHT
from caponier.demo.traffic import ping
from tests.daemon.site import Pair, eventually, left, right

pytestmark = pytest.mark.privileged


def up(pair: Pair, child: str, lines: str = 'start = "boot"') -> int:
    """Bring the tunnel up with further lines for gw1's child; its inbound SPI."""
    pair.configure(left(lines=lines, child=f"{left().child}\n{child}"), right())
    pair.start("gw2", "gw1")
    pair.up()
    assert eventually(pair.is_up)
    found = pair.child("gw1")
    assert found is not None
    return found.spi_in


def is_renewed(pair: Pair, old: int) -> bool:
    """Whether another Child SA has taken the place of an old one."""
    child = pair.child("gw1")
    return child is not None and child.spi_in != old and pair.is_up()


@pytest.mark.parametrize("limit", ['life_bytes = "8 kB"', "life_packets = 8"])
def test_what_carried_its_share_is_made_anew(pair: Pair, limit: str) -> None:
    old = up(pair, limit)
    ping(pair.world.alice, RIGHT.host, count=12, seconds=0.3, payload=bytes(1000))
    assert eventually(lambda: is_renewed(pair, old))
    assert f"SPI {old:08x} in: its lifetime is reached" in pair.log("gw1")
    assert "the peer deleted" in pair.log("gw2")
    assert eventually(lambda: ping(pair.world.alice, RIGHT.host, count=1, seconds=0.3).received == 1)


def test_what_comes_in_counts_too(pair: Pair) -> None:
    old = up(pair, "life_packets = 6")
    for _ in range(12):
        ping(pair.world.bob, LEFT.host, count=1, seconds=0.1)
    assert eventually(lambda: is_renewed(pair, old))


def test_what_lasted_its_time_is_made_anew(pair: Pair) -> None:
    old = up(pair, "rekey_time = 0\nlife_time = 1")
    assert eventually(lambda: is_renewed(pair, old))
    pair.configure(left(), right())


def test_what_nobody_wants_is_not_made_anew(pair: Pair) -> None:
    """``start = "manual"``: who brought it up by hand is told, and decides."""
    up(pair, "rekey_time = 0\nlife_time = 1", lines="")
    assert eventually(lambda: pair.child("gw1") is None)
    assert pair.ike_sa("gw1") is not None
    assert "its lifetime is reached" in pair.log("gw1")


@pytest.mark.parametrize("limit", ["rekey_packets = 2", 'rekey_bytes = "1 kB"', "rekey_time = 1"])
def test_at_the_soft_limit_there_are_new_keys(pair: Pair, limit: str) -> None:
    """RFC 7296 section 2.8: the successor is there before the old one goes; no packet is lost."""
    old = up(pair, limit)
    assert ping(pair.world.alice, RIGHT.host, count=30, seconds=1, payload=bytes(100)).received == 30
    assert eventually(lambda: is_renewed(pair, old))
    assert f"SPI {old:08x} in: its time to be replaced is reached" in pair.log("gw1")


def test_a_packet_that_is_dropped_is_an_auditable_event(pair: Pair) -> None:
    """RFC 4301 section 9: SPI and addresses of a packet for which there is no SA."""
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    pair.up()
    sent = pair.world.gw2.run(
        [
            "python3",
            "-c",
            "import socket; socket.socket(2, 3, 50).sendto(bytes.fromhex('00abcdef00000007') + bytes(40), ('192.0.2.1', 0))",
        ]
    )
    assert sent.returncode == 0, sent.stderr
    told = "ESP packet from 192.0.2.2 to 192.0.2.1, SPI 00abcdef, sequence number 7: no SA has this SPI (unknown-spi)"
    assert eventually(lambda: told in pair.log("gw1"))
    with pair.client("gw1") as client:
        events = client.events()
        assert any(event.kind == "dropped" and told in event.text for event in events)
