"""strongSwan's daemon as a peer: started in a namespace of the test, spoken to by swanctl, ended by its process id."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from caponier.demo.namespaces import Namespace

CHARON = Path("/usr/lib/ipsec/charon")
USER_SPACE_ESP = Path("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so")

# The order matters: kernel-libipsec must come before kernel-netlink, which then only does interfaces and routes.
PLUGINS = (
    "openssl random nonce x509 revocation constraints pem pkcs1 pkcs8 pubkey hmac kdf aes sha1 sha2 gcm chapoly "
    "curve25519 ctr ccm xcbc cmac md5 kernel-libipsec kernel-netlink socket-default vici"
)


def absence() -> str | None:
    """Why strongSwan cannot be a peer here; None when it can."""
    for need in (CHARON, USER_SPACE_ESP):
        if not need.exists():
            return f"strongSwan with its user-space ESP is not installed ({need} is missing); run: make peers"
    if shutil.which("swanctl") is None:
        return "strongSwan's swanctl is not installed; run: make peers"
    return None


class Charon:
    """One charon with a directory, a control socket and a /run of its own (its pid file's place is compiled in)."""

    def __init__(self, namespace: Namespace, directory: Path, connections: str, settings: str = "") -> None:
        self.namespace = namespace
        self.directory = directory
        self.settings = settings
        self.socket = directory / "vici"
        for name in ("x509", "x509ca", "ecdsa", "rsa", "private"):
            (directory / "swanctl" / name).mkdir(parents=True)
        (directory / "swanctl" / "swanctl.conf").write_text(textwrap.dedent(connections))
        (directory / "strongswan.conf").write_text(self._settings())
        self.process: subprocess.Popen[bytes] | None = None

    def _settings(self) -> str:
        return f"""
        charon {{
          load = {PLUGINS}
          install_virtual_ip = no
          retransmit_timeout = 1
          retransmit_tries = 3
          {self.settings}
          filelog {{ log {{ path = {self.log}
            default = 1
            ike = 2
            flush_line = yes }} }}
          plugins {{ vici {{ socket = unix://{self.socket} }} }}
        }}
        swanctl {{ load = pem pkcs1 pkcs8 x509 pubkey openssl random }}
        """

    @property
    def log(self) -> Path:
        return self.directory / "charon.log"

    def write(self, kind: str, name: str, content: bytes) -> None:
        """Put a certificate or a key where swanctl looks for it: ``kind`` is x509, x509ca or private."""
        (self.directory / "swanctl" / kind / name).write_bytes(content)

    def __enter__(self) -> Self:
        script = 'mount --make-rprivate / && mount -t tmpfs tmpfs /run && export STRONGSWAN_CONF="$1" && exec "$2"'
        command = ["unshare", "-m", "sh", "-c", script, "sh", str(self.directory / "strongswan.conf"), str(CHARON)]
        self.process = self.namespace.start(command, log=self.directory / "output")
        self._await_socket()
        self.swanctl("--load-all")
        return self

    def _await_socket(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + 15
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"charon did not start:\n{self.tail()}\n{(self.directory / 'output').read_text()}")
            time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def swanctl(self, *arguments: str, check: bool = True, seconds: float = 30) -> str:
        """What swanctl says."""
        environment = os.environ | {
            "STRONGSWAN_CONF": str(self.directory / "strongswan.conf"),
            "SWANCTL_DIR": str(self.directory / "swanctl"),
        }
        command = ["swanctl", arguments[0], "--uri", f"unix://{self.socket}", *arguments[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}\n{self.tail()}")
        return done.stdout + done.stderr

    def tail(self, lines: int = 60) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text().splitlines()[-lines:]) if self.log.exists() else "(no log)"
