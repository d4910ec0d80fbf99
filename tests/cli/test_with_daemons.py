"""The command line with two daemons, as a user has it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from caponier.api import schema
from caponier.api.routes import MAX_BODY
from caponier.cli.main import app
from caponier.demo.namespaces import Namespace
from tests.daemon.kernel import links
from tests.daemon.site import CAPONIER, Pair, caponier, left, right

pytestmark = pytest.mark.privileged

NOBODY = 65534


def control(pair: Pair, name: str = "gw1") -> tuple[str, str]:
    return "--socket", str(pair.control(name))


def invoke(*arguments: str) -> Any:
    """Run a command within this process."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture
def both(pair: Pair) -> Pair:
    """Two daemons with one connection that is down."""
    pair.configure(left(), right())
    pair.start("gw1", "gw2")
    return pair


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without any privilege, for as long as it lasts."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


# -- up, down, status


def test_up_status_down(both: Pair) -> None:
    done = caponier("up", "office", *control(both))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "up: office with gw2.example.com, carrying lan\n"
    both.carries()
    status = caponier("status", *control(both))
    assert (status.returncode, status.stderr) == (0, "")
    assert "office  up  gw1.example.com to gw2.example.com at 192.0.2.2" in status.stdout
    assert "10.1.0.0/24, fd00:1::/64 to 10.2.0.0/24, fd00:2::/64" in status.stdout
    done = caponier("down", "office", *control(both))
    assert (done.returncode, done.stdout, done.stderr) == (0, "down: office\n", "")
    assert "office  down" in invoke("status", *control(both)).stdout
    assert both.status("gw2").ike_sas == []


def test_up_again_and_down_again_are_no_errors(both: Pair) -> None:
    for command in ("up", "up", "down", "down"):
        assert invoke(command, "office", *control(both)).exit_code == 0
    assert both.status("gw1").ike_sas == []


def test_up_and_down_of_a_child(both: Pair) -> None:
    assert invoke("up", "office", "lan", *control(both)).exit_code == 0
    done = invoke("down", "office", "lan", *control(both))
    assert (done.exit_code, done.stdout) == (0, "down: office lan\n")
    assert both.ike_sa("gw1") is not None
    assert both.child("gw1") is None
    assert "office  partly up" in invoke("status", *control(both)).stdout


def same_shape(value: Any, model: type[BaseModel]) -> None:
    """Require that an answer has the documented keys, all of them and no others, all the way down."""
    assert value.keys() == model.model_fields.keys()
    parsed = model.model_validate(value, strict=False)
    assert json.loads(parsed.model_dump_json()) == value


def test_status_up_and_down_as_json(both: Pair) -> None:
    up = json.loads(caponier("up", "office", "--json", *control(both)).stdout)
    status = json.loads(invoke("status", "--json", *control(both)).stdout)
    for answer in (up, status):
        same_shape(answer, schema.Status)
        (sa,) = answer["ike_sas"]
        same_shape(sa, schema.IkeSa)
        (child,) = sa["children"]
        same_shape(child, schema.ChildSa)
        same_shape(child["inbound"], schema.Traffic)
        same_shape(answer["connections"][0], schema.ConfiguredConnection)
    assert (sa["connection"], sa["role"], sa["phase"]) == ("office", "initiator", "established")
    assert (sa["local_address"], sa["remote_address"], sa["remote_port"]) == ("192.0.2.1", "192.0.2.2", 4500)
    assert child["protocol"] == "esp"
    down = json.loads(invoke("down", "office", "--json", *control(both)).stdout)
    same_shape(down, schema.Status)
    assert down["ike_sas"] == []


def test_the_counters_count(both: Pair) -> None:
    both.up()
    both.carries()
    child = json.loads(invoke("status", "--json", *control(both)).stdout)["ike_sas"][0]["children"][0]
    for direction in ("inbound", "outbound"):
        assert child[direction]["packets"] > 100
        assert child[direction]["octets"] > 1 << 20
        assert child[direction]["dropped"] == {}


@pytest.mark.parametrize("command", ["up", "down"])
@pytest.mark.parametrize(
    ("names", "told", "hint"),
    [
        (("offcie",), "there is no connection named offcie", "did you mean office?"),
        (("xyz",), "there is no connection named xyz", "there are: office"),
        (("office", "lna"), "connection office has no child named lna", "did you mean lan?"),
        (("office", "x"), "connection office has no child named x", "there are: lan"),
        (("[/x]",), "there is no connection named [/x]", "there are: office"),
    ],
)
def test_an_unknown_name(both: Pair, command: str, names: tuple[str, ...], told: str, hint: str) -> None:
    done = invoke(command, *names, *control(both))
    assert done.exit_code == 1
    assert f"error: {told}" in done.stderr
    assert hint in done.stderr


