"""What is compared: each joins the two hosts in its own way and says which processes carry the packets."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.topology import Host, Pair, route
from caponier.api.client import Client
from caponier.demo import gateways
from tests.interop.charon import Charon

PATIENCE = 20.0  #: seconds until a contender has to be up


class Absent(Exception):
    """The contender is not installed."""


@dataclass
class Contender(ABC):
    """A tunnel.

    Attributes:
        key: what it is called in the results.
        name: as the tables show it.
        processes: the process ids whose CPU time is counted.
    """

    key: str
    name: str
    processes: list[int] = field(default_factory=list, init=False)

    @abstractmethod
    def start(self, pair: Pair, directory: Path, undo: ExitStack) -> None:
        """Join both ends; what ends it again goes to ``undo``.

        Raises:
            Absent: it is not installed.
        """

    def _run(self, undo: ExitStack, host: Host, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a daemon of it whose CPU time is counted."""
        process = host.namespace.start(command, log=log)
        undo.callback(end, process)
        self.processes.append(process.pid)
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must become true soon."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not after {PATIENCE:g} seconds")
        time.sleep(0.05)


def needs(*programs: str) -> None:
    """Require that programs are installed."""
    for program in programs:
        if shutil.which(program) is None:
            raise Absent(f"{program} is not installed (as root: bench/install-contenders.sh)")


class Raw(Contender):
    """No tunnel at all: what the link and the hosts can do."""

    def start(self, pair: Pair, directory: Path, undo: ExitStack) -> None:
        del directory, undo  # no process, no file
        route(pair.left, pair.right)
        route(pair.right, pair.left)


@dataclass
class Caponier(Contender):
    """Two daemons of ours.

    Attributes:
        proposal: of the Child SA.
        encapsulation: ``forced`` for ESP in UDP, ``nat`` for bare ESP, and for AH, which does not pass a NAT.
        protocol: ``esp`` or ``ah``.
    """

    proposal: str = "aes128gcm16"
    encapsulation: str = "forced"
    protocol: str = "esp"

    def start(self, pair: Pair, directory: Path, undo: ExitStack) -> None:
        secret = directory / "bench.psk"
        secret.write_text("only for this measurement\n")
        secret.chmod(0o600)
        for name, here, there in (("left", pair.left, pair.right), ("right", pair.right, pair.left)):
            (directory / f"{name}.toml").write_text(self._configuration(name, here, there, directory))
            started = gateways.start(name, here.namespace, directory)
            undo.callback(gateways.stop, started)
            assert started.process is not None
            self.processes.append(started.process.pid)
        with Client(directory / "left.sock") as client:
            client.up("bench")

    def _configuration(self, name: str, here: Host, there: Host, directory: Path) -> str:
        other = "right" if name == "left" else "left"
        return f"""
[daemon]
control = "{directory}/{name}.sock"

[connection.bench]
local = {{ address = "{here.outer}", id = "{name}.example.com", auth = "psk", secret = "file:bench.psk" }}
remote = {{ address = "{there.outer}", id = "{other}.example.com" }}
encapsulation = "{self.encapsulation}"
start = "manual"

[connection.bench.child.net]
local = ["{here.network}"]
remote = ["{there.network}"]
protocol = "{self.protocol}"
proposals = ["{self.proposal}"]
"""


@dataclass
class StrongSwan(Contender):
    """Two charons with their user-space ESP, in UDP.

    Attributes:
        esp: proposal.
    """

    esp: str = "aes128gcm16"

    def start(self, pair: Pair, directory: Path, undo: ExitStack) -> None:
        needs("swanctl")
        ends = []
        for name, here, there in (("left", pair.left, pair.right), ("right", pair.right, pair.left)):
            charon = Charon(here.namespace, directory / name, self._connections(name, here, there))
            undo.enter_context(charon)
            assert charon.process is not None
            self.processes.append(charon.process.pid)
            ends.append(charon)
        ends[0].swanctl("--initiate", "--child", "net", "--timeout", "15")

    def _connections(self, name: str, here: Host, there: Host) -> str:
        return f"""
        connections {{
          bench {{
            version = 2
            local_addrs = {here.outer}
            remote_addrs = {there.outer}
            proposals = aes128gcm16-prfsha256-x25519
            encap = yes
            mobike = no
            local {{
              auth = psk
              id = {name}.example.com
            }}
            remote {{
              auth = psk
            }}
            children {{
              net {{
                local_ts = {here.network}
                remote_ts = {there.network}
                esp_proposals = {self.esp}
                rekey_time = 0
              }}
            }}
          }}
        }}
        secrets {{
          ike-bench {{
            secret = "only for this measurement"
          }}
        }}
        """


