"""Two peers behind one NAT, and a NAT that forgets them (RFC 7296 section 2.23, RFC 3948, RFC 4555 section 3.8)."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from caponier.api.schema import IkeSa
from caponier.demo.gateways import Gateway, start, stop
from caponier.demo.namespaces import Namespace
from caponier.demo.traffic import ping, transfer
from tests.daemon.site import eventually
from tests.namespaces import own
from tests.requirements import require

pytestmark = pytest.mark.privileged

GATEWAY, OUTSIDE = "203.0.113.1", "203.0.113.254"
INNER = "10.7.0.1"  #: the gateway's address within the tunnels
NETLINK_NETFILTER, DELETE_CONNECTIONS, REQUEST_WITH_ANSWER = 12, 0x102, 0x5
FILLING = b"clear text that must not be seen on the wire. "

CLIENT = """\
[daemon]
control = "{directory}/{name}.sock"

[connection.home]
liveness = 2
{lines}
local = {{ id = "{name}.example.com", secret = "file:office.psk" }}
remote = {{ address = "203.0.113.1", id = "gw.example.com" }}

[connection.home.child.host]
local = "10.8.0.{number}"
remote = "10.7.0.1"
"""

SERVER = """\
[daemon]
control = "{directory}/gw.sock"
"""

PEER = """
[connection.{name}]
{lines}
local = {{ address = "203.0.113.1", id = "gw.example.com", secret = "file:office.psk" }}
remote = {{ id = "{name}.example.com" }}

[connection.{name}.child.host]
local = "10.7.0.1"
remote = "10.8.0.{number}"
"""


class Home:
    """Two machines behind a NAT, and a gateway outside."""

    def __init__(self, prefix: str, undo: ExitStack) -> None:
        self.nat, self.gw, *self.clients = (self._made(prefix + name, undo) for name in ("nat", "gw", "one", "two"))
        self.nat.write_sysctls({"net/ipv4/ip_forward": "1"})
        _link(self.nat, "out", OUTSIDE, self.gw, GATEWAY)
        _hold(self.gw, INNER)
        for number, client in enumerate(self.clients, start=1):
            _link(self.nat, f"in{number}", f"192.168.{number}.1", client, f"192.168.{number}.2")
            _hold(client, f"10.8.0.{number}")
            with client.netlink() as netlink:
                netlink.route("add", dst="default", gateway=f"192.168.{number}.1")

    @staticmethod
    def _made(name: str, undo: ExitStack) -> Namespace:
        made = Namespace.create(name)
        undo.callback(made.remove)
        return made

    def translate(self, ports: str = "") -> None:
        """Give what leaves the NAT's address, and a source port of these; forget the mappings before."""
        rules = (
            "flush ruleset\nadd table ip nat\n"
            "add chain ip nat out { type nat hook postrouting priority 100 ; }\n"
            f'add rule ip nat out oifname "out" meta l4proto udp masquerade {ports}\n'
        )
        done = self.nat.run(["nft", rules])
        require(None if done.returncode == 0 else f"the kernel has no NAT: {done.stderr.strip()}")
        _forget(self.nat)


def _link(here: Namespace, name: str, ours: str, there: Namespace, theirs: str) -> None:
    with here.netlink() as netlink:
        netlink.link("add", ifname=name, kind="veth", peer={"ifname": "net0", "net_ns_fd": there.name})
    for namespace, interface, address in ((here, name, ours), (there, "net0", theirs)):
        with namespace.netlink() as netlink:
            index = netlink.link_lookup(ifname=interface)[0]
            netlink.addr("add", index=index, address=address, prefixlen=24)
            netlink.link("set", index=index, state="up")


def _forget(namespace: Namespace) -> None:
    """Flush the table of connections: IPCTNL_MSG_CT_DELETE for all of them (nfnetlink_conntrack.h)."""
    with namespace.inside():
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    with netlink:
        netlink.settimeout(5)
        netlink.send(struct.pack("=IHHIIBBH", 20, DELETE_CONNECTIONS, REQUEST_WITH_ANSWER, 1, 0, 0, 0, 0))
        errno = struct.unpack_from("=i", netlink.recv(4096), 16)[0]
        assert errno == 0, os.strerror(-errno)


