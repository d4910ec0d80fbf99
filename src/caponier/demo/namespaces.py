"""Network namespaces (network_namespaces(7)): make them, stand in them, start programs in them.

As root they are named ones, as ``ip netns`` makes them. Without root the whole process first moves into a user
namespace of its own (user_namespaces(7)), where it is root over namespaces that nobody else sees.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from caponier.errors import CaponierError

if TYPE_CHECKING:
    from pyroute2 import IPRoute

# pyroute2 is imported where it is needed: whoever only enters a namespace does not wait for it.

DIRECTORY = Path("/run/netns")

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


class NoPrivilege(CaponierError):
    """Neither root nor user namespaces: nothing can be built here."""


class NamespaceExists(CaponierError):
    """Somebody else's namespace has the name that we would use."""


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def _join(path: Path, kind: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), f"setns {path}")
    finally:
        os.close(descriptor)


def _may_make_namespaces() -> bool:
    """Tried in a child, so that the answer has no effect."""
    child = os.fork()
    if child == 0:
        try:
            _unshare(CLONE_NEWNET | CLONE_NEWNS)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def acquire_privilege() -> bool:
    """Make sure that this process may create network namespaces.

    Call it before any thread starts.

    Returns:
        True as root; False when the process now lives in a user namespace of its own.

    Raises:
        NoPrivilege: neither is possible.
    """
    if _may_make_namespaces():
        return True
    try:
        _enter_own_user_namespace()
    except OSError as error:
        raise NoPrivilege(
            f"network namespaces need root or unprivileged user namespaces, and this system grants neither ({error})",
            hint="run it as root (sudo make demo), or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, "
            "and in a container run it with --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun",
        ) from error
    return False


def _enter_own_user_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    _unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _checked(_libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "make / private")
    _checked(_libc.mount(b"tmpfs", b"/run", b"tmpfs", ctypes.c_ulong(0), None), "mount /run")
    DIRECTORY.mkdir()


@dataclass(frozen=True, slots=True)
class Namespace:
    """A named network namespace that we made."""

    name: str

    @property
    def path(self) -> Path:
        return DIRECTORY / self.name

    @classmethod
    def create(cls, name: str) -> Namespace:
        """Create it, with its loopback up.

        Raises:
            NamespaceExists: the name is taken; nothing was touched.
        """
        made = cls(name)
        if made.path.exists():
            raise NamespaceExists(
                f"a network namespace named {name} exists already",
                hint=f"if it is a leftover of yours, remove it: ip netns del {name}",
            )
        from pyroute2 import netns  # noqa: PLC0415

        netns.create(name)
        with made.netlink() as netlink:
            netlink.link("set", index=1, state="up")
        return made

    def remove(self) -> None:
        """Remove it; its interfaces go with it once its last process has ended."""
        from pyroute2 import netns  # noqa: PLC0415

        if self.path.exists():
            netns.remove(self.name)

    def netlink(self) -> IPRoute:
        """A netlink socket inside; close it after use."""
        from pyroute2 import IPRoute  # noqa: PLC0415

        return IPRoute(netns=self.name)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Stand in the namespace: sockets that this thread opens now belong to it for good."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _join(self.path, CLONE_NEWNET)
            try:
                yield
            finally:
                _checked(_libc.setns(ctypes.c_int(home), ctypes.c_int(CLONE_NEWNET)), "setns home")
        finally:
            os.close(home)

    def write_sysctls(self, values: Mapping[str, str]) -> None:
        """Set ``net.*`` parameters: keys as paths below /proc/sys."""
        with self.inside():
            for key, value in values.items():
                Path("/proc/sys", key).write_text(value)

    def start(self, command: Sequence[str], *, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a program inside, in a session of its own; its output goes to ``log``."""
        wrapped = [sys.executable, "-m", "caponier.demo.enter", self.name, "--", *command]
        if log is None:
            return subprocess.Popen(wrapped, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our own command
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own command
                wrapped, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def run(self, command: Sequence[str], *, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end."""
        wrapped = [sys.executable, "-m", "caponier.demo.enter", self.name, "--", *command]
        return subprocess.run(wrapped, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 - our own command


def enter(name: str, anchor: int | None = None) -> None:
    """Move this process into the namespace ``name`` for good.

    Args:
        name: as given to :meth:`Namespace.create`.
        anchor: a process of the user namespace in which it was made; None when it was made as root.

    Raises:
        NoPrivilege: there is no such namespace, or it is not ours to enter.
    """
    try:
        if anchor is not None:
            _join(Path(f"/proc/{anchor}/ns/user"), CLONE_NEWUSER)
            _join(Path(f"/proc/{anchor}/ns/mnt"), CLONE_NEWNS)
        _join(DIRECTORY / name, CLONE_NEWNET)
    except OSError as error:
        raise NoPrivilege(
            f"cannot enter the network namespace {name}: {error}", hint="start it first with: make demo KEEP=1"
        ) from error
