"""Every algorithm of ESP that a configuration can name, negotiated by two daemons and carrying packets (RFC 8221)."""

from __future__ import annotations

import pytest

from caponier.demo.topology import LEFT, RIGHT
from caponier.demo.traffic import ping
from tests.daemon.site import Pair, left, right

pytestmark = pytest.mark.privileged

PROPOSALS = (
    *(f"aes{bits}gcm{icv}" for bits in (128, 192, 256) for icv in (8, 12, 16)),
    *(f"aes{bits}ccm{icv}" for bits in (128, 256) for icv in (8, 12, 16)),
    "aes128gmac",
    "aes256gmac",
    "chacha20poly1305",
    "aes128ctr-sha256",
    "aes256ctr-sha512",
    "aes128-sha1",
    "aes192-sha384",
    "aes256-aesxcbc",
    "aes256-aescmac",
    "camellia128-sha256",
    "camellia256-sha256",
    "null-sha256",
    "3des-sha1",
    "aes128-md5",
)
WEAK = ("3des-sha1", "aes128-md5")


@pytest.mark.parametrize("numbers", ["esn", "noesn"])
@pytest.mark.parametrize("proposal", PROPOSALS)
def test_packets_pass_under(pair: Pair, proposal: str, numbers: str) -> None:
    lines = "allow_weak = true" if proposal in WEAK else ""
    child = f'proposals = ["{proposal}-{numbers}"]'
    gw1, gw2 = left(lines=lines), right(lines=lines)
    pair.configure(left(lines=lines, child=f"{gw1.child}\n{child}"), right(lines=lines, child=f"{gw2.child}\n{child}"))
    pair.start("gw1", "gw2")
    with pair.client("gw1") as client:
        client.up("office")
        (sa,) = client.status().ike_sas
    expected = proposal if numbers == "noesn" else f"{proposal}-esn"
    assert [found.suite for found in sa.children] == [expected]
    for source, hosts in ((pair.world.alice, (RIGHT.host, RIGHT.host6)), (pair.world.bob, (LEFT.host,))):
        for host in hosts:
            assert ping(source, host, count=2, payload=bytes(700)).received == 2
