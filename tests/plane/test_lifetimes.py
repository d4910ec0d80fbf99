"""SAs that carry only so much (RFC 4301 section 4.4.2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from caponier.demo.topology import RIGHT
from caponier.demo.traffic import ping, transfer
from tests.plane.suites import GCM
from tests.plane.tunnel import UDP4, UNLIMITED, Lifetime, Tunnel, eventually, told

pytestmark = pytest.mark.privileged


@contextmanager
def limited(pair: Tunnel, outbound: Lifetime, inbound: Lifetime) -> Iterator[None]:
    """Alice's SA towards Bob is limited at one end or the other."""
    left, right = pair.left, pair.right
    for end, sealing, opening in ((left, outbound, UNLIMITED), (right, UNLIMITED, inbound)):
        end.generation += 1
        end.install_inbound(GCM, UDP4, lifetime=opening)
        end.install_outbound(GCM, UDP4, lifetime=sealing)
        end.install_policy()
    try:
        yield
        assert eventually(pair.is_quiet)
    finally:
        for end in pair.ends:
            end.remove()


def answers(pair: Tunnel, count: int) -> int:
    return ping(pair.world.alice, RIGHT.host, count=count, seconds=0.3).received


def test_an_outbound_sa_ends(pair: Tunnel) -> None:
    """First it is to be replaced, then it seals nothing more."""
    left = pair.left
    with limited(pair, (0, 0, 3, 5), UNLIMITED):
        handle = left.handle
        assert answers(pair, 2) == 2
        assert told(left.plane) == []
        assert answers(pair, 1) == 1
        assert told(left.plane) == [("expiring", handle, {})]
        assert answers(pair, 4) == 2
        assert told(left.plane) == [("expired", handle, {})]
        assert left.outbound() == (5, 5 * 36, {"expired": 2})


def test_an_inbound_sa_ends(pair: Tunnel) -> None:
    """The peer's packets are dropped, whatever it thinks of the SA."""
    right = pair.right
    with limited(pair, UNLIMITED, (100, 180, 0, 0)):
        assert answers(pair, 7) == 5
        assert right.inbound() == (5, 5 * 36, {"expired": 2})
        spi, details = right.spi_in, {"protocol": "esp"}
        assert told(right.plane) == [("inbound-expiring", spi, details), ("inbound-expired", spi, details)]


def test_octets_of_a_stream_count(pair: Tunnel) -> None:
    """A soft limit in the midst of super-packets: the transfer ends, and the event came once."""
    with limited(pair, (500_000, 0, 0, 0), (500_000, 0, 0, 0)):
        done = transfer(pair.world.alice, pair.world.bob, RIGHT.host, octets=1_000_000, filling=b"many octets")
        assert done.intact
        assert [kind for kind, *_ in told(pair.left.plane)] == ["expiring"]
        assert [kind for kind, *_ in told(pair.right.plane)] == ["inbound-expiring"]