def _hold(namespace: Namespace, address: str) -> None:
    with namespace.netlink() as netlink:
        netlink.addr("add", index=1, address=address, prefixlen=32)


@pytest.fixture
def home() -> Iterator[Home]:
    require(None if shutil.which("nft") else "nft is missing: apt install nftables")
    prefix = own("caponier-nat-")
    with ExitStack() as undo:
        yield Home(prefix, undo)


@contextmanager
def running(home: Home, lines: str) -> Iterator[tuple[Gateway, list[Gateway]]]:
    """The gateway and both clients, their tunnels up."""
    directory = Path(f"/tmp/caponier-nat-{os.getpid()}")
    directory.mkdir(mode=0o755)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, directory)
        (directory / "office.psk").write_text("a secret between all of them\n")
        (directory / "office.psk").chmod(0o600)
        server = SERVER.format(directory=directory)
        for number, name in enumerate(("one", "two"), start=1):
            given = {"directory": directory, "name": name, "number": number, "lines": lines}
            (directory / f"{name}.toml").write_text(CLIENT.format(**given))
            server += PEER.format(**given)
        (directory / "gw.toml").write_text(server)
        made = []
        for name, namespace in zip(("gw", "one", "two"), (home.gw, *home.clients), strict=True):
            made.append(start(name, namespace, directory))
            undo.callback(_ended, made[-1])
        for client in made[1:]:
            with client.client() as api:
                api.up("home")
        yield made[0], made[1:]


def _ended(gateway: Gateway) -> None:
    assert stop(gateway) == 0, gateway.log.read_text()[-3000:]
    assert "Traceback" not in gateway.log.read_text()


def seen(gateway: Gateway) -> dict[str, IkeSa]:
    with gateway.client() as api:
        return {sa.connection: sa for sa in api.status().ike_sas}


def carries(home: Home) -> None:
    """Both machines and the gateway speak with each other, both ways, and nobody gets what is for the other one."""
    for number, client in enumerate(home.clients, start=1):
        assert ping(client, INNER, count=3).received >= 2
        assert ping(home.gw, f"10.8.0.{number}", count=3).received >= 2
        assert transfer(client, home.gw, INNER, octets=1 << 19, filling=FILLING).intact
        assert transfer(home.gw, client, f"10.8.0.{number}", octets=1 << 19, filling=FILLING).intact


@pytest.mark.parametrize("lines", ["", "mobike = false"])
def test_two_behind_one_nat_that_forgets_them(home: Home, lines: str) -> None:
    """One outer address, two ports; then other ports: IKE and packets go there, in both directions."""
    home.translate("to :20000-20099")
    with running(home, lines) as (gateway, clients):
        before = seen(gateway)
        assert {sa.remote_address for sa in before.values()} == {OUTSIDE}
        ports = {sa.remote_port for sa in before.values()}
        assert len(ports) == 2
        assert all(20_000 <= port <= 20_099 for port in ports)
        assert all(sa.nat_there and sa.children[0].encapsulated for sa in before.values())
        carries(home)
        home.translate("to :30000-30099")
        for client in home.clients:
            assert eventually(lambda client=client: ping(client, INNER, count=1).received == 1)  # type: ignore[misc]
        assert eventually(lambda: all(30_000 <= sa.remote_port <= 30_099 for sa in seen(gateway).values()))
        carries(home)
        after = seen(gateway)
        assert {name: sa.spi_i for name, sa in after.items()} == {name: sa.spi_i for name, sa in before.items()}
        for daemon in clients:
            with daemon.client() as api:
                api.rekey("home")  # IKE goes on too
        carries(home)


def test_a_nat_that_forgets_while_nothing_is_sent(home: Home) -> None:
    """RFC 4555 section 3.8: the sign of life tells; then the gateway finds the way in again by itself."""
    home.translate("to :20000-20099")
    with running(home, "") as (gateway, _):
        home.translate("to :30000-30099")
        assert eventually(lambda: all(30_000 <= sa.remote_port <= 30_099 for sa in seen(gateway).values()))
        for number in (1, 2):
            assert eventually(lambda number=number: ping(home.gw, f"10.8.0.{number}", count=1).received == 1)  # type: ignore[misc]
