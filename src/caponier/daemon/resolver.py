"""The system's DNS servers, while a peer gives us some (RFC 7296 section 3.15.1, INTERNAL_IP4_DNS and INTERNAL_IP6_DNS).

Three ways, in this order, unless the configuration names one: systemd-resolved, told by ``resolvectl``, which forgets a
link's servers with the link; the program ``resolvconf``; or the file ``/etc/resolv.conf`` itself, whose former content is
kept beside it and put back: at the end, and at the next start if a run was killed.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from caponier.errors import CaponierError, EngineError
from caponier.mechanisms.negotiation.selectors import IpAddress

RESOLVED = Path("/run/systemd/resolve")  #: is there while systemd-resolved runs
PROGRAM_SECONDS = 10.0
MOST_KEPT = 1 << 20  #: octets of a resolv.conf that is kept

log = logging.getLogger("caponier.resolver")


class Way(Protocol):
    """How the system is told."""

    def begin(self) -> None:
        """Undo what a run left behind that was killed."""

    def set(self, interface: str, servers: Sequence[IpAddress]) -> None:
        """Use these servers, which are reached by an interface; none to undo that.

        Raises:
            EngineError: the system does not take them.
        """


class ByResolved:
    """systemd-resolved."""

    def begin(self) -> None: ...

    def set(self, interface: str, servers: Sequence[IpAddress]) -> None:
        if not servers:
            _run(["resolvectl", "revert", interface])
            return
        _run(["resolvectl", "dns", interface, *map(str, servers)])
        _run(["resolvectl", "domain", interface, "~."])  # all names, rather than those of no domain


class ByResolvconf:
    """The program resolvconf, of Debian or of openresolv."""

    def begin(self) -> None: ...

    def set(self, interface: str, servers: Sequence[IpAddress]) -> None:
        record = f"{interface}.caponier"
        if servers:
            _run(["resolvconf", "-a", record], "".join(f"nameserver {each}\n" for each in servers))
        else:
            _run(["resolvconf", "-d", record])


class ByFile:
    """The file itself.

    Args:
        path: of the file.
    """

    MARK = "# Written by Caponier while a tunnel is up; the former content is kept in "

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = path.with_name(f"{path.name}.caponier")
        self._servers: dict[str, Sequence[IpAddress]] = {}

    def begin(self) -> None:
        self._restore()

    def set(self, interface: str, servers: Sequence[IpAddress]) -> None:
        self._servers.pop(interface, None)
        if servers:
            self._servers[interface] = servers
        try:
            self._write() if self._servers else self._restore()
        except OSError as error:
            raise EngineError(
                f"{self._path} cannot be changed: {error.strerror}", hint='set dns = "off", or daemon.resolver'
            ) from None

    def _write(self) -> None:
        if not self._is_ours():
            self._keep()
        servers = dict.fromkeys(each for several in reversed(self._servers.values()) for each in several)
        text = "".join(f"nameserver {each}\n" for each in servers)
        self._path.write_text(f"{self.MARK}{self._kept}\n{text}")

    def _keep(self) -> None:
        """A link is put aside as it is; of a file the content, since others may have it mounted or open."""
        if self._path.is_symlink():
            self._path.replace(self._kept)
            return
        content = self._path.read_bytes() if self._path.exists() else b""
        if len(content) > MOST_KEPT:
            raise EngineError(f"{self._path} has more than {MOST_KEPT} octets; it is left alone")
        with self._kept.open("wb") as kept:
            kept.write(content)
            kept.flush()
            os.fsync(kept.fileno())

    def _restore(self) -> None:
        """Put the former content back, unless somebody else has written there meanwhile."""
        if not (self._kept.exists() or self._kept.is_symlink()):
            return
        if not self._is_ours():
            self._kept.unlink()
        elif self._kept.is_symlink():
            self._kept.replace(self._path)
        else:
            self._path.write_bytes(self._kept.read_bytes())
            self._kept.unlink()

    def _is_ours(self) -> bool:
        try:
            with self._path.open("rb") as file:
                return file.read(len(self.MARK)) == self.MARK.encode()
        except OSError:
            return False


def way(kind: str, path: Path) -> Way:
    """How the system is told.

    Args:
        kind: ``auto``, ``resolved``, ``resolvconf`` or ``file``.
        path: of the file.
    """
    if kind == "auto":
        kind = _found()
    match kind:
        case "resolved":
            return ByResolved()
        case "resolvconf":
            return ByResolvconf()
        case _:
            return ByFile(path)


def _found() -> str:
    if RESOLVED.is_dir() and shutil.which("resolvectl") is not None:
        return "resolved"
    return "resolvconf" if shutil.which("resolvconf") is not None else "file"


class Resolver:
    """DNS servers of all interfaces, each for as long as somebody uses them. The system is told on a thread of its own, in
    order; what it refuses is logged, and the tunnel stays.

    Args:
        how: tells it.
    """

    def __init__(self, how: Way) -> None:
        self._how = how
        self._used: dict[str, list[tuple[IpAddress, ...]]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="resolver")
        self._submit(how.begin)

    def use(self, interface: str, servers: tuple[IpAddress, ...]) -> None:
        """Use these servers; :meth:`leave` undoes it. The last ones are asked first."""
        self._used.setdefault(interface, []).insert(0, servers)
        self._tell(interface)

    def leave(self, interface: str, servers: tuple[IpAddress, ...]) -> None:
        """Undo one :meth:`use`."""
        used = self._used.get(interface, [])
        if servers in used:
            used.remove(servers)
            self._tell(interface)

    def close(self) -> None:
        """Undo all, and wait until that is done; may be called twice."""
        for interface in [name for name, used in self._used.items() if used]:
            self._used[interface] = []
            self._tell(interface)
        self._thread.shutdown(wait=True)

    def _tell(self, interface: str) -> None:
        servers = tuple(dict.fromkeys(each for several in self._used[interface] for each in several))
        self._submit(lambda: self._how.set(interface, servers))

    def _submit(self, work: Callable[[], None]) -> None:
        self._thread.submit(_logged, work)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except CaponierError as error:
        log.warning("%s", error)
    except OSError as error:
        log.warning("the DNS servers cannot be set: %s", error)


def _run(command: Sequence[str], text: str = "") -> None:
    try:
        done = subprocess.run(  # noqa: S603 - names and addresses that we made ourselves
            command, input=text, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command[0]} does not run: {error}", hint='set daemon.resolver, or dns = "off"') from None
    if done.returncode != 0:
        raise EngineError(f"{' '.join(command)} failed: {done.stderr.strip()[:200]}", hint='set dns = "off"')
