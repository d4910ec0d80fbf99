"""Reauthentication under traffic: the real daemons, the real plane, and not one packet lost (RFC 7296 section 2.8.3)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from caponier.demo.topology import LEFT, RIGHT
from caponier.demo.traffic import ping
from tests.daemon.site import Pair, eventually, left, right

pytestmark = pytest.mark.privileged


@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_no_packet_is_lost_by_a_new_authentication(pair: Pair, side: str) -> None:
    """By our own clock, and by the AUTH_LIFETIME of the peer (RFC 4478)."""
    lines = "reauth = 10"
    pair.configure(
        left(lines=lines if side == "initiator" else ""),
        right(lines=lines if side == "responder" else ""),
    )
    pair.start("gw2", "gw1")
    pair.up()
    (old,) = {sa.spi_i for sa in pair.status("gw1").ike_sas}
    stop = threading.Event()

    def pings(here: object, there: str) -> tuple[int, int]:
        sent = received = 0
        while not stop.is_set() and sent < 1_000_000:
            found = ping(here, there, count=100)  # type: ignore[arg-type]
            sent, received = sent + found.sent, received + found.received
        return sent, received

    with ThreadPoolExecutor(2) as pool:
        traffic = [pool.submit(pings, pair.world.alice, RIGHT.host), pool.submit(pings, pair.world.bob, LEFT.host6)]
        try:
            assert eventually(lambda: old not in {sa.spi_i for sa in pair.status("gw1").ike_sas}, seconds=20)
            assert eventually(pair.is_up)
        finally:
            stop.set()
        for each in traffic:
            sent, received = each.result()
            assert sent == received > 100
    assert len(pair.status("gw2").ike_sas) == 1
    for name in ("gw1", "gw2"):
        assert not pair.troubles(name)
    pair.carries()
