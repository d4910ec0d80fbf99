"""The data plane against the Linux kernel's own ESP, with static keys, in tunnel mode (RFC 4303, RFC 4304)."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from caponier._plane import Plane
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT
from caponier.demo.traffic import ping
from tests.interop import linux
from tests.interop.linux import Linux
from tests.plane.tunnel import of, running_plane
from tests.requirements import require

pytestmark = [pytest.mark.privileged, pytest.mark.peer("linux")]

NAME = "caponier-interop-linux"


@dataclass(frozen=True)
class Algorithms:
    """One suite, by our numbers and by the kernel's names.

    Attributes:
        name: as a configuration writes it.
        encryption: transform type 1, and bits of the key.
        octets: of the encryption key, its salt included.
        integrity: transform type 3, and octets of its key; zeros for none.
        kernel: the algorithms of ``ip xfrm state``, with places for the keys.
    """

    name: str
    encryption: tuple[int, int]
    octets: int
    integrity: tuple[int, int]
    kernel: str

    def keys(self, direction: int) -> dict[str, Any]:
        return {
            "encryption": self.encryption[0],
            "key_length": self.encryption[1],
            "encryption_key": bytes((direction + 7 * each) % 256 for each in range(self.octets)),
            "integrity": self.integrity[0],
            "integrity_key": bytes((0x80 + direction + 5 * each) % 256 for each in range(self.integrity[1])),
        }

    def of_the_kernel(self, direction: int) -> str:
        keys = self.keys(direction)
        encryption, integrity = keys["encryption_key"], keys["integrity_key"]
        return self.kernel.format(e=f"0x{encryption.hex()}" if encryption else '""', i=f"0x{integrity.hex()}")


def _aead(name: str, number: int, bits: int, octets: int, kernel: str, icv: int) -> Algorithms:
    return Algorithms(name, (number, bits), octets, (0, 0), f"aead '{kernel}' {{e}} {icv}")


def _separate(name: str, number: int, bits: int, octets: int, mac: str, cipher: str) -> Algorithms:
    integrity, length, hash_name, icv = {
        "sha1": (2, 20, "hmac(sha1)", 96),
        "sha256": (12, 32, "hmac(sha256)", 128),
        "sha512": (14, 64, "hmac(sha512)", 256),
    }[mac]
    kernel = f"enc '{cipher}' {{e}} auth-trunc '{hash_name}' {{i}} {icv}"
    return Algorithms(f"{name}-{mac}", (number, bits), octets, (integrity, length), kernel)


SUITES = (
    _aead("aes128gcm8", 18, 128, 20, "rfc4106(gcm(aes))", 64),
    _aead("aes192gcm12", 19, 192, 28, "rfc4106(gcm(aes))", 96),
    _aead("aes256gcm16", 20, 256, 36, "rfc4106(gcm(aes))", 128),
    _aead("aes128ccm8", 14, 128, 19, "rfc4309(ccm(aes))", 64),
    _aead("aes256ccm16", 16, 256, 35, "rfc4309(ccm(aes))", 128),
    _aead("aes128gmac", 21, 128, 20, "rfc4543(gcm(aes))", 128),
    _aead("chacha20poly1305", 28, 0, 36, "rfc7539esp(chacha20,poly1305)", 128),
    _separate("aes128", 12, 128, 16, "sha256", "cbc(aes)"),
    _separate("aes256", 12, 256, 32, "sha512", "cbc(aes)"),
    _separate("aes256ctr", 13, 256, 36, "sha256", "rfc3686(ctr(aes))"),
    _separate("camellia256", 23, 256, 32, "sha256", "cbc(camellia)"),
    _separate("3des", 3, 0, 24, "sha1", "cbc(des3_ede)"),
    _separate("null", 11, 0, 0, "sha256", "ecb(cipher_null)"),
)


@dataclass
class Scene:
    """A plane of ours, and the kernel at the other end of a tap."""

    namespace: Namespace
    plane: Plane
    kernel: Linux
    numbers: Iterator[int]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    require(linux.absence())
    require(None if os.geteuid() == 0 else "network namespaces need root")
    Namespace(NAME).remove()  # of a run that was killed
    directory = Path(f"/tmp/{tmp_path_factory.mktemp('linux').name}-{NAME}")
    shutil.rmtree(directory, ignore_errors=True)
    namespace = Namespace.create(NAME)
    try:
        namespace.write_sysctls({"net/ipv6/conf/default/accept_dad": "0"})
        with Linux(namespace, directory) as kernel, running_plane(namespace, RIGHT) as plane:
            with namespace.netlink() as netlink:
                index = netlink.link_lookup(ifname=plane.interface)[0]
                netlink.addr("add", index=index, address=LEFT.gateway_inner, prefixlen=32)
                netlink.addr("add", index=index, address=LEFT.gateway_inner6, prefixlen=128)
            kernel.sh(
                f"ip addr add {RIGHT.gateway_inner}/32 dev lo; ip addr add {RIGHT.gateway_inner6}/128 dev lo nodad"
            )
            kernel.sh(
                f"ip route add {LEFT.network} via {linux.OURS} src {RIGHT.gateway_inner};"
                f"ip -6 route add {LEFT.network6} via {linux.OURS6} src {RIGHT.gateway_inner6}"
            )
            yield Scene(namespace, plane, kernel, itertools.count(0x2000, 2))
    finally:
        namespace.remove()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def associated(scene: Scene, suite: Algorithms, *, outer: int, esn: bool) -> Iterator[None]:
    """SAs of both directions at both ends, and policies that want them."""
    to_us = next(scene.numbers)
    to_them = to_us + 1
    ours, theirs = (linux.OURS, linux.THEIRS) if outer == 4 else (linux.OURS6, linux.THEIRS6)
    ends: dict[str, Any] = {"local_address": ours, "remote_address": theirs}
    local, remote = of(LEFT), of(RIGHT)
    scene.plane.install_inbound(
        spi=to_us, **suite.keys(2), esn=esn, replay_window=64, local=local, remote=remote, **ends
    )
    handle = scene.plane.install_outbound(spi=to_them, **suite.keys(1), esn=esn, local_port=0, remote_port=0, **ends)
    scene.plane.install_policy(policy=1, order=0, local=local, remote=remote, action="protect", outbound=handle)
    scene.kernel.sh(_states(suite, ours, theirs, to_us, to_them, esn=esn))
    try:
        yield
        assert scene.plane.inbound_counters(to_us)[2] == {}
        assert scene.plane.outbound_counters(handle)[2] == {}
    finally:
        scene.kernel.sh("ip xfrm policy flush; ip xfrm state flush")
        scene.plane.remove_policy(1)
        scene.plane.remove_outbound(handle)
        scene.plane.remove_inbound(to_us)


def _states(suite: Algorithms, ours: str, theirs: str, to_us: int, to_them: int, *, esn: bool) -> str:
    more = " replay-window 64 flag af-unspec" + (" flag esn" if esn else "")
    commands = []
    for source, destination, spi, direction in ((ours, theirs, to_them, 1), (theirs, ours, to_us, 2)):
        commands.append(
            f"ip xfrm state add src {source} dst {destination} proto esp spi {spi} mode tunnel"
            f"{more} {suite.of_the_kernel(direction)}"
        )
    for us, them in ((LEFT.network, RIGHT.network), (LEFT.network6, RIGHT.network6)):
        out = f"tmpl src {theirs} dst {ours} proto esp mode tunnel"
        back = f"tmpl src {ours} dst {theirs} proto esp mode tunnel"
        commands.append(f"ip xfrm policy add src {them} dst {us} dir out {out}")
        commands += [f"ip xfrm policy add src {us} dst {them} dir {way} {back}" for way in ("in", "fwd")]
    return " && ".join(commands)


def _both_answer(scene: Scene) -> None:
    for host in (RIGHT.gateway_inner, RIGHT.gateway_inner6):
        assert ping(scene.namespace, host, count=3, seconds=2, payload=bytes(900)).received == 3
    for host in (LEFT.gateway_inner, LEFT.gateway_inner6):
        assert " 0% packet loss" in scene.kernel.sh(f"ping -q -c 3 -i 0.2 -W 2 {host}")


@pytest.mark.parametrize("esn", [False, True], ids=["noesn", "esn"])
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_bare_esp(scene: Scene, suite: Algorithms, *, esn: bool) -> None:
    with associated(scene, suite, outer=4, esn=esn):
        _both_answer(scene)


@pytest.mark.parametrize("suite", [SUITES[2], SUITES[7]], ids=lambda suite: suite.name)
def test_over_ipv6(scene: Scene, suite: Algorithms) -> None:
    with associated(scene, suite, outer=6, esn=True):
        _both_answer(scene)
