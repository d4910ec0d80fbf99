"""Interoperability with strongSwan: its charon with its user-space ESP, both ways (RFC 7296, RFC 4303, RFC 3948)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from caponier.api.client import Refused
from caponier.demo.capture import Kind, Tap
from caponier.demo.gateways import Gateway
from caponier.demo.topology import LEFT, RIGHT, WIRE, Topology
from caponier.demo.traffic import ping, transfer
from tests.interop.charon import Charon
from tests.interop.peers import Scenario, pair
from tests.interop.pki import ecdsa_pair

pytestmark = [pytest.mark.privileged, pytest.mark.peer("strongswan"), pytest.mark.usefixtures("strongswan")]

FILLING = b"clear text that must not be seen on the wire. "


def carries_traffic(world: Topology) -> None:
    """Ping and TCP, both ways, and nothing readable in between."""
    with Tap(world.gw1, WIRE) as tap:
        assert ping(world.alice, RIGHT.host, count=5, payload=FILLING).received >= 4
        assert ping(world.bob, LEFT.host, count=5, payload=FILLING).received >= 4
        assert ping(world.alice, RIGHT.host6, count=5, payload=FILLING).received >= 4
        assert transfer(world.alice, world.bob, RIGHT.host, octets=8 << 20, filling=FILLING).intact
        assert transfer(world.bob, world.alice, LEFT.host, octets=8 << 20, filling=FILLING).intact
        seen = tap.stop()
    assert seen.strangers == 0
    assert not seen.contains(FILLING)
    assert seen.counts[Kind.ESP] > 100


def comes_up(ours: Gateway, charon: Charon, initiator: str) -> None:
    with ours.client() as client:
        if initiator == "caponier":
            client.up("office")
        else:
            charon.swanctl("--initiate", "--child", "lan", "--timeout", "15")
        (sa,) = client.status().ike_sas
        assert sa.role == ("initiator" if initiator == "caponier" else "responder")
        assert sa.phase == "established"
        assert [child.encapsulated for child in sa.children] == [True]
        assert client.status().troubles == []
    assert "ESTABLISHED" in charon.swanctl("--list-sas")


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
@pytest.mark.parametrize(
    ("ike", "esp"),
    [
        ("aes256gcm16-prfsha384-ecp384", "aes256gcm16"),
        ("aes128-sha256-modp2048", "aes128-sha256"),
        ("chacha20poly1305-prfsha256-x25519", "chacha20poly1305"),
    ],
)
def test_preshared_key(world: Topology, directory: Path, initiator: str, ike: str, esp: str) -> None:
    with pair(world, directory, Scenario(ike=ike, esp=esp)) as (ours, charon):
        comes_up(ours, charon, initiator)
        carries_traffic(world)


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_ecdsa_certificates(world: Topology, directory: Path, initiator: str) -> None:
    scenario = Scenario(auth="certificate", certificates=ecdsa_pair())
    with pair(world, directory, scenario) as (ours, charon):
        comes_up(ours, charon, initiator)
        with ours.client() as client:
            (sa,) = client.status().ike_sas
        assert (sa.local_auth, sa.remote_auth) == ("ecdsa-sha256", "ecdsa-sha256")
        carries_traffic(world)


@pytest.mark.parametrize("ender", ["caponier", "strongswan"])
def test_delete(world: Topology, directory: Path, ender: str) -> None:
    """RFC 7296 section 1.4.1: a Delete of either side leaves nothing on both."""
    with pair(world, directory, Scenario()) as (ours, charon), ours.client() as client:
        comes_up(ours, charon, "caponier")
        if ender == "caponier":
            client.down("office")
        else:
            charon.swanctl("--terminate", "--ike", "office", "--timeout", "10")
        assert eventually(lambda: not client.status().ike_sas)
        assert eventually(lambda: "ESTABLISHED" not in charon.swanctl("--list-sas"))
        assert ping(world.alice, RIGHT.host, count=1, seconds=0.3).received == 0


@pytest.mark.parametrize("esp", ["aes256gcm16", "aes256gcm16-x25519"])
@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
@pytest.mark.parametrize("rekeyer", ["caponier", "strongswan"])
def test_a_child_sa_is_rekeyed(world: Topology, directory: Path, initiator: str, rekeyer: str, esp: str) -> None:
    """RFC 7296 section 1.3.3: new keys, asked for by either side, and the tunnel goes on."""
    scenario = Scenario(esp=esp, their_esp=esp.replace("x25519", "curve25519"))
    with pair(world, directory, scenario) as (ours, charon), ours.client() as client:
        comes_up(ours, charon, initiator)
        (sa,) = client.status().ike_sas
        (old,) = sa.children
        if rekeyer == "caponier":
            client.rekey("office")
        else:
            charon.swanctl("--rekey", "--child", "lan")
        assert eventually(lambda: [each.spi_in for each in client.status().ike_sas[0].children] != [old.spi_in])
        assert eventually(lambda: len(client.status().ike_sas[0].children) == 1)
        carries_traffic(world)
        assert client.status().troubles == []


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
@pytest.mark.parametrize("rekeyer", ["caponier", "strongswan"])
def test_the_ike_sa_is_rekeyed(world: Topology, directory: Path, initiator: str, rekeyer: str) -> None:
    """RFC 7296 section 1.3.2: a successor inherits the Child SAs; then it rekeys one of them, and ends."""
    with pair(world, directory, Scenario()) as (ours, charon), ours.client() as client:
        comes_up(ours, charon, initiator)
        (old,) = client.status().ike_sas
        if rekeyer == "caponier":
            client.rekey("office", ike=True)
        else:
            charon.swanctl("--rekey", "--ike", "office")
        assert eventually(lambda: [sa.spi_i for sa in client.status().ike_sas] not in ([old.spi_i], []))
        assert eventually(lambda: len(client.status().ike_sas) == 1)
        (new,) = client.status().ike_sas
        assert [each.spi_in for each in new.children] == [each.spi_in for each in old.children]
        assert ping(world.alice, RIGHT.host, count=5).received == 5
        client.rekey("office")
        carries_traffic(world)
        assert client.status().troubles == []
        client.down("office")
        assert eventually(lambda: "ESTABLISHED" not in charon.swanctl("--list-sas"))


# -- refusals: each names what was offered, what is accepted, and the line to change


def refusal(ours: Gateway, charon: Charon, initiator: str) -> tuple[str, str, int | None, str]:
    """What our status says after an attempt that must fail: kind, setting, line's text, message."""
    with ours.client() as client:
        if initiator == "caponier":
            with pytest.raises(Refused):
                client.up("office")
        else:
            charon.swanctl("--initiate", "--child", "lan", "--timeout", "10", check=False)
        assert eventually(lambda: bool(client.status().troubles))
        trouble = client.status().troubles[-1]
    problem = trouble.problem
    line = problem.line
    text = ours.configuration.read_text().splitlines()[line - 1] if line else ""
    told = f"{problem.message} {problem.offered} {problem.accepted}"
    return problem.kind, problem.setting or "", line, f"{told} | {text}"


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_wrong_preshared_key(world: Topology, directory: Path, initiator: str) -> None:
    with pair(world, directory, Scenario(our_secret="another secret than theirs")) as (ours, charon):
        _, setting, line, told = refusal(ours, charon, initiator)
    assert setting == "local.secret"
    assert line is not None
    assert "office.psk" in told
    assert "another secret" not in told


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_no_common_ike_proposal(world: Topology, directory: Path, initiator: str) -> None:
    with pair(world, directory, Scenario(their_ike="aes128-sha256-modp2048")) as (ours, charon):
        _, setting, line, told = refusal(ours, charon, initiator)
    assert setting == "proposals"
    assert line is not None
    assert "aes256gcm16" in told
    if initiator == "strongswan":
        assert "aes128" in told


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_wrong_identity(world: Topology, directory: Path, initiator: str) -> None:
    with pair(world, directory, Scenario(their_id="stranger.example.com")) as (ours, charon):
        _, setting, _, told = refusal(ours, charon, initiator)
    if initiator == "strongswan":
        assert setting == "remote.id"
        assert "stranger.example.com" in told
        assert "gw2.example.com" in told


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_no_common_esp_proposal(world: Topology, directory: Path, initiator: str) -> None:
    with pair(world, directory, Scenario(their_esp="aes128-sha256")) as (ours, charon):
        _, setting, line, told = refusal(ours, charon, initiator)
    assert setting == "child.lan.proposals"
    assert line is not None
    assert "aes256gcm16" in told


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_unacceptable_selectors(world: Topology, directory: Path, initiator: str) -> None:
    with pair(world, directory, Scenario(their_networks="10.77.0.0/16")) as (ours, charon):
        _, setting, line, told = refusal(ours, charon, initiator)
    assert setting.startswith("child.lan.")
    assert line is not None
    assert "10.2.0.0/24" in told


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_unknown_authority(world: Topology, directory: Path, initiator: str) -> None:
    certificates = ecdsa_pair() | {"ca.pem": ecdsa_pair()["ca.pem"]}
    with pair(world, directory, Scenario(auth="certificate", certificates=certificates)) as (ours, charon):
        _, setting, _, _ = refusal(ours, charon, initiator)
    if initiator == "strongswan":
        assert setting == "remote.ca"


def eventually(condition: object, seconds: float = 10.0) -> bool:
    """Whether a condition becomes true; bounded."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())
