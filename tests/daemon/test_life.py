"""The life of a daemon: reload, end, death, restart, and what it leaves behind."""

from __future__ import annotations

import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from caponier.api.client import Client, NotReachable, Refused
from caponier.demo.gateways import DaemonDied
from caponier.demo.namespaces import Namespace
from caponier.demo.topology import LEFT, RIGHT, WIRE
from caponier.demo.traffic import ping
from tests.daemon.kernel import dump, links, routes, rules
from tests.daemon.site import CAPONIER, Pair, eventually, left, pinging, right
from tests.requirements import require

pytestmark = pytest.mark.privileged

BRANCH = """
[connection.branch]
local = {{ address = "{here}", id = "branch.{name}.example.com", secret = "file:office.psk" }}
remote = {{ address = "{there}", id = "branch.{peer}.example.com" }}
start = "{start}"
{lines}

[connection.branch.child.lan]
local = "{network}"
remote = "{peers}"
"""


def branch(side: str, *, start: str = "manual", lines: str = "") -> str:
    """A second connection between the same gateways, for other networks."""
    here, there = (LEFT, RIGHT) if side == "left" else (RIGHT, LEFT)
    networks = {"gw1": "10.11.0.0/24", "gw2": "10.12.0.0/24"}
    return BRANCH.format(
        here=here.outer,
        there=there.outer,
        name=here.gateway_name,
        peer=there.gateway_name,
        network=networks[here.gateway_name],
        peers=networks[there.gateway_name],
        start=start,
        lines=lines,
    )


def reloaded(pair: Pair, name: str) -> None:
    """Send SIGHUP, and wait until the journal tells what came of it."""
    before = pair.log(name).count("reloaded")
    pair.signal(name, signal.SIGHUP)
    assert eventually(lambda: pair.log(name).count("reloaded") > before)


# -- reload


def test_a_reload_touches_only_the_connections_that_changed(pair: Pair) -> None:
    pair.configure(left(rest=branch("left", start="boot")), right(rest=branch("right")))
    pair.start("gw2", "gw1")
    pair.up()
    assert eventually(lambda: pair.is_up("branch"))
    office, old_branch = pair.child("gw1"), pair.child("gw1", "branch")
    assert office is not None
    assert old_branch is not None
    with pinging(pair, seconds=1) as pings:
        pair.configure(left(rest=branch("left", start="boot", lines="liveness = 31")))
        reloaded(pair, "gw1")
        assert eventually(lambda: pair.is_up("branch") and pair.child("gw1", "branch") != old_branch)
    assert pings.lost == 0
    new_office, new_branch = pair.child("gw1"), pair.child("gw1", "branch")
    assert new_office is not None
    assert new_branch is not None
    assert (new_office.spi_in, new_office.spi_out) == (office.spi_in, office.spi_out)
    assert new_branch.spi_in != old_branch.spi_in
    assert pair.is_up()
    assert "changed branch" in pair.log("gw1")
    assert "office" not in pair.log("gw1").split("reloaded", 1)[1].splitlines()[0]


