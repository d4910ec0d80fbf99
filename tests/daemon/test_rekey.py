"""New keys under traffic: the real daemons, the real plane, and not one packet lost (RFC 7296 sections 1.3.3 and 2.8)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from caponier.api.client import Refused
from caponier.demo.topology import LEFT, RIGHT
from caponier.demo.traffic import ping
from tests.daemon.site import CONNECTION, Pair, caponier, left, right

pytestmark = pytest.mark.privileged


def rekey(pair: Pair, name: str) -> None:
    with pair.client(name) as client:
        client.rekey(CONNECTION)


def rekey_ike(pair: Pair, name: str) -> None:
    with pair.client(name) as client:
        client.rekey(CONNECTION, ike=True)


@pytest.mark.parametrize("proposals", ["aes128gcm16", "aes256gcm16-x25519"])
def test_no_packet_is_lost_however_often_the_keys_change(pair: Pair, proposals: str) -> None:
    """Each side asks in turn, then both at once, then for the IKE SA, while pings go both ways as fast as they are answered."""
    line = f'\nproposals = ["{proposals}"]'
    pair.configure(left(child=left().child + line), right(child=right().child + line))
    pair.start("gw2", "gw1")
    pair.up()
    stop = threading.Event()

    def pings(here: object, there: str) -> tuple[int, int]:
        sent = received = 0
        while not stop.is_set() and sent < 1_000_000:
            found = ping(here, there, count=100)  # type: ignore[arg-type]
            sent, received = sent + found.sent, received + found.received
        return sent, received

    spis = set()
    with ThreadPoolExecutor(4) as pool:
        traffic = [pool.submit(pings, pair.world.alice, RIGHT.host), pool.submit(pings, pair.world.bob, LEFT.host6)]
        try:
            for _ in range(5):
                for name in ("gw1", "gw2"):
                    rekey(pair, name)
                    spis.add(pair.child("gw1").spi_in)  # type: ignore[union-attr]
                both = [pool.submit(rekey, pair, name) for name in ("gw1", "gw2")]
                [each.result() for each in both]
                rekey_ike(pair, "gw2")
        finally:
            stop.set()
        for each in traffic:
            sent, received = each.result()
            assert sent == received > 100
    assert len(spis) == 10
    assert pair.is_up()
    for name in ("gw1", "gw2"):
        child = pair.child(name)
        assert child is not None
        assert child.inbound is not None
        assert not child.inbound.dropped
        assert not pair.troubles(name)


def test_what_is_not_up_has_no_keys(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    with pair.client("gw1") as client:
        with pytest.raises(Refused, match="office is not up"):
            client.rekey(CONNECTION)
        with pytest.raises(Refused, match="no child named"):
            client.rekey(CONNECTION, "nothing")
        with pytest.raises(Refused, match="no connection named"):
            client.rekey("nothing")


def test_the_command(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    pair.up()
    before = pair.child("gw1")
    done = caponier("rekey", CONNECTION, "--socket", str(pair.control("gw1")))
    after = pair.child("gw1")
    assert done.returncode == 0
    assert before is not None
    assert after is not None
    assert before.spi_in != after.spi_in
    assert done.stdout == f"rekeyed: office lan, SPI {after.spi_in:08x} in, {after.spi_out:08x} out\n"
    done = caponier("rekey", CONNECTION, "--ike", "--socket", str(pair.control("gw1")))
    sa = pair.ike_sa("gw1")
    assert sa is not None
    assert done.stdout == f"rekeyed: office, IKE SA {sa.spi_i}_{sa.spi_r}\n"
    assert pair.child("gw1").spi_in == after.spi_in  # type: ignore[union-attr]


def test_a_peer_that_refuses_is_named(pair: Pair) -> None:
    """The old keys stay in use, and the person hears why there are no new ones."""
    ours, theirs = '\nproposals = ["aes128gcm16-x25519"]', '\nproposals = ["aes128gcm16"]'
    pair.configure(left(child=left().child + ours), right(child=right().child + theirs))
    pair.start("gw2", "gw1")
    pair.up()
    with pair.client("gw1") as client, pytest.raises(Refused, match="accepts none of our ESP proposals"):
        client.rekey(CONNECTION)
    assert pair.is_up()
    pair.carries()


def test_all_child_sas_have_new_keys_before_anybody_is_told(pair: Pair) -> None:
    """The first one's do not answer for the second."""
    voice = '\n[connection.office.child.voice]\nlocal = ["{}"]\nremote = ["{}"]\n'
    ours, theirs = "10.11.0.0/16", "10.12.0.0/16"
    pair.configure(left(rest=voice.format(ours, theirs)), right(rest=voice.format(theirs, ours)))
    pair.start("gw2", "gw1")
    pair.up()
    before = spis(pair)
    rekey(pair, "gw1")
    after = spis(pair)
    assert set(before) == set(after) == {"lan", "voice"}
    assert set(before.values()).isdisjoint(after.values())


def spis(pair: Pair) -> dict[str, int]:
    sa = pair.ike_sa("gw1")
    assert sa is not None
    return {child.name: child.spi_in for child in sa.children}
