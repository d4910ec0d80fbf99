"""Two gateways with a daemon each, from files that the tests write: what all tests of the daemon stand on."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from caponier.api.client import Client
from caponier.api.schema import ChildSa, IkeSa, Status, Trouble
from caponier.demo.gateways import PROGRAM, Gateway, start, stop
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Site, Topology
from caponier.demo.traffic import ping, transfer

IMPATIENT = Path(__file__).with_name("impatient.py")
FILLING = b"clear text that must not be seen on the wire. "
CONNECTION = "office"


@dataclass(frozen=True)
class Text:
    """The configuration of one gateway, in pieces that a test can exchange.

    Attributes:
        local: lines of the table ``local``, besides its address.
        remote: lines of the table ``remote``, besides its address.
        lines: further lines of the connection.
        child: lines of the child ``lan``.
        daemon: further lines of the table ``daemon``.
        rest: what comes after it all.
        family: of the gateways' own addresses.
    """

    local: str
    remote: str
    child: str
    lines: str = ""
    daemon: str = ""
    rest: str = ""
    family: int = 4

    def render(self, here: Site, there: Site, control: Path) -> str:
        ours, theirs = (here.outer, there.outer) if self.family == 4 else (here.outer6, there.outer6)
        return f"""\
[daemon]
control = "{control}"
{self.daemon}

[connection.{CONNECTION}]
{self.lines}

[connection.{CONNECTION}.local]
address = "{ours}"
{self.local}

[connection.{CONNECTION}.remote]
address = "{theirs}"
{self.remote}

[connection.{CONNECTION}.child.lan]
{self.child}
{self.rest}
"""


def text_of(here: Site, there: Site, **changes: Any) -> Text:
    """A configuration that works with the other side's."""
    usual = Text(
        local=f'id = "{here.gateway_name}.example.com"\nsecret = "file:office.psk"',
        remote=f'id = "{there.gateway_name}.example.com"',
        child=f'local = ["{here.network}", "{here.network6}"]\nremote = ["{there.network}", "{there.network6}"]',
    )
    return replace(usual, **changes)


def left(**changes: Any) -> Text:
    return text_of(LEFT, RIGHT, **changes)


def right(**changes: Any) -> Text:
    return text_of(RIGHT, LEFT, **changes)


