"""Every IKE algorithm that Debian's strongSwan has, agreed on with it in both roles (RFC 7296 sections 1.2 and 3.3.2).

One daemon on each side for all suites; each suite is a connection of its own on both.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from caponier.api.client import Client, Refused
from caponier.demo import gateways
from caponier.demo.topology import LEFT, RIGHT, Topology
from caponier.mechanisms.negotiation.proposals import format_proposal, parse_ike_proposal
from tests.exchange.suites import SUITES
from tests.interop.charon import Charon
from tests.interop.peers import SECRET, THEM, US

pytestmark = [pytest.mark.privileged, pytest.mark.peer("strongswan"), pytest.mark.usefixtures("strongswan")]

ESP = "aes256gcm16"


def _ours() -> str:
    """Connections c0, c1, ...; alike but for the suite, so that either side may take any for the other's."""
    connections = "".join(
        f"""
[connection.c{at}]
local = {{ address = "{LEFT.outer}", id = "{US}", auth = "psk", secret = "file:office.psk" }}
remote = {{ address = "{RIGHT.outer}", id = "{THEM}" }}
proposals = ["{suite}"]
encapsulation = "forced"
allow_weak = true

[connection.c{at}.child.lan{at}]
local = ["{LEFT.network}"]
remote = ["{RIGHT.network}"]
proposals = ["{ESP}"]
"""
        for at, suite in enumerate(SUITES)
    )
    return f'[daemon]\ncontrol = "gw1.sock"\nlog_level = "debug"\n{connections}'


def _theirs() -> str:
    connections = "".join(
        f"""
      c{at} {{
        version = 2
        local_addrs = {RIGHT.outer}
        remote_addrs = {LEFT.outer}
        proposals = {suite}
        encap = yes
        mobike = no
        local {{
          auth = psk
          id = {THEM}
        }}
        remote {{
          auth = psk
          id = {US}
        }}
        children {{
          lan{at} {{
            local_ts = {RIGHT.network}
            remote_ts = {LEFT.network}
            esp_proposals = {ESP}
          }}
        }}
      }}"""
        for at, suite in enumerate(SUITES)
    )
    return f'connections {{ {connections} }}\nsecrets {{ ike-office {{ secret = "{SECRET}" }} }}\n'


def _suite_of(client: Client, charon: Charon, initiator: str, at: int) -> str:
    """What the two agree on, or how it fails; afterwards nothing of it is left."""
    try:
        if initiator == "caponier":
            client.up(f"c{at}")
        else:
            charon.swanctl("--initiate", "--child", f"lan{at}", "--timeout", "15")
        (sa,) = client.status().ike_sas
        suite = format_proposal(parse_ike_proposal(sa.suite))  # as short as it was written
        found = f"{suite} {sa.phase} with {len(sa.children)} child"
    except (Refused, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[-400:]
    for sa in client.status().ike_sas:
        client.down(sa.connection)
    return found


@pytest.mark.parametrize("initiator", ["caponier", "strongswan"])
def test_every_algorithm(world: Topology, directory: Path, initiator: str) -> None:
    (directory / "office.psk").write_text(SECRET + "\n")
    (directory / "office.psk").chmod(0o600)
    (directory / "gw1.toml").write_text(_ours().replace('"gw1.sock"', f'"{directory}/gw1.sock"'))
    with Charon(world.gw2, directory / "charon", _theirs()) as charon:
        ours = gateways.start("gw1", world.gw1, directory)
        try:
            with ours.client() as client:
                found = {suite: _suite_of(client, charon, initiator, at) for at, suite in enumerate(SUITES)}
        finally:
            gateways.stop(ours)
    assert found == {suite: f"{suite} established with 1 child" for suite in SUITES}