def test_up_that_fails_says_why(pair: Pair) -> None:
    pair.configure(
        left(lines='proposals = ["aes256gcm16-prfsha384-ecp384"]'),
        right(lines='proposals = ["aes128-sha256-modp2048"]'),
    )
    pair.start("gw1", "gw2")
    done = caponier("up", "office", *control(pair))
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: IKE_SA_INIT: the peer accepts none of our IKE proposals" in done.stderr
    assert "offered:  aes256gcm16-prfsha384-ecp384" in done.stderr
    assert "hint:" in done.stderr


def test_up_that_takes_too_long(pair: Pair) -> None:
    pair.absent("gw2")
    pair.configure(left())
    pair.start("gw1")
    done = invoke("up", "office", "--timeout", "0.2", *control(pair))
    assert done.exit_code == 1
    assert "office is not up after 0.2 seconds; it is still being tried" in done.stderr
    assert "caponier status" in done.stderr


def test_up_of_a_peer_that_is_nowhere(pair: Pair) -> None:
    pair.configure(left(), right())
    pair.start("gw1")
    file = pair.directory / "gw1.toml"
    file.write_text(file.read_text().replace('address = "192.0.2.2"', 'address = "%any"'))
    assert invoke("reload", *control(pair)).exit_code == 0
    done = invoke("up", "office", *control(pair))
    assert done.exit_code == 1
    assert "where is the peer of office? remote.address says anywhere" in done.stderr


# -- reload, version


def test_reload(both: Pair) -> None:
    assert caponier("reload", *control(both)).stdout == "nothing changed\n"
    both.configure(left(lines="liveness = 77", daemon="mtu = 1300"))
    done = invoke("reload", *control(both))
    assert done.stdout.splitlines() == [
        "changed office",
        "the daemon table changed: it takes effect with the next start",
    ]
    both.configure(left(lines="livenes = 77"))
    done = invoke("reload", *control(both))
    assert done.exit_code == 1
    assert f"{both.directory}/gw1.toml:6: connection.office.livenes: there is no such key" in done.stderr
    assert "did you mean 'liveness'?" in done.stderr


def test_version_with_a_daemon(both: Pair) -> None:
    done = invoke("version", *control(both))
    assert done.exit_code == 0
    assert "restart it" not in done.stdout


# -- watch


@contextmanager
def watching(pair: Pair, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [*CAPONIER, "watch", *control(pair), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], last: str) -> list[str]:
    """What is printed, up to a line that has ``last`` in it."""
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        found.append(line.rstrip("\n"))
        if last in line:
            return found
    raise AssertionError(f"{last!r} did not come: {found}")


