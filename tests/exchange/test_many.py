"""Ten thousand peers of one gateway, in simulated time: what each of them costs does not depend on how many there are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from types import FrameType
from typing import Any

import pytest

from caponier.doi.ikev2 import ProtocolId
from caponier.mechanisms.authentication.identity import parse_identity_pattern
from caponier.protocols.ike.path import Datagram, Path
from caponier.protocols.ike.policy import Connection, Local, Remote, Settings
from tests.exchange.world import RIGHT, Host, child, connection, key

PEERS = 10_000
FIRST = IPv4Address("10.0.0.1")
QUIET = 7200.0  #: seconds of silence until the gateway asks for a sign of life
PATTERN = parse_identity_pattern("left.example.com")


def everybody() -> Connection:
    """The gateway's: one for all."""
    policy = child("net", "0.0.0.0/0", "10.0.0.0/8")
    found = connection("right", anywhere=True, children=(policy,), liveness=QUIET)
    return replace(
        found, name="everybody", remote=replace(found.remote, identity=parse_identity_pattern("*.example.com"))
    )


def only(number: int) -> Connection:
    """The gateway's, for one peer alone."""
    found = everybody()
    return replace(found, name=f"peer{number}", remote=Remote((FIRST + number,), PATTERN, key()))


def peers(number: int) -> Connection:
    """A peer's own."""
    address = FIRST + number
    policy = child("net", f"{address}/32", "0.0.0.0/0")
    found = connection("left", children=(policy,))
    identity = replace(found.local.identity, value=f"peer{number}.example.com".encode())
    return replace(found, name=f"peer{number}", local=Local((address,), identity, key()))


class Crowd:
    """A gateway, and all its peers at one endpoint; datagrams arrive at once."""

    def __init__(self) -> None:
        self.gateway, self.others = Host(1, Settings()), Host(2, Settings())
        self.now = 0.0
        self.gateway.endpoint.add_connection(everybody())

    def connect(self, numbers: range) -> None:
        for number in numbers:
            self.others.endpoint.add_connection(peers(number))
            self.others.endpoint.initiate(f"peer{number}", Path(FIRST + number, 500, RIGHT, 500), self.now)
            self.settle()

    def settle(self) -> None:
        """Until nobody says anything more."""
        is_busy = True
        while is_busy:
            is_busy = self._carry(self.others, self.gateway) | self._carry(self.gateway, self.others)

    def _carry(self, sender: Host, receiver: Host) -> bool:
        while (effect := sender.endpoint.next_effect()) is not None:
            sender.endpoint.complete(effect, sender.perform(effect), self.now)
        while sender.endpoint.next_event() is not None:
            pass
        datagrams = [each for each in sender.endpoint.datagrams_to_send() if isinstance(each, Datagram)]
        for datagram in datagrams:
            path = datagram.path
            turned = Path(path.remote, path.remote_port, path.local, path.local_port, path.encapsulated)
            receiver.endpoint.receive_datagram(datagram.octets, turned, self.now)
        return bool(datagrams)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            instants = [host.endpoint.next_timeout() for host in (self.gateway, self.others)]
            instant = min((each for each in instants if each is not None), default=None)
            if instant is None or instant > end:
                self.now = end
                return
            self.now = max(self.now, instant)
            for host in (self.gateway, self.others):
                host.endpoint.handle_timeout(self.now)
            self.settle()


def test_ten_thousand_peers_from_their_first_message_to_their_last() -> None:
    """Established, idle for hours with signs of life, new keys for some, all ended, and nothing is left."""
    crowd = Crowd()
    crowd.connect(range(PEERS))
    gateway = crowd.gateway
    assert gateway.endpoint.sa_count == len(gateway.installed) == PEERS
    crowd.run(QUIET + 60)
    assert gateway.endpoint.sa_count == len(gateway.installed) == PEERS
    assert min(sa.last_heard for sa in gateway.sas) >= QUIET
    for spi_in in list(gateway.installed)[:500]:
        gateway.endpoint.rekey_child(ProtocolId.ESP, spi_in, crowd.now)
    crowd.settle()
    crowd.run(60)
    assert len(gateway.installed) == PEERS
    assert len(gateway.removed) == 500
    gateway.endpoint.terminate("everybody", crowd.now)
    crowd.settle()
    assert gateway.endpoint.is_idle
    crowd.run(120)
    for host in (gateway, crowd.others):
        endpoint = host.endpoint
        assert not host.installed
        assert not host.spis
        assert endpoint.sa_count == endpoint.half_open == len(endpoint._agenda) == 0
        assert not endpoint._waiting
        assert not endpoint._by_child
        assert not endpoint._sas._by_connection
        assert not endpoint._sas._by_peer
        assert not endpoint._sas._lingering


@contextmanager
def counted_steps() -> Iterator[list[int]]:
    """Counts the lines that run: unlike seconds, they are the same every time."""
    steps, former = [0], sys.gettrace()

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        steps[0] += event == "line"
        return trace

    sys.settrace(trace)
    try:
        yield steps
    finally:
        sys.settrace(former)


def with_peers(crowd: Crowd, count: int) -> None:
    crowd.connect(range(crowd.gateway.endpoint.sa_count, count))


def with_connections(crowd: Crowd, count: int) -> None:
    for number in range(2, count):
        crowd.gateway.endpoint.add_connection(only(number + 1_000_000))


@pytest.mark.parametrize("grow", [with_peers, with_connections])
def test_no_step_more_among_many(grow: Callable[[Crowd, int], None]) -> None:
    """A handshake, a sign of life, new keys and the end take the same steps among few and among many."""
    found = []
    for count in (10, 1000):
        crowd = Crowd()
        grow(crowd, count)
        number = count + 5000
        with counted_steps() as steps:
            crowd.connect(range(number, number + 1))
            crowd.gateway.endpoint.rekey_child(ProtocolId.ESP, next(reversed(crowd.gateway.installed)), crowd.now)
            crowd.settle()
            crowd.others.endpoint.rekey(f"peer{number}", crowd.now)
            crowd.settle()
            crowd.others.endpoint.terminate(f"peer{number}", crowd.now)
            crowd.settle()
        found.append(steps[0])
    assert found[1] == pytest.approx(found[0], rel=0.05)
