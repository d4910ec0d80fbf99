"""Both ends of an interoperability test, configured as their manuals say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from caponier.demo import gateways
from caponier.demo.gateways import Gateway
from caponier.demo.topology import LEFT, RIGHT, Topology
from tests.interop.charon import Charon

SECRET = "a secret that only these two know"
US, THEM = "gw1.example.com", "gw2.example.com"


@dataclass(frozen=True)
class Scenario:
    """What both sides are told; defaults agree with each other.

    Attributes:
        ike: IKE proposal, in the spelling that both share.
        esp: ESP proposal.
        auth: ``psk`` or ``certificate``.
        our_secret: ours, where it is to differ.
        our_ike: our IKE proposals, where they are to differ.
        our_addresses: what stands in our local.address.
        our_lines: further lines of our connection.
        our_remote: further keys of our remote table.
        their_settings: further lines of strongSwan's ``charon`` section.
        their_ike: strongSwan's proposal, where it is to differ.
        their_lines: further lines of strongSwan's connection.
        their_secrets: further secrets of strongSwan's.
        their_id: strongSwan's identity, where it is to differ.
        their_networks: strongSwan's local traffic selectors, where they are to differ.
    """

    ike: str = "aes256gcm16-prfsha384-ecp384"
    esp: str = "aes256gcm16"
    auth: str = "psk"
    our_secret: str = SECRET
    our_ike: tuple[str, ...] = ()
    our_addresses: str = f'"{LEFT.outer}"'
    our_lines: str = ""
    our_remote: str = ""
    their_settings: str = ""
    their_ike: str | None = None
    their_esp: str | None = None
    their_id: str = THEM
    their_networks: str = f"{RIGHT.network}, {RIGHT.network6}"
    their_lines: str = ""
    their_secrets: str = ""
    certificates: dict[str, bytes] = field(default_factory=dict)


def _ours(scenario: Scenario, directory: Path) -> None:
    (directory / "office.psk").write_text(scenario.our_secret + "\n")
    (directory / "office.psk").chmod(0o600)
    for name in ("ours.pem", "ours.key", "ca.pem"):
        if name in scenario.certificates:
            (directory / name).write_bytes(scenario.certificates[name])
            (directory / name).chmod(0o600)
    if scenario.auth == "psk":
        local, remote = 'auth = "psk", secret = "file:office.psk"', ""
    else:
        local = 'auth = "certificate", certificate = "ours.pem", key = "ours.key"'
        remote = ', ca = "ca.pem"'
    (directory / "gw1.toml").write_text(
        f"""
[daemon]
control = "{directory}/gw1.sock"
log_level = "debug"

[connection.office]
local = {{ address = {scenario.our_addresses}, id = "{US}", {local} }}
remote = {{ address = "{RIGHT.outer}", id = "{THEM}"{remote}{scenario.our_remote} }}
proposals = {json.dumps(scenario.our_ike or [scenario.ike])}
encapsulation = "forced"
{scenario.our_lines}

[connection.office.child.lan]
local = ["{LEFT.network}", "{LEFT.network6}"]
remote = ["{RIGHT.network}", "{RIGHT.network6}"]
proposals = ["{scenario.esp}"]
"""
    )


def _theirs(scenario: Scenario) -> str:
    if scenario.auth == "psk":
        local, remote = "auth = psk", "auth = psk"
        secrets = f'secrets {{ ike-office {{ secret = "{SECRET}" }} }}'
    else:
        local, remote = "auth = pubkey\n certs = theirs.pem", "auth = pubkey\n cacerts = ca.pem"
        secrets = ""
    return f"""
    connections {{
      office {{
        version = 2
        local_addrs = {RIGHT.outer}
        remote_addrs = {LEFT.outer}
        proposals = {scenario.their_ike or scenario.ike}
        encap = yes
        mobike = no
        {scenario.their_lines}
        local {{
          {local}
          id = {scenario.their_id}
        }}
        remote {{
          {remote}
          id = {US}
        }}
        children {{
          lan {{
            local_ts = {scenario.their_networks}
            remote_ts = {LEFT.network}, {LEFT.network6}
            esp_proposals = {scenario.their_esp or scenario.esp}
            mode = tunnel
          }}
        }}
      }}
    }}
    {secrets}
    {scenario.their_secrets}
    """


@contextmanager
def pair(world: Topology, directory: Path, scenario: Scenario) -> Iterator[tuple[Gateway, Charon]]:
    """Caponier on gw1, strongSwan on gw2."""
    _ours(scenario, directory)
    charon = Charon(world.gw2, directory / "charon", _theirs(scenario), scenario.their_settings)
    for kind, name in (("x509", "theirs.pem"), ("private", "theirs.key"), ("x509ca", "ca.pem")):
        if name in scenario.certificates:
            charon.write(kind, name, scenario.certificates[name])
    with charon:
        ours = gateways.start("gw1", world.gw1, directory)
        try:
            yield ours, charon
        finally:
            code = gateways.stop(ours)
            assert code == 0, f"the daemon ended with {code}:\n{ours.log.read_text()[-3000:]}"
