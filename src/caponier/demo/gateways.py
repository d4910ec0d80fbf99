"""The two gateways: their configuration files, as anybody would write them, and a daemon process for each."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from caponier.api.client import Client, NotReachable
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, Site
from caponier.errors import CaponierError

CONNECTION = "office"
START_SECONDS = 20.0
STOP_SECONDS = 15.0
PROGRAM = ("-m", "caponier.cli.main")  #: the command line, as Python is told to run it

_TEMPLATE = """\
# The configuration of {here.gateway_name}. Its peer has the same file with the two ends exchanged.

[daemon]
control = "{control}"

[connection.{connection}]
encapsulation = "nat"  # ESP without UDP around it: easier to read in the capture, and slower
mobike = false         # and no move to port 4500: IKE is then easy to read too
proposals = ["aes256gcm16-prfsha384-x25519"]  # four messages to read; the default adds ML-KEM in two more
local  = {{ address = "{here.outer}", id = "{here.gateway_name}.example.com", auth = "psk", secret = "file:office.psk" }}
remote = {{ address = "{there.outer}", id = "{there.gateway_name}.example.com" }}
{extra}
[connection.{connection}.child.lan]
local  = ["{here.network}", "{here.network6}"]
remote = ["{there.network}", "{there.network6}"]
"""


class DaemonDied(CaponierError):
    """A daemon ended before it answered; its log says why."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway's daemon.

    Attributes:
        name: ``gw1`` or ``gw2``.
        namespace: where it runs.
        directory: of its configuration, its log and its control socket.
        process: the daemon; None when somebody else started it.
    """

    name: str
    namespace: Namespace
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def configuration(self) -> Path:
        return self.directory / f"{self.name}.toml"

    @property
    def control(self) -> Path:
        return self.directory / f"{self.name}.sock"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def client(self) -> Client:
        return Client(self.control)


def write_configurations(directory: Path, extra: str = "") -> None:
    """Leave the secret and both files in ``directory``.

    Args:
        directory: exists.
        extra: further lines for the connection of both.
    """
    secret = directory / "office.psk"
    secret.unlink(missing_ok=True)
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")
    for here, there in ((LEFT, RIGHT), (RIGHT, LEFT)):
        (directory / f"{here.gateway_name}.toml").write_text(_configuration(here, there, directory, extra))


def _configuration(here: Site, there: Site, directory: Path, extra: str) -> str:
    control = directory.resolve() / f"{here.gateway_name}.sock"
    return _TEMPLATE.format(here=here, there=there, control=control, connection=CONNECTION, extra=extra)


def start(name: str, namespace: Namespace, directory: Path, *, program: Sequence[str] = PROGRAM) -> Gateway:
    """Start ``caponier run`` on a configuration that is there, and wait until it answers.

    Args:
        name: ``gw1`` or ``gw2``.
        namespace: where it runs.
        directory: of its configuration.
        program: what Python runs in place of ``caponier``: for tests.

    Raises:
        DaemonDied: it does not; with the end of its log.
    """
    gateway = Gateway(name, namespace, directory.resolve())
    gateway.log.unlink(missing_ok=True)
    command = [sys.executable, *program, "run", "-c", str(gateway.configuration)]
    process = namespace.start(command, log=gateway.log)
    gateway = Gateway(name, namespace, directory.resolve(), process)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(gateway):
        if process.poll() is not None or time.monotonic() > deadline:
            stop(gateway)
            log = gateway.log.read_text()[-2000:]
            raise DaemonDied(f"the daemon of {name} did not start; its log {gateway.log} ends with:\n{log}")
        time.sleep(0.05)
    return gateway


def _answers(gateway: Gateway) -> bool:
    try:
        with gateway.client() as client:
            client.version()
    except NotReachable:
        return False
    return True


def stop(gateway: Gateway) -> int | None:
    """End a daemon that we started, properly if it will; its exit code."""
    process = gateway.process
    if process is None:
        return None
    process.terminate()
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(STOP_SECONDS)


@contextmanager
def running(gw1: Namespace, gw2: Namespace, directory: Path) -> Iterator[tuple[Gateway, Gateway]]:
    """Both gateways, ended at the end."""
    with ExitStack() as undo:
        gateways = []
        for name, namespace in (("gw1", gw1), ("gw2", gw2)):
            gateway = start(name, namespace, directory)
            undo.callback(stop, gateway)
            gateways.append(gateway)
        yield gateways[0], gateways[1]