def eventually(condition: Callable[[], object], seconds: float = 15.0) -> bool:
    """Whether a condition becomes true; bounded."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


@dataclass
class Pair:
    """Two gateways; their daemons run when they are told to.

    A daemon that runs already is given its new configuration by a reload, so that the tests of a module can share it:
    :meth:`rest` takes all connections away again.

    Attributes:
        world: the namespaces.
        directory: of both configurations, logs and control sockets.
        secret: the preshared key, as it stands in its file.
        running: by name.
        patient: the names of those that wait as long as everybody does.
        marks: how much of each log is of tests before.
    """

    world: Topology
    directory: Path
    secret: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(24)).decode())
    running: dict[str, Gateway] = field(default_factory=dict)
    patient: set[str] = field(default_factory=set)
    marks: dict[str, int] = field(default_factory=dict)

    # -- files

    def put(self, name: str, octets: bytes) -> None:
        """A file that only its owner can read."""
        path = self.directory / name
        path.write_bytes(octets)
        path.chmod(0o600)

    def control(self, name: str) -> Path:
        return self.directory / f"{name}.sock"

    def configure(self, gw1: Text | None, gw2: Text | None = None) -> None:
        for name, text, here, there in (("gw1", gw1, LEFT, RIGHT), ("gw2", gw2, RIGHT, LEFT)):
            if text is not None:
                (self.directory / f"{name}.toml").write_text(text.render(here, there, self.control(name)))

    def log(self, name: str) -> str:
        """What a daemon told since the test began."""
        path = self.directory / f"{name}.log"
        return path.read_text()[self.marks.get(name, 0) :] if path.exists() else ""

    def begin(self) -> None:
        """A test begins."""
        self.put("office.psk", self.secret.encode() + b"\n")
        for name in self.running:
            self.marks[name] = len((self.directory / f"{name}.log").read_text())

    def rest(self) -> None:
        """A test ends: no connection is left on either side, and no story of a bug."""
        for name in tuple(self.running):
            (self.directory / f"{name}.toml").write_text(f'[daemon]\ncontrol = "{self.control(name)}"\n')
            if name in self.patient or self.process(name).poll() is not None:
                self.stop(name)
                continue
            with self.client(name) as client:
                client.reload()
            self.require_no_bug(name)

    def require_no_bug(self, name: str) -> None:
        log = self.log(name)
        assert "Traceback" not in log, f"the log of {name} has a traceback:\n{log[-6000:]}"

    # -- processes

    def namespace(self, name: str) -> Namespace:
        return self.world.gw1 if name == "gw1" else self.world.gw2

    def start(self, *names: str, impatient: bool = True) -> None:
        """Start daemons, or let those that run take their new configuration, one after the other.

        Impatient ones wait less for answers, so that silence is noticed within a second or two.
        """
        program = [str(IMPATIENT)] if impatient else PROGRAM
        for name in names:
            if name in self.running and not impatient:
                self.stop(name)
        fresh = [name for name in names if name not in self.running]
        with ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda name: start(name, self.namespace(name), self.directory, program=program), fresh)
            self.running |= zip(fresh, made, strict=True)
        for name in fresh:
            self.marks[name] = 0
            (self.patient.discard if impatient else self.patient.add)(name)
        for name in names:
            if name not in fresh:
                with self.client(name) as client:
                    client.reload()

    def stop(self, *names: str) -> None:
        """End daemons properly; each has to end well and to have told of no bug."""
        for name in names:
            code = stop(self.running.pop(name))
            assert code == 0, f"the daemon of {name} ended with {code}:\n{self.log(name)[-3000:]}"
            self.require_no_bug(name)

    def absent(self, *names: str) -> None:
        """Let no daemon run there."""
        self.stop(*(name for name in names if name in self.running))

    def kill(self, name: str) -> None:
        """End a daemon without a word."""
        process = self.process(name)
        del self.running[name]
        process.kill()
        process.wait(10)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.process(name).send_signal(number)

    def process(self, name: str) -> subprocess.Popen[bytes]:
        process = self.running[name].process
        assert process is not None
        return process

    def close(self) -> None:
        for name in tuple(self.running):
            self.stop(name)

    # -- what they say

    def client(self, name: str) -> Client:
        return self.running[name].client()

    def status(self, name: str) -> Status:
        with self.client(name) as client:
            return client.status()

    def up(self, name: str = "gw1") -> None:
        with self.client(name) as client:
            client.up(CONNECTION)

    def ike_sa(self, name: str, connection: str = CONNECTION) -> IkeSa | None:
        """The established IKE SA of a connection."""
        found = [sa for sa in self.status(name).ike_sas if sa.connection == connection and sa.phase == "established"]
        return found[0] if found else None

    def child(self, name: str, connection: str = CONNECTION, child: str = "lan") -> ChildSa | None:
        sa = self.ike_sa(name, connection)
        return next((each for each in sa.children if each.name == child), None) if sa else None

    def is_up(self, connection: str = CONNECTION, child: str = "lan") -> bool:
        """Whether both sides have the same Child SA."""
        ours, theirs = self.child("gw1", connection, child), self.child("gw2", connection, child)
        return (
            ours is not None and theirs is not None and (ours.spi_in, ours.spi_out) == (theirs.spi_out, theirs.spi_in)
        )

    def troubles(self, name: str) -> list[Trouble]:
        return self.status(name).troubles

    # -- what they carry

    def carries(self, octets: int = 1 << 20) -> None:
        """Require that pings and a TCP stream pass, both ways."""
        assert ping(self.world.alice, RIGHT.host, count=3, payload=FILLING).received >= 2
        assert ping(self.world.bob, LEFT.host6, count=3, payload=FILLING).received >= 2
        assert transfer(self.world.alice, self.world.bob, RIGHT.host, octets=octets, filling=FILLING).intact
        assert transfer(self.world.bob, self.world.alice, LEFT.host, octets=octets, filling=FILLING).intact

    def carries_nothing(self) -> bool:
        return ping(self.world.alice, RIGHT.host, count=1, seconds=0.2).received == 0


@contextmanager
def paired(world: Topology, directory: Path) -> Iterator[Pair]:
    """A pair whose daemons are ended at the end."""
    pair = Pair(world, directory)
    try:
        yield pair
    finally:
        pair.close()


CAPONIER = (sys.executable, *PROGRAM)


def caponier(*arguments: str, seconds: float = 30, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line, as a user would in a pipe."""
    options.setdefault("env", os.environ | {"COLUMNS": "200"})
    return subprocess.run(
        [*CAPONIER, *arguments], capture_output=True, text=True, timeout=seconds, check=False, **options
    )


@dataclass
class Pings:
    """How many were sent, and how many of them lost."""

    sent: int = 0
    lost: int = 0


@contextmanager
def pinging(pair: Pair, *, seconds: float) -> Iterator[Pings]:
    """Pings from alice to bob all the while, each of which may take so many seconds; how they fared, at the end."""
    done, pings = threading.Event(), Pings()

    def work() -> None:
        while not done.is_set():
            pings.sent += 1
            pings.lost += 1 - ping(pair.world.alice, RIGHT.host, count=1, seconds=seconds).received

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield pings
    finally:
        done.set()
        thread.join(10)
    assert pings.sent
