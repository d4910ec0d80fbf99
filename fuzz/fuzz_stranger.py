"""An endpoint and a stranger who sends it datagrams: any, in any order (RFC 7296 sections 2.4, 2.6 and 2.21)."""

from __future__ import annotations

from functools import cache

from caponier.protocols.ike.path import NatKeepalive, Path
from caponier.protocols.ike.policy import Settings
from fuzz.framing import join, split
from tests.exchange.world import LEFT, RIGHT, Host, World, connection
from tests.wire.table import MESSAGES

PATH = Path(RIGHT, 500, LEFT, 500)
MOST = 12  #: datagrams of one input


@cache
def _genuine() -> tuple[bytes, ...]:
    """What an honest peer sends: everything comes from a seed, so that it can be sent again to another endpoint."""
    world = World()
    world.connect(connection("left"), connection("right"))
    world.run(1)
    assert len(world.right.installed) == 1
    return tuple(octets for side, octets, _ in world.sent if side == "left")


def seeds() -> dict[str, bytes]:
    """Datagrams, each behind its length."""
    rows = [row.octets for row in MESSAGES]
    found = {f"message-{row.name}": join([row.octets]) for row in MESSAGES}
    return found | {
        "all-messages": join(rows),
        "handshake": join(_genuine()),
        "handshake-twice": join([*_genuine(), *_genuine()]),
        "handshake-backwards": join(reversed(_genuine())),
        "first-only": join([_genuine()[0]] * 3),
    }


def one(octets: bytes) -> None:
    """Nothing makes the endpoint raise, and nobody gets in without the secret."""
    host = Host(World().seed + 2, Settings())
    endpoint = host.endpoint
    endpoint.add_connection(connection("right"))
    datagrams = split(octets, MOST)
    now = 0.0
    for datagram in datagrams:
        endpoint.receive_datagram(datagram, PATH, now)
        answered = _settle(host, now)
        assert answered <= 1, "one datagram is answered by one at most"
        now += 0.01
    assert host.installed == {} or set(_genuine()[:2]) <= set(datagrams), "a stranger got in"
    _end(host, now)


def _settle(host: Host, now: float) -> int:
    """Do what the endpoint asks for; the number of datagrams that it sends."""
    sent = 0
    for _ in range(100):
        effect = host.endpoint.next_effect()
        if effect is None:
            break
        host.endpoint.complete(effect, host.perform(effect), now)
    for datagram in host.endpoint.datagrams_to_send():
        sent += not isinstance(datagram, NatKeepalive)
    while (event := host.endpoint.next_event()) is not None:
        assert repr(event)
    return sent


def _end(host: Host, now: float) -> None:
    """Time passes: what is half open is forgotten, and no SPI stays behind."""
    for _ in range(200):
        at = host.endpoint.next_timeout()
        if at is None:
            break
        now = max(now, at)
        host.endpoint.handle_timeout(now)
        _settle(host, now)
    assert host.endpoint.half_open == 0
    assert host.spis == set(host.installed)
