"""A daemon with its control API: what ``caponier run`` runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from caponier.api.routes import application
from caponier.daemon.config import Configuration, load
from caponier.daemon.daemon import Daemon
from caponier.errors import CaponierError

PARTING_SECONDS = 1.0  #: how long clients may take to read their last answer

log = logging.getLogger("caponier.server")


class AlreadyRunning(CaponierError):
    """Another daemon answers on our control socket."""


class ControlSocketFailed(CaponierError):
    """The control socket cannot be made."""


def run(file: Path) -> int:
    """Run a daemon in the foreground until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 after a clean end.

    Raises:
        InvalidConfiguration: the file is refused.
        CaponierError: the daemon cannot start; nothing is left behind.
    """
    configuration = load(file)
    logging.basicConfig(
        level=configuration.daemon.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("pyroute2").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    with _control_socket(configuration.daemon.control) as listener:
        return asyncio.run(_serve(configuration, listener))


async def _serve(configuration: Configuration, listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, log.info, "the configuration was read a moment ago")  # until we are ready
    async with Daemon(configuration) as daemon:
        loop.add_signal_handler(signal.SIGHUP, _reload, daemon)
        server = _Server(
            uvicorn.Config(application(daemon), lifespan="off", log_level="warning", access_log=False, log_config=None)
        )
        serving = loop.create_task(server.serve(sockets=[listener]))
        await stop.wait()
        log.info("stopping")
        daemon.release()
        server.should_exit = True
        loop.call_later(PARTING_SECONDS, setattr, server, "force_exit", True)
        await serving
    return 0


class _Server(uvicorn.Server):
    """A server that leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _reload(daemon: Daemon) -> None:
    try:
        daemon.reload()
    except CaponierError as error:
        log.error("not reloaded, everything stays as it was:\n%s", error)  # noqa: TRY400 - the findings say it all
        daemon.journal.note("not-reloaded", None, str(error))


@contextlib.contextmanager
def _control_socket(path: Path) -> Iterator[socket.socket]:
    """Listen on the control socket, for our own user only; remove it at the end.

    Raises:
        AlreadyRunning: a daemon answers there.
        ControlSocketFailed: the system refuses.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_stale(path)
        before = os.umask(0o177)  # the socket must never be open to others, not for a moment
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(64)
    except OSError as error:
        listener.close()
        hint = "set daemon.control to a path that can be written"
        raise ControlSocketFailed(
            f"the control socket {path} cannot be made: {error.strerror or error}", hint=hint
        ) from None
    except CaponierError:
        listener.close()
        raise
    try:
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that is no more; refuse where one answers, or where it is no socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlSocketFailed(
            f"{path} is there already, and is no socket", hint="set daemon.control to another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise
            path.unlink()
            return
    raise AlreadyRunning(
        f"another daemon answers on {path}",
        hint="stop it first, or give this one its own daemon.control, port, nat_port, interface and table",
    )
