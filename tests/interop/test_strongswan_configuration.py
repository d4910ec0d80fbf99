"""Internal addresses with strongSwan in both roles: as gateway with pools, as road warrior with ``vips`` (RFC 7296 section 2.19)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from caponier.demo import gateways
from caponier.demo.gateways import Gateway
from caponier.demo.topology import LEFT, RIGHT, Topology
from caponier.demo.traffic import ping, transfer
from tests.interop.charon import Charon
from tests.interop.peers import SECRET, THEM, US
from tests.interop.test_strongswan import FILLING, eventually

pytestmark = [pytest.mark.privileged, pytest.mark.peer("strongswan"), pytest.mark.usefixtures("strongswan")]

FOUR, SIX = ip_network("10.9.0.0/24"), ip_network("fd00:9::/120")

WARRIOR = f"""
[connection.office]
virtual_ip = "any"
encapsulation = "forced"
local = {{ address = "{LEFT.outer}", id = "{US}", secret = "file:office.psk" }}
remote = {{ address = "{RIGHT.outer}", id = "{THEM}" }}
proposals = ["aes256gcm16-prfsha384-ecp384"]

[connection.office.child.lan]
local = "dynamic"
remote = ["{RIGHT.network}", "{RIGHT.network6}"]
"""

GATEWAY = f"""
[pool.four]
addresses = "{FOUR}"
dns = "{LEFT.host}"

[pool.six]
addresses = "{SIX}"

[connection.office]
pool = ["four", "six"]
encapsulation = "forced"
local = {{ address = "{LEFT.outer}", id = "{US}", secret = "file:office.psk" }}
remote = {{ id = "*.example.com" }}
proposals = ["aes256gcm16-prfsha384-ecp384"]

[connection.office.child.lan]
local = ["{LEFT.network}", "{LEFT.network6}"]
remote = "dynamic"
"""


def theirs(lines: str, local: str, remote: str, rest: str = "") -> str:
    """strongSwan's side, but for what makes it gateway or road warrior."""
    return f"""
    connections {{
      office {{
        version = 2
        local_addrs = {RIGHT.outer}
        remote_addrs = {LEFT.outer}
        proposals = aes256gcm16-prfsha384-ecp384
        encap = yes
        mobike = no
        {lines}
        local {{
          auth = psk
          id = {THEM}
        }}
        remote {{
          auth = psk
          id = {US}
        }}
        children {{
          lan {{
            local_ts = {local}
            remote_ts = {remote}
            esp_proposals = aes256gcm16
          }}
        }}
      }}
    }}
    {rest}
    secrets {{ ike-office {{ secret = "{SECRET}" }} }}
    """


class WarriorCharon(Charon):
    """One that puts the addresses that it is given onto its interface."""

    def _settings(self) -> str:
        return super()._settings().replace("install_virtual_ip = no", "install_virtual_ip = yes")


@contextmanager
def both(world: Topology, directory: Path, ours: str, charon: Charon) -> Iterator[Gateway]:
    (directory / "office.psk").write_text(SECRET + "\n")
    (directory / "office.psk").chmod(0o600)
    (directory / "resolv.conf").write_text("nameserver 198.51.100.53\n")
    daemon = f'[daemon]\ncontrol = "{directory}/gw1.sock"\nresolver = "file"\nresolv_conf = "{directory}/resolv.conf"\n'
    (directory / "gw1.toml").write_text(daemon + ours)
    with charon:
        gateway = gateways.start("gw1", world.gw1, directory)
        try:
            yield gateway
        finally:
            code = gateways.stop(gateway)
            assert code == 0, f"the daemon ended with {code}:\n{gateway.log.read_text()[-3000:]}"


