"""A real Linux kernel as a peer: user-mode Linux, with its own ESP and AH, joined to a namespace by a tap.

Its root file system is this machine's (hostfs), so that every program that is installed here runs there too. Commands go
in as files and a line on its console; their output comes back as files. It is slow, but it is the kernel's own code.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pyroute2.iproute.linux import IPRoute

from caponier.demo.namespaces import Namespace

PROGRAM = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
TAP = "tap0"
OURS, THEIRS = "192.0.2.1", "192.0.2.2"
OURS6, THEIRS6 = "2001:db8::1", "2001:db8::2"
BOOT_SECONDS = 90.0

#: What the kernel needs for every algorithm of ESP and AH that is compared.
_MODULES = (
    "xfrm_user esp4 esp6 ah4 ah6 xfrm4_tunnel xfrm6_tunnel authenc authencesn gcm ghash-generic ccm ctr cbc cmac xcbc hmac ecb "
    "aes_generic des_generic camellia_generic crypto_null md5 sha512_generic seqiv echainiv chacha20poly1305 chacha_generic poly1305_generic gf128mul tun"
)

_INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /run
mkdir -p /run/lock
ip link set lo up
printf '#!/bin/sh\\nexec /sbin/modprobe -d "{modules}" "$@"\\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
for module in {wanted}; do modprobe -d "{modules}" $module 2>/dev/null; done
ip link set vec0 up
ip addr add {theirs}/24 dev vec0
ip addr add {theirs6}/64 dev vec0 nodad
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0
cd "{directory}" || exit 1
echo READY
stty -echo 2>/dev/null
while read -r number; do
  [ "$number" = halt ] && break
  [ -f "$number.sh" ] || continue
  /bin/sh "./$number.sh" >"$number.out" 2>&1 </dev/null
  echo $? >"$number.tmp"
  mv "$number.tmp" "$number.rc"
done
exec /sbin/halt -f
"""


def absence() -> str | None:
    """Why a Linux kernel cannot be a peer here; None when it can."""
    if shutil.which(PROGRAM) is None or not MODULES.exists():
        return "user-mode Linux is not installed; run: make peers"
    if shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin") is None:
        return "modprobe is not installed; run: make peers"
    return None


class Linux:
    """A running kernel, on a tap of ``namespace``; a context manager."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self.namespace = namespace
        self.directory = directory
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._console = -1

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True)
        self._join()
        modules = self.directory / "modules"
        (modules / "lib").mkdir(parents=True)
        (modules / "lib" / "modules").symlink_to(MODULES)
        init = self.directory / "init.sh"
        init.write_text(
            _INIT.format(modules=modules, wanted=_MODULES, theirs=THEIRS, theirs6=THEIRS6, directory=self.directory)
        )
        init.chmod(0o755)
        self._boot(init)
        return self

    def _join(self) -> None:
        """The tap, as our end of the link."""
        with self.namespace.netlink() as netlink:
            netlink.link("add", ifname=TAP, kind="tuntap", mode="tap")
            _up(netlink, TAP, (OURS, 24), (OURS6, 64))

    def _boot(self, init: Path) -> None:
        pipe = self.directory / "console.in"
        os.mkfifo(pipe)
        self._console = os.open(pipe, os.O_RDWR)
        command = [PROGRAM, "mem=192M", f"umid=caponier{os.getpid()}", f"uml_dir={self.directory}"]
        command += ["rootfstype=hostfs", "rootflags=/", "rw", f"init={init}", "con=null", "con0=fd:0,fd:1", "quiet"]
        command += [f"vec0:transport=tap,ifname={TAP},depth=128"]
        script = 'exec <"$1" >"$2" 2>&1; shift 2; exec "$@"'
        wrapped = ["sh", "-c", script, "sh", str(pipe), str(self.directory / "console.out"), *command]
        self._process = self.namespace.start(wrapped)
        self._await(lambda: "READY" in self._output(), BOOT_SECONDS, "it did not boot")

    def _output(self) -> str:
        path = self.directory / "console.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def _await(self, condition: object, seconds: float, what: str) -> None:
        assert callable(condition)
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"user-mode Linux: {what}:\n{self._output()[-2000:]}")
            time.sleep(0.02)

    def sh(self, commands: str, *, check: bool = True, seconds: float = 30) -> str:
        """Run shell commands inside; what they print."""
        number = next(self._numbers)
        (self.directory / f"{number}.sh").write_text(commands)
        os.write(self._console, f"{number}\n".encode())
        done = self.directory / f"{number}.rc"
        self._await(done.exists, seconds, f"no answer to {commands[:200]!r}")
        output = (self.directory / f"{number}.out").read_text(errors="replace")
        if check and done.read_text().strip() != "0":
            raise RuntimeError(f"inside of user-mode Linux:\n{commands}\n{output}")
        return output

    def start(self, program: str, ready: str) -> None:
        """Run a program inside until the end, in the background, and wait until it has said that it is ready."""
        log = self.directory / f"{next(self._numbers)}.log"
        self.sh(f"({program}) >{log} 2>&1 </dev/null &")
        self._await(lambda: log.exists() and ready in log.read_text(), 20, f"{program[:200]!r} is not {ready}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        os.write(self._console, b"halt\n")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        os.close(self._console)


def _up(netlink: IPRoute, interface: str, *addresses: tuple[str, int]) -> None:
    index = netlink.link_lookup(ifname=interface)[0]
    for address, length in addresses:
        netlink.addr("add", index=index, address=address, prefixlen=length)
    netlink.link("set", index=index, state="up")
