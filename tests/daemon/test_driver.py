"""Bugs of the core, should there be any: they end no daemon, stop no timer, and fill no disk."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, cast

import pytest

from caponier.daemon.driver import Driver
from caponier.daemon.engines.base import Engine
from caponier.daemon.policies import Policies
from caponier.daemon.sockets import MARKER, IkePort, Sockets
from caponier.daemon.ways import Ways
from caponier.doi.ikev2 import ProtocolId
from caponier.errors import InternalError
from caponier.mechanisms.authentication.signatures import PrivateKey, SignatureScheme
from caponier.protocols.ike.effects import AllocateSpi, Effect, Sign
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import Settings

PATH = Path(ip_address("192.0.2.1"), 500, ip_address("192.0.2.9"), 500)


def broken(*_: object) -> None:
    raise ZeroDivisionError("a bug")


def driver() -> Driver:
    """One without engine and policies: nothing here comes so far."""
    return Driver(
        Settings(),
        Sockets((), (), ()),
        cast("Engine", None),
        cast("Policies", None),
        cast("Ways", None),
        lambda _: None,
    )


def test_a_bug_in_the_core_costs_one_datagram(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def flood() -> Driver:
        driven = driver()
        monkeypatch.setattr(driven.endpoint, "receive_datagram", broken)
        for _ in range(1000):
            driven._deliver(b"", PATH)
        return driven

    driven = asyncio.run(flood())
    assert driven.drops["internal-error"] == 1000
    assert 0 < len(caplog.records) < 100
    assert "192.0.2.9" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_bug_in_a_timer_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait() -> tuple[int, Any]:
        driven = driver()
        monkeypatch.setattr(driven.endpoint, "handle_timeout", broken)
        monkeypatch.setattr(driven.endpoint, "next_timeout", lambda: driven.now)
        driven.pump()
        for _ in range(1000):
            if driven.drops["internal-error"] >= 3:
                break
            await asyncio.sleep(0)
        driven.stop()
        return driven.drops["internal-error"], driven._timer

    times, timer = asyncio.run(wait())
    assert times >= 3
    assert timer is not None
    assert "a timer could not be handled" in caplog.text
    assert all(record.levelno == logging.ERROR for record in caplog.records)


class BrokenEngine:
    """An engine with a bug in everything."""

    def __getattr__(self, name: str) -> Any:
        return broken


class BrokenKey:
    """A key with one."""

    def sign(self, *_: object) -> bytes:
        raise ZeroDivisionError("a bug")


@pytest.mark.parametrize(
    "effect", [AllocateSpi(ProtocolId.ESP), Sign(cast("PrivateKey", BrokenKey()), cast("SignatureScheme", None), b"")]
)
def test_a_bug_in_an_effect_is_heard_by_who_waits_for_it(
    effect: Effect, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[object] = []

    async def perform() -> Driver:
        driven = Driver(
            Settings(),
            Sockets((), (), ()),
            cast("Engine", BrokenEngine()),
            cast("Policies", None),
            cast("Ways", None),
            lambda _: None,
        )
        waiting = [effect]
        monkeypatch.setattr(driven.endpoint, "next_effect", lambda: waiting.pop() if waiting else None)
        monkeypatch.setattr(driven.endpoint, "complete", lambda _, result, __: results.append(result))
        driven.pump()
        for _ in range(1000):
            if results:
                break
            await asyncio.sleep(0.01)
        return driven

    driven = asyncio.run(perform())
    assert [type(each) for each in results] == [InternalError]
    assert driven.drops["internal-error"] == 1
    assert "ZeroDivisionError" in caplog.text


# -- what arrives on the port that IKE shares with ESP


@pytest.fixture
def ends() -> Iterator[tuple[IkePort, socket.socket]]:
    """A port as the daemon has it, on the loopback interface, and somebody who sends to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        ours.setblocking(False)
        ours.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        ours.bind(("127.0.0.1", 0))
        theirs.connect(ours.getsockname())
        yield IkePort(ours, socket.AF_INET, ours.getsockname()[1], encapsulated=True), theirs


def test_the_marker_is_taken_off_and_the_rest_is_counted(ends: tuple[IkePort, socket.socket]) -> None:
    """RFC 3948 sections 2.2 and 2.3."""
    port, sender = ends
    for octets in (MARKER + b"ike", b"\xff", b"", b"\0\0\0", MARKER, b"\xfe", b"\xff\xff"):
        sender.send(octets)
    delivered: list[tuple[bytes, Path]] = []
    others = port.receive(lambda octets, path: delivered.append((octets, path)))
    assert [octets for octets, _ in delivered] == [b"ike", b""]
    assert others == {"keepalive": 1, "not-ike": 4}
    (_, path), _ = delivered
    assert (path.local, path.remote, path.encapsulated) == (ip_address("127.0.0.1"), ip_address("127.0.0.1"), True)
    assert (path.local_port, path.remote_port) == (port.port, sender.getsockname()[1])


def test_a_burst_leaves_a_turn_to_others(ends: tuple[IkePort, socket.socket]) -> None:
    port, sender = ends
    for _ in range(100):
        sender.send(MARKER)
    delivered: list[bytes] = []
    port.receive(lambda octets, _: delivered.append(octets))
    first = len(delivered)
    assert 0 < first < 100
    port.receive(lambda octets, _: delivered.append(octets))
    assert len(delivered) > first