def test_a_reload_of_an_unchanged_file_changes_nothing(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    pair.up()
    before = pair.child("gw1")
    reloaded(pair, "gw1")
    assert "nothing changed" in pair.log("gw1")
    after = pair.child("gw1")
    assert before is not None
    assert after is not None
    assert before.spi_in == after.spi_in
    assert pair.is_up()


def test_a_broken_file_is_refused_and_the_old_one_stays_in_force(pair: Pair) -> None:
    pair.configure(left(rest=branch("left")), right(rest=branch("right")))
    pair.start("gw2", "gw1")
    pair.up()
    before = pair.status("gw1")
    pair.configure(left(rest='[connection.office2]\nlocl = "x"'))
    reloaded(pair, "gw1")
    assert "not reloaded, everything stays as it was" in pair.log("gw1")
    assert "gw1.toml:" in pair.log("gw1")
    with pair.client("gw1") as client, pytest.raises(Refused, match="locl"):
        client.reload()
    after = pair.status("gw1")
    assert after.connections == before.connections
    assert [sa.spi_i for sa in after.ike_sas] == [sa.spi_i for sa in before.ike_sas]
    assert pair.is_up()
    pair.carries()


def test_a_connection_that_is_removed_goes_down_at_the_peer_too(pair: Pair) -> None:
    """RFC 7296 section 1.4.1: the Delete of the IKE SA."""
    pair.configure(left(rest=branch("left")), right(rest=branch("right")))
    pair.start("gw2", "gw1")
    pair.up()
    with pair.client("gw1") as client:
        client.up("branch")
        pair.configure(left())
        assert client.reload() == ["removed branch"]
        with pytest.raises(Refused, match="no connection named branch"):
            client.up("branch")
    assert eventually(lambda: pair.ike_sa("gw2", "branch") is None)
    assert [each.name for each in pair.status("gw1").connections] == ["office"]
    assert pair.is_up()
    assert "10.12.0.0/24" not in routes(pair.world.gw1, 220)


def test_a_connection_that_is_added_comes_up(pair: Pair) -> None:
    pair.configure(left(), right(rest=branch("right")))
    pair.start("gw2", "gw1")
    pair.configure(left(rest=branch("left", start="boot")))
    reloaded(pair, "gw1")
    assert eventually(lambda: pair.is_up("branch"))


def test_another_secret_under_the_same_name_is_a_change(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    pair.up()
    pair.put("office.psk", b"another secret for both of them\n")
    for name in ("gw1", "gw2"):
        with pair.client(name) as client:
            assert client.reload() == ["changed office"]
    pair.up()
    pair.carries()


# -- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_is_told_to_the_peer_and_leaves_nothing(pair: Pair, number: signal.Signals) -> None:
    """RFC 7296 section 1.4.1; and links, addresses, routes and rules are what they were before."""
    pair.absent("gw1")
    before = dump(pair.world.gw1)
    pair.configure(left(rest=branch("left")), right(rest=branch("right")))
    pair.start("gw2", "gw1")
    pair.up()
    pair.carries()
    assert dump(pair.world.gw1) - before
    pair.signal("gw1", number)
    process = pair.process("gw1")
    assert process.wait(15) == 0
    pair.stop("gw1")
    assert eventually(lambda: pair.ike_sa("gw2") is None)
    assert "the peer deleted the IKE SA" in pair.log("gw2")
    assert dump(pair.world.gw1) == before
    assert not pair.control("gw1").exists()


def test_the_end_while_people_wait_and_watch(pair: Pair) -> None:
    """Nobody is left hanging, and the log tells no story of cancelled tasks."""
    pair.absent("gw2")
    pair.configure(left())
    pair.start("gw1", impatient=False)
    found: list[Exception] = []

    def wait() -> None:
        try:
            with pair.client("gw1") as client:
                client.up("office", seconds=30)
        except (NotReachable, Refused) as error:
            found.append(error)

    is_watching = threading.Event()

    def watch() -> None:
        with pair.client("gw1") as client:
            for _ in client.events():
                is_watching.set()

    threads = [threading.Thread(target=work) for work in (wait, watch)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: any(sa.phase == "connecting" for sa in pair.status("gw1").ike_sas))
    with pair.client("gw1") as client:
        client.reload()  # something that happens
    assert is_watching.wait(10)
    pair.stop("gw1")
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(found) == 1


def test_the_end_while_the_peer_is_silent(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    pair.up()
    pair.kill("gw2")
    pair.stop("gw1")
    assert links(pair.world.gw1).isdisjoint({"cap0"})


# -- death


def test_a_killed_daemon_starts_again_over_its_leftovers(pair: Pair) -> None:
    pair.absent("gw1")
    before = dump(pair.world.gw1)
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    pair.up()
    pair.kill("gw1")
    assert rules(pair.world.gw1, 220) == 2
    assert pair.control("gw1").exists()
    pair.start("gw1")
    assert rules(pair.world.gw1, 220) == 2
    assert routes(pair.world.gw1, 220) == set()
    pair.up()
    pair.carries()
    pair.stop("gw1")
    assert dump(pair.world.gw1) == before


def test_a_peer_that_was_killed_and_comes_back_is_met_with_one_ike_sa(pair: Pair) -> None:
    """RFC 7296 section 2.4: INITIAL_CONTACT; what is left of its former life goes."""
    pair.configure(left(), right(lines='start = "boot"'))
    pair.start("gw1", "gw2")
    assert eventually(pair.is_up)
    old = pair.ike_sa("gw1")
    pair.kill("gw2")
    pair.start("gw2")
    assert eventually(pair.is_up)
    assert eventually(lambda: len(pair.status("gw1").ike_sas) == 1)
    new = pair.ike_sa("gw1")
    assert old is not None
    assert new is not None
    assert old.spi_i != new.spi_i
    assert "INITIAL_CONTACT" in pair.log("gw1")
    pair.carries()


def test_a_peer_that_dies_is_noticed_and_found_again(pair: Pair) -> None:
    """RFC 7296 section 2.4: liveness; and a connection of boot is brought back when the peer is there again."""
    pair.configure(left(lines='start = "boot"\nliveness = 1'), right())
    pair.start("gw2", "gw1")
    assert eventually(pair.is_up)
    pair.kill("gw2")
    assert eventually(lambda: any(each.problem.kind == "Silent" for each in pair.troubles("gw1")))
    assert pair.ike_sa("gw1") is None
    assert routes(pair.world.gw1, 220) == {RIGHT.network, RIGHT.network6}  # its packets are held, not let go
    pair.start("gw2")
    assert eventually(pair.is_up)
    assert pair.troubles("gw1") == []
    pair.carries()


# -- when connections come up


def test_boot_is_tried_until_the_peer_appears(pair: Pair) -> None:
    pair.absent("gw2")
    pair.configure(left(lines='start = "boot"'), right())
    pair.start("gw1")
    assert eventually(lambda: pair.log("gw1").count("no answer to IKE_SA_INIT") >= 2)
    (trouble,) = pair.troubles("gw1")
    assert (trouble.connection, trouble.problem.kind) == ("office", "Silent")
    pair.start("gw2")
    assert eventually(pair.is_up)
    pair.carries()


def test_boot_is_tried_until_there_is_a_way(pair: Pair) -> None:
    """At boot the network may come up after us."""
    ways = {"gw1": "198.51.100.1", "gw2": "198.51.100.2"}
    pair.configure(left(lines='start = "boot"'), right())
    for name, ours, theirs in (("gw1", LEFT, RIGHT), ("gw2", RIGHT, LEFT)):
        file = pair.directory / f"{name}.toml"
        text = file.read_text().replace(f'address = "{ours.outer}"', "")
        file.write_text(text.replace(theirs.outer, ways["gw2" if name == "gw1" else "gw1"]))
    pair.start("gw2", "gw1")
    (trouble,) = pair.troubles("gw1")
    assert "no address of ours reaches 198.51.100.2" in trouble.problem.message
    with ExitStack() as undo:
        for name, address in ways.items():
            undo.enter_context(addressed(pair.namespace(name), address))
        assert eventually(pair.is_up)
        assert pair.troubles("gw1") == []


@contextmanager
def addressed(namespace: Namespace, address: str) -> Iterator[None]:
    """A further address on the link between the gateways."""
    with namespace.netlink() as netlink:
        where = {"index": netlink.link_lookup(ifname=WIRE)[0], "address": address, "prefixlen": 24}
        netlink.addr("add", **where)
        try:
            yield
        finally:
            netlink.addr("del", **where)


def test_boot_gives_up_when_somebody_says_so(pair: Pair) -> None:
    pair.absent("gw2")
    pair.configure(left(lines='start = "boot"'), right())
    pair.start("gw1")
    with pair.client("gw1") as client:
        client.down("office")
    pair.start("gw2")
    longer_than_the_first_pause = 1.3
    assert not eventually(lambda: pair.status("gw1").ike_sas or pair.status("gw2").ike_sas, longer_than_the_first_pause)


def test_on_demand_comes_up_with_the_first_packet(pair: Pair) -> None:
    """RFC 4301 section 5.1: a packet that matches PROTECT, and has no SA, makes one."""
    pair.configure(left(lines='start = "on-demand"'), right())
    pair.start("gw2", "gw1")
    assert pair.status("gw1").ike_sas == []
    assert routes(pair.world.gw1, 220) == {"10.2.0.0/24", "fd00:2::/64"}
    assert eventually(lambda: ping(pair.world.alice, RIGHT.host, count=1, seconds=0.3).received)
    assert pair.is_up()
    with pair.client("gw1") as client:
        client.down("office")
    assert pair.is_up() is False
    assert routes(pair.world.gw1, 220) == {"10.2.0.0/24", "fd00:2::/64"}
    assert eventually(lambda: ping(pair.world.alice, RIGHT.host, count=1, seconds=0.3).received)


def test_on_demand_without_a_peer_does_not_fill_the_log(pair: Pair) -> None:
    pair.absent("gw2")
    pair.configure(left(lines='start = "on-demand"'))
    pair.start("gw1")
    for _ in range(5):
        ping(pair.world.alice, RIGHT.host, count=40, seconds=0.01)
    assert eventually(lambda: bool(pair.troubles("gw1")))
    assert len(pair.log("gw1").splitlines()) < 40


def test_manual_waits(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw1", "gw2")
    assert pair.carries_nothing()
    assert pair.status("gw1").ike_sas == pair.status("gw2").ike_sas == []
    pair.up("gw2")
    assert pair.is_up()


def test_both_sides_at_once_end_with_one_tunnel(pair: Pair) -> None:
    pair.configure(left(lines='start = "boot"'), right(lines='start = "boot"'))
    pair.start("gw1", "gw2")
    pair.up()
    assert eventually(lambda: len(pair.status("gw1").ike_sas) == len(pair.status("gw2").ike_sas) == 1 and pair.is_up())
    pair.carries()


# -- one child of several


TWO = 'local = "{0}"\nremote = "{1}"\n[connection.office.child.lan6]\nlocal = "{2}"\nremote = "{3}"'


def two_children(pair: Pair) -> None:
    networks = (LEFT.network, RIGHT.network, LEFT.network6, RIGHT.network6)
    pair.configure(left(child=TWO.format(*networks)), right(child=TWO.format(*networks[1::-1], *networks[:1:-1])))
    pair.start("gw1", "gw2")


def test_one_child_goes_down_and_comes_up_by_itself(pair: Pair) -> None:
    """RFC 7296 sections 1.3.1 and 1.4.1: the IKE SA and the other Child SA stay."""
    two_children(pair)
    pair.up()
    assert pair.is_up(child="lan")
    assert pair.is_up(child="lan6")
    sa, lan = pair.ike_sa("gw1"), pair.child("gw1")
    with pair.client("gw1") as client:
        client.down("office", "lan6")
        assert eventually(lambda: pair.child("gw2", child="lan6") is None)
        assert ping(pair.world.alice, RIGHT.host6, count=1, seconds=0.2).received == 0
        assert ping(pair.world.alice, RIGHT.host, count=2).received == 2
        client.up("office", "lan6")
    assert pair.is_up(child="lan6")
    assert ping(pair.world.alice, RIGHT.host6, count=2).received == 2
    again, still = pair.ike_sa("gw1"), pair.child("gw1")
    assert sa is not None
    assert again is not None
    assert lan is not None
    assert still is not None
    assert (sa.spi_i, lan.spi_in) == (again.spi_i, still.spi_in)


def test_bringing_one_child_up_leaves_the_others_down(pair: Pair) -> None:
    two_children(pair)
    pair.up()
    with pair.client("gw1") as client:
        client.down("office", "lan")
        client.down("office", "lan6")
        client.up("office", "lan6")
    assert pair.is_up(child="lan6")
    assert pair.child("gw1", child="lan") is None


# -- who waits for what


def test_down_ends_the_waiting_for_up(pair: Pair) -> None:
    pair.absent("gw2")
    pair.configure(left())
    pair.start("gw1", impatient=False)
    found: list[Refused] = []

    def wait() -> None:
        with pair.client("gw1") as client, pytest.raises(Refused) as refusal:
            client.up("office", seconds=60)
        found.append(refusal.value)

    thread = threading.Thread(target=wait)
    thread.start()
    assert eventually(lambda: bool(pair.status("gw1").ike_sas))
    with pair.client("gw1") as client:
        client.down("office")
    thread.join(10)
    assert [error.problem.message for error in found] == ["office was brought down meanwhile"]


def test_the_failure_of_a_stranger_does_not_end_the_waiting_for_up(pair: Pair) -> None:
    """RFC 7296 section 2.21.1: what is not authenticated decides nothing; here it comes from the peer's address."""
    pair.absent("gw2")
    pair.configure(left())
    pair.start("gw1", impatient=False)
    found: list[Exception] = []

    def wait() -> None:
        try:
            with pair.client("gw1") as client:
                client.up("office", seconds=3)
        except Refused as error:
            found.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert eventually(lambda: bool(pair.status("gw1").ike_sas))
    with pair.world.gw2.inside():
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with stranger:
        stranger.sendto(refused_request(), (LEFT.outer, 500))
        assert eventually(lambda: any(each.problem.kind == "NoProposalChosen" for each in pair.troubles("gw1")))
    assert found == []
    thread.join(10)
    assert "not up after 3 seconds" in str(found[0])


def refused_request() -> bytes:
    """An IKE_SA_INIT request whose proposals nobody takes."""
    from caponier.doi.ikev2 import ExchangeType, KeyExchangeId
    from caponier.mechanisms.negotiation.proposals import parse_ike_proposal
    from caponier.protocols.ike.messages.header import Header
    from caponier.protocols.ike.messages.message import encode_message
    from caponier.protocols.ike.messages.payloads import KeyExchange, Nonce, SecurityAssociation

    proposal = parse_ike_proposal("3des-md5-modp1024")
    header = Header(
        spi_i=bytes(range(1, 9)),
        spi_r=bytes(8),
        exchange=ExchangeType.IKE_SA_INIT,
        is_initiator=True,
        is_response=False,
        message_id=0,
    )
    payloads = (SecurityAssociation((proposal,)), KeyExchange(KeyExchangeId.MODP_1024, bytes(128)), Nonce(bytes(32)))
    return encode_message(header, payloads)


# -- with less privilege


def test_three_capabilities_are_enough(pair: Pair) -> None:
    """capabilities(7): the interface and routes, raw sockets, ports below 1024; and no way to get more."""
    require(None if shutil.which("setpriv") else "setpriv is missing: apt install util-linux")
    pair.absent("gw1")
    pair.configure(left(), right())
    pair.start("gw2")
    few = ["setpriv", "--bounding-set", "-all,+net_admin,+net_raw,+net_bind_service", "--no-new-privs"]
    process = pair.world.gw1.start(
        [*few, *CAPONIER, "run", "-c", str(pair.directory / "gw1.toml")], log=pair.directory / "gw1.log"
    )
    try:
        assert eventually(lambda: pair.control("gw1").exists())
        with Client(pair.control("gw1")) as client:
            client.up("office")
        pair.carries()
    finally:
        process.terminate()
        assert process.wait(15) == 0


# -- who is there already


def test_a_second_daemon_on_the_same_control_socket_is_refused(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw1")
    told = pair.world.gw1.run([*CAPONIER, "run", "-c", str(pair.directory / "gw1.toml")])
    assert told.returncode == 1
    assert "another daemon answers on" in told.stderr
    assert "daemon.control" in told.stderr
    assert pair.status("gw1").ike_sas == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "another program has UDP port 500"),
        ("port = 501", "another program has UDP port 4500"),
        ("port = 501\nnat_port = 4501", "the interface cap0 cannot be created"),
        ('port = 501\nnat_port = 4501\ninterface = "cap1"', "another daemon uses the routing table 220"),
    ],
)
def test_a_second_daemon_on_what_the_first_one_has_is_refused(pair: Pair, lines: str, told: str) -> None:
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    pair.up()
    before = dump(pair.world.gw1)
    other = pair.directory / "second.toml"
    other.write_text(f'[daemon]\ncontrol = "{pair.directory}/second.sock"\n{lines}\n')
    done = pair.world.gw1.run([*CAPONIER, "run", "-c", str(other)])
    assert done.returncode == 1
    assert told in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert dump(pair.world.gw1) == before
    assert not (pair.directory / "second.sock").exists()
    pair.carries()


def test_a_second_daemon_with_everything_of_its_own_runs_beside_the_first(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw2", "gw1")
    pair.up()
    before = dump(pair.world.gw1)
    own = 'port = 501\nnat_port = 4501\ninterface = "cap%d"\ntable = 221\nmark = 4294967295'
    (pair.directory / "second.toml").write_text(f'[daemon]\ncontrol = "{pair.directory}/second.sock"\n{own}\n')
    from caponier.demo.gateways import start, stop

    second = start("second", pair.world.gw1, pair.directory)
    assert len(links(pair.world.gw1) & {"cap0", "cap1"}) == 2
    pair.carries()
    assert stop(second) == 0
    assert dump(pair.world.gw1) == before
    pair.carries()


def test_a_stale_control_socket_is_replaced(pair: Pair) -> None:
    pair.absent("gw1")
    pair.configure(left(), right())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(pair.control("gw1")))
    pair.start("gw1")
    assert pair.status("gw1").ike_sas == []


def test_a_file_in_the_place_of_the_control_socket_is_left_alone(pair: Pair) -> None:
    pair.absent("gw1")
    pair.configure(left(), right())
    pair.control("gw1").write_text("precious")
    with pytest.raises(DaemonDied, match="is no socket"):
        pair.start("gw1")
    assert pair.control("gw1").read_text() == "precious"
    pair.control("gw1").unlink()


def test_the_rule_and_the_routes_of_others_in_the_same_table_are_left_alone(pair: Pair) -> None:
    """strongSwan uses table 220 by a rule of priority 220 too, and leaves it behind when it is killed."""
    pair.absent("gw1")
    with pair.world.gw1.netlink() as netlink:
        wan = netlink.link_lookup(ifname="wan0")[0]
        netlink.rule("add", priority=220, table=220)
        netlink.route("add", dst="203.0.113.0/24", oif=wan, table=220, proto="static")
    try:
        before = dump(pair.world.gw1)
        pair.configure(left(), right())
        pair.start("gw2", "gw1")
        pair.up()
        pair.carries()
        pair.stop("gw1")
        assert dump(pair.world.gw1) == before
    finally:
        with pair.world.gw1.netlink() as netlink:
            netlink.route("del", dst="203.0.113.0/24", oif=wan, table=220)
            netlink.rule("del", priority=220, table=220)


def test_a_daemon_that_cannot_start_leaves_nothing(pair: Pair) -> None:
    pair.absent("gw1")
    before = dump(pair.world.gw1)
    pair.configure(left(daemon='interface = "lo"'), right())
    with pytest.raises(DaemonDied, match="the interface lo cannot be created"):
        pair.start("gw1")
    assert dump(pair.world.gw1) == before
    assert not pair.control("gw1").exists()