def the_end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What is left of output and errors; by the same readers, which hold what they read ahead."""
    assert process.stdout is not None
    assert process.stderr is not None
    left_over = process.stdout.read(), process.stderr.read()
    process.wait(10)
    return left_over


def test_watch_and_an_interrupt(both: Pair) -> None:
    with watching(both) as process:
        both.up()
        found = lines(process, "child-sa-installed")
        assert any("ike-sa-established" in line and "office" in line for line in found)
        with both.client("gw1") as client:
            client.down("office")
        lines(process, "ike-sa-closed")
        process.send_signal(signal.SIGINT)
        _, told = the_end(process)
    assert (process.returncode, told) == (130, "")


def test_watch_as_json_until_the_daemon_ends(both: Pair) -> None:
    with watching(both, "--json") as process:
        both.up()
        found = lines(process, "child-sa-installed")  # the history comes first
        both.stop("gw1")
        rest, told = the_end(process)
    happenings = [json.loads(line) for line in (*found, *rest.splitlines())]
    for happening in happenings:
        same_shape(happening, schema.Happening)
    assert happenings[-1]["connection"] == "office"
    assert (process.returncode, told) == (0, "")


def test_watch_into_a_pipe_that_closes(both: Pair) -> None:
    both.up()
    shell = f"{' '.join(CAPONIER)} watch {' '.join(control(both))} | head -1"
    with subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        with both.client("gw1") as client:  # what happens next finds nobody who reads
            for _ in range(3):
                client.reload()
        _, told = the_end(process)
    assert (process.returncode, told) == (0, "")


# -- who may


def test_the_control_socket_is_its_owners_alone(both: Pair) -> None:
    found = both.control("gw1").stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert (found.st_uid, found.st_gid) == (0, os.getegid())


@pytest.mark.parametrize("command", ["status", "reload", "watch", "up", "down"])
def test_others_may_not(both: Pair, command: str) -> None:
    arguments = (command, *(["office"] if command in ("up", "down") else []), *control(both))
    invoke("status", *control(both))  # imports what it needs while it may
    with as_nobody():
        done = invoke(*arguments)
    assert done.exit_code == 1
    assert f"{both.control('gw1')} may not be opened" in done.stderr
    assert "sudo" in done.stderr
    assert both.status("gw1").ike_sas == []


def test_a_directory_that_others_may_not_enter(both: Pair) -> None:
    both.directory.chmod(0o700)
    try:
        with as_nobody():
            done = invoke("status", *control(both))
    finally:
        both.directory.chmod(0o755)
    assert done.exit_code == 1
    assert "may not be opened" in done.stderr


def test_a_secret_that_others_may_not_read(both: Pair) -> None:
    invoke("check", "-c", str(both.directory / "gw1.toml"))
    with as_nobody():
        done = invoke("check", "-c", str(both.directory / "gw1.toml"))
    assert done.exit_code == 1
    assert "office.psk cannot be read: Permission denied" in done.stderr


def test_a_daemon_without_privilege(pair: Pair) -> None:
    """What is missing is said; nothing is left."""
    place = pair.directory / "nobody"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    (place / "caponier.toml").write_text(f'[daemon]\ncontrol = "{place}/control.sock"\nport = 5500\nnat_port = 5501\n')
    invoke("run", "-c", "/nonexistent")
    with as_nobody():
        done = invoke("run", "-c", str(place / "caponier.toml"))
    assert done.exit_code == 1
    assert "UDP port 5500 cannot be opened: Operation not permitted" in done.stderr
    assert "CAP_NET_ADMIN" in done.stderr
    assert not (place / "control.sock").exists()


# -- the control API, as a program may misuse it


def post(pair: Pair, path: str, content: bytes, method: str = "POST") -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(pair.control("gw1")), verify=False)
    with httpx.Client(transport=transport, base_url="http://caponier", timeout=10, trust_env=False) as client:
        return client.request(method, path, content=content)


@pytest.mark.parametrize("path", ["/v1/up", "/v1/down"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"{}",
        b"[]",
        b"\xff",
        b'{"connection": 5}',
        b'{"connection": "office", "seconds": NaN}',
        b'{"connection": "office", "seconds": Infinity}',
        b'{"connection": "office", "seconds": -1}',
        b'{"connection": "office", "seconds": 0}',
        b'{"connection": "office", "child": []}',
        b'{"connection": "' + b"x" * MAX_BODY + b'"}',
        b"[" * 20_000,
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense(both: Pair, path: str, content: bytes) -> None:
    answer = post(both, path, content)
    assert answer.status_code == 400
    problem = schema.Problem.model_validate_json(answer.content)
    assert (problem.kind, problem.file) == ("BadRequest", None)
    assert len(problem.message) < 300
    assert both.status("gw1").ike_sas == []


def test_other_paths_and_methods(both: Pair) -> None:
    assert post(both, "/v1/nothing", b"").status_code == 404
    assert post(both, "/v1/up", b"", "GET").status_code == 405
    assert post(both, "/v1/status", b"").status_code == 405
    assert post(both, "/../../etc/passwd", b"", "GET").status_code == 404
    both.require_no_bug("gw1")


def test_clients_that_say_nothing_do_not_stop_others(both: Pair) -> None:
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(50)]
    try:
        for each in silent:
            each.connect(str(both.control("gw1")))
            each.send(b"GET /v1/sta")
        both.up()
    finally:
        for each in silent:
            each.close()
    assert both.is_up()


# -- the demonstration

#: ``caponier`` with a demonstration that carries less, under a name of its own.
SMALL = f"""
from caponier.cli.main import main
from caponier.demo import story
story.PREFIX, story.OCTETS = "caponier-demo-{os.getpid()}-", 1 << 20
main()
"""


def test_the_demonstration_from_beginning_to_end() -> None:
    """As ``make demo KEEP=1`` runs it, and ``make demo DOWN=1`` ends it."""
    place = Path(f"/tmp/caponier-demo-{os.getpid()}")
    gw1 = Namespace(f"caponier-demo-{os.getpid()}-gw1")

    def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SMALL, *arguments, "--directory", str(place)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    try:
        done = demo("demo", "--keep")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "office  up" in invoke("status", "--socket", str(place / "gw1.sock")).stdout
        assert "cap0" in links(gw1)
        command = [sys.executable, "-c", SMALL, "demo-enter", "--directory", str(place), "gw1", "ls", "/sys/class/net"]
        assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
        assert demo("demo", "--down").returncode == 0
        assert not gw1.path.exists()
        again = demo("demo", "--down")
        assert (again.returncode, again.stdout.strip()) == (0, "nothing was left running")
        assert {each.name for each in place.iterdir()} >= {"gw1.toml", "gw2.toml", "gw1.log", "middle.pcap"}
    finally:
        demo("demo", "--down")
        shutil.rmtree(place, ignore_errors=True)


def test_a_node_of_no_demonstration(tmp_path: Path) -> None:
    done = invoke("demo-enter", "--directory", str(tmp_path), "gw1", "true")
    assert done.exit_code == 1
    assert "no demonstration is running" in done.stderr