def test_strongswan_gives_us_addresses(world: Topology, directory: Path) -> None:
    """We ask with CFG_REQUEST; its pools give one address of each family, and a DNS server."""
    pools = f"""
    pools {{
      four {{
        addrs = {FOUR}
        dns = {RIGHT.host}
      }}
      six {{
        addrs = {SIX}
      }}
    }}
    """
    conf = theirs("pools = four, six", f"{RIGHT.network}, {RIGHT.network6}", "dynamic", pools)
    charon = Charon(world.gw2, directory / "charon", conf)
    with both(world, directory, WARRIOR, charon) as ours, ours.client() as client:
        client.up("office")
        (sa,) = client.status().ike_sas
        four, six = map(ip_address, sa.assigned)
        assert four in FOUR
        assert six in SIX
        (child,) = sa.children
        assert child.local == sa.assigned
        assert str(four) in charon.swanctl("--list-sas")
        assert ping(world.gw1, RIGHT.host, count=3, payload=FILLING).received == 3
        assert ping(world.gw1, RIGHT.host6, count=3, payload=FILLING).received == 3
        assert transfer(world.gw1, world.bob, RIGHT.host, octets=1 << 20, filling=FILLING).intact
        assert eventually(lambda: f"nameserver {RIGHT.host}\n" in (directory / "resolv.conf").read_text())
        client.rekey("office", ike=True)
        client.rekey("office")
        assert client.status().ike_sas[0].assigned == sa.assigned
        assert ping(world.gw1, RIGHT.host, count=3, payload=FILLING).received == 3
        client.down("office")
        client.up("office")
        assert client.status().ike_sas[0].assigned == sa.assigned
    assert (directory / "resolv.conf").read_text() == "nameserver 198.51.100.53\n"


def test_strongswan_has_no_address_left(world: Topology, directory: Path) -> None:
    """Section 3.15.4: INTERNAL_ADDRESS_FAILURE of strongSwan ends our IKE SA."""
    conf = theirs("pools = none", RIGHT.network, "dynamic", "pools { none { addrs = 10.9.0.1/32 } }")
    charon = Charon(world.gw2, directory / "charon", conf)
    warrior = WARRIOR.replace('virtual_ip = "any"', 'virtual_ip = "::"')
    with both(world, directory, warrior, charon) as ours, ours.client() as client:
        with pytest.raises(Exception, match="address"):
            client.up("office")
        assert eventually(lambda: not client.status().ike_sas)
        assert eventually(lambda: "ESTABLISHED" not in charon.swanctl("--list-sas"))


def test_we_give_strongswan_addresses(world: Topology, directory: Path) -> None:
    """It asks by zeros for any; it installs what we give, and is narrowed to that."""
    conf = theirs("vips = 0.0.0.0, ::", "dynamic", f"{LEFT.network}, {LEFT.network6}")
    charon = WarriorCharon(world.gw2, directory / "charon", conf)
    with both(world, directory, GATEWAY, charon) as ours, ours.client() as client:
        charon.swanctl("--initiate", "--child", "lan", "--timeout", "15")
        (sa,) = client.status().ike_sas
        four, six = map(ip_address, sa.lent)
        assert four in FOUR
        assert six in SIX
        (child,) = sa.children
        assert child.remote == sa.lent
        told = charon.swanctl("--list-sas")
        assert str(four) in told
        assert str(six) in told
        assert ping(world.gw2, LEFT.host, count=3, payload=FILLING).received == 3
        assert ping(world.alice, str(four), count=3, payload=FILLING).received == 3
        assert [pool.held for pool in client.status().pools] == [1, 1]
        charon.swanctl("--rekey", "--ike", "office")
        assert eventually(lambda: [each.spi_i for each in client.status().ike_sas] not in ([sa.spi_i], []))
        assert eventually(lambda: [each.lent for each in client.status().ike_sas] == [sa.lent])
        charon.swanctl("--terminate", "--ike", "office", "--timeout", "10")
        assert eventually(lambda: [pool.held for pool in client.status().pools] == [0, 0])
        charon.swanctl("--initiate", "--child", "lan", "--timeout", "15")
        assert client.status().ike_sas[0].lent == sa.lent


def test_strongswan_authenticates_anew_and_keeps_its_address(world: Topology, directory: Path) -> None:
    """A new IKE SA of the same peer: it asks for the address that it had, and has it."""
    lines = "vips = 0.0.0.0\nreauth_time = 4s\nover_time = 20s\nrand_time = 0s"
    conf = theirs(lines, "dynamic", LEFT.network)
    charon = WarriorCharon(world.gw2, directory / "charon", conf)
    with both(world, directory, GATEWAY, charon) as ours, ours.client() as client:
        charon.swanctl("--initiate", "--child", "lan", "--timeout", "15")
        (sa,) = client.status().ike_sas
        assert eventually(lambda: [each.spi_i for each in client.status().ike_sas] not in ([sa.spi_i], []), 20)
        assert eventually(lambda: len(client.status().ike_sas) == 1)
        assert eventually(lambda: [each.lent for each in client.status().ike_sas] == [sa.lent])