class OpenVpn(Contender):
    """Two OpenVPN daemons over UDP, AES-128-GCM."""

    def start(self, pair: Pair, directory: Path, undo: ExitStack) -> None:
        needs("openvpn", "openssl")
        prints = {name: self._certificate(name, directory) for name in ("left", "right")}
        inner = {"left": ("10.97.0.1", "10.97.0.2"), "right": ("10.97.0.2", "10.97.0.1")}
        for name, here, there in (("left", pair.left, pair.right), ("right", pair.right, pair.left)):
            other = "right" if name == "left" else "left"
            role = ["--tls-client"] if name == "left" else ["--tls-server", "--dh", "none"]
            command = ["openvpn", "--dev", "ovpn0", "--dev-type", "tun", "--disable-dco", *role]
            command += ["--local", here.outer, "--remote", there.outer, "--port", "1194", "--proto", "udp"]
            command += ["--ifconfig", *inner[name], "--cert", str(directory / f"{name}.crt")]
            command += ["--key", str(directory / f"{name}.key"), "--peer-fingerprint", prints[other]]
            command += ["--data-ciphers", "AES-128-GCM", "--cipher", "AES-128-GCM", "--verb", "3"]
            self._run(undo, here, command, directory / f"{name}.log")
        for name in ("left", "right"):
            log = directory / f"{name}.log"
            eventually(lambda log=log: "Initialization Sequence Completed" in log.read_text(), f"OpenVPN, {name}")  # type: ignore[misc]
        route(pair.left, pair.right, interface="ovpn0")
        route(pair.right, pair.left, interface="ovpn0")

    @staticmethod
    def _certificate(name: str, directory: Path) -> str:
        key, certificate = str(directory / f"{name}.key"), str(directory / f"{name}.crt")
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        make += ["-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", certificate]
        subprocess.run(make, check=True, capture_output=True)
        show = ["openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"]
        return subprocess.run(show, check=True, capture_output=True, text=True).stdout.split("=")[1].strip()


class WireguardGo(Contender):
    """Two wireguard-go daemons."""

    def start(self, pair: Pair, directory: Path, undo: ExitStack) -> None:
        needs("wireguard-go", "wg")
        keys = {name: self._keys(name, directory) for name in ("left", "right")}
        for name, here, there in (("left", pair.left, pair.right), ("right", pair.right, pair.left)):
            interface, other = f"wg{name}{os.getpid() % 10_000}", "right" if name == "left" else "left"
            environment = ["env", "WG_PROCESS_FOREGROUND=1"]
            command = [*environment, "wireguard-go", "--foreground", interface]
            self._run(undo, here, command, directory / f"{name}.log")
            socket = Path(f"/var/run/wireguard/{interface}.sock")
            eventually(socket.exists, f"wireguard-go, {name}")
            configure = ["wg", "set", interface, "private-key", str(directory / f"{name}.key"), "listen-port", "51820"]
            configure += ["peer", keys[other], "allowed-ips", there.network, "endpoint", f"{there.outer}:51820"]
            done = here.namespace.run(configure)
            if done.returncode != 0:
                raise RuntimeError(f"wg: {done.stderr}")
            with here.namespace.netlink() as netlink:
                netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state="up", mtu=1420)
            route(here, there, interface=interface)

    @staticmethod
    def _keys(name: str, directory: Path) -> str:
        private = subprocess.run(["wg", "genkey"], check=True, capture_output=True).stdout
        (directory / f"{name}.key").write_bytes(private)
        return subprocess.run(["wg", "pubkey"], check=True, capture_output=True, input=private).stdout.decode().strip()


def contenders() -> list[Contender]:
    """All of them, in the order of the tables."""
    return [
        Raw("raw", "raw link, no encryption"),
        Caponier("gcm", "Caponier, AES-128-GCM in UDP"),
        Caponier("chacha", "Caponier, ChaCha20-Poly1305 in UDP", proposal="chacha20poly1305"),
        Caponier("cbc", "Caponier, AES-CBC-128 HMAC-SHA2-256 in UDP", proposal="aes128-sha256"),
        Caponier("bare-esp", "Caponier, AES-128-GCM, bare ESP", encapsulation="nat"),
        Caponier("ah-gmac", "Caponier, AH with AES-128-GMAC", "aes128gmac", "nat", "ah"),
        Caponier("ah-sha256", "Caponier, AH with HMAC-SHA2-256", "sha256", "nat", "ah"),
        StrongSwan("strongswan", "strongSwan user space, AES-128-GCM in UDP"),
        OpenVpn("openvpn", "OpenVPN, AES-128-GCM"),
        WireguardGo("wireguard-go", "wireguard-go"),
    ]
