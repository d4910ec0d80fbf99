"""What keeps a tunnel with strongSwan alive: reauthentication, liveness, Child SAs that come back (RFC 7296 sections 2.4 and 2.8.3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from caponier.demo.topology import RIGHT, Topology
from caponier.demo.traffic import ping
from tests.interop.peers import Scenario, pair
from tests.interop.test_strongswan import carries_traffic, comes_up, eventually

pytestmark = [pytest.mark.privileged, pytest.mark.peer("strongswan"), pytest.mark.usefixtures("strongswan")]


def test_we_authenticate_anew(world: Topology, directory: Path) -> None:
    """RFC 7296 section 2.8.3: strongSwan takes the new IKE SA beside the old one, and then the Delete of that."""
    with pair(world, directory, Scenario(our_lines="reauth = 10")) as (ours, charon), ours.client() as client:
        comes_up(ours, charon, "caponier")
        (old,) = client.status().ike_sas
        lost = 0

        def is_replaced() -> bool:
            nonlocal lost
            lost += 1 - ping(world.alice, RIGHT.host, count=1, seconds=1).received
            return old.spi_i not in {sa.spi_i for sa in client.status().ike_sas}

        assert eventually(is_replaced, seconds=30)
        assert eventually(lambda: len(client.status().ike_sas) == 1)
        assert (
            lost <= 1
        )  # strongSwan sends on the new Child SA when it has answered, a moment before we can receive on it
        assert client.status().ike_sas[0].role == "initiator"
        assert client.status().troubles == []
        carries_traffic(world)


def test_strongswan_authenticates_anew(world: Topology, directory: Path) -> None:
    """Its make_before_break: the new IKE SA with its Child SA, then the Delete of the old one."""
    scenario = Scenario(their_settings="make_before_break = yes")
    with pair(world, directory, scenario) as (ours, charon), ours.client() as client:
        comes_up(ours, charon, "strongswan")
        (old,) = client.status().ike_sas
        charon.swanctl("--rekey", "--ike", "office", "--reauth")
        assert eventually(lambda: old.spi_i not in {sa.spi_i for sa in client.status().ike_sas}, seconds=15)
        assert eventually(lambda: [len(sa.children) for sa in client.status().ike_sas] == [1])
        assert client.status().troubles == []
        carries_traffic(world)


@pytest.mark.parametrize("asker", ["caponier", "strongswan"])
def test_a_quiet_tunnel_is_asked_for_signs_of_life(world: Topology, directory: Path, asker: str) -> None:
    """RFC 7296 section 2.4: an empty INFORMATIONAL and its answer."""
    scenario = Scenario(our_lines="liveness = 1") if asker == "caponier" else Scenario(their_lines="dpd_delay = 1s")
    with pair(world, directory, scenario) as (ours, charon), ours.client() as client:
        comes_up(ours, charon, asker)
        (before,) = client.status().ike_sas
        asked = "parsed INFORMATIONAL request" if asker == "caponier" else "parsed INFORMATIONAL response"
        assert eventually(lambda: charon.log.read_text().count(asked) >= 3)
        (after,) = client.status().ike_sas
        assert after.spi_i == before.spi_i
        assert client.status().troubles == []


def test_a_peer_that_died_is_noticed_and_found_again(world: Topology, directory: Path) -> None:
    """It dies without a word, and starts anew: what is to be up comes back."""
    lines = 'start = "boot"\nliveness = 1'
    with pair(world, directory, Scenario(our_lines=lines)) as (ours, charon), ours.client() as client:
        assert eventually(lambda: any(sa.children for sa in client.status().ike_sas))
        (old,) = client.status().ike_sas
        assert charon.process is not None
        charon.process.kill()
        charon.process.wait(10)
        charon.socket.unlink()
        with charon:
            assert eventually(
                lambda: any(sa.children and sa.spi_i != old.spi_i for sa in client.status().ike_sas), seconds=120
            )
            assert eventually(lambda: "ESTABLISHED" in charon.swanctl("--list-sas"))


def test_a_child_sa_that_the_peer_deleted_comes_back(world: Topology, directory: Path) -> None:
    with pair(world, directory, Scenario(our_lines='start = "boot"')) as (ours, charon), ours.client() as client:
        assert eventually(lambda: any(sa.children for sa in client.status().ike_sas))
        (old,) = client.status().ike_sas[0].children
        charon.swanctl("--terminate", "--child", "lan")
        assert eventually(
            lambda: [each.spi_in for each in client.status().ike_sas[0].children] not in ([], [old.spi_in])
        )
        carries_traffic(world)
