"""What ``caponier demo`` does: the story, from two lonely gateways to protected packets and back."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from caponier.demo import gateways, topology
from caponier.demo.capture import Tap
from caponier.demo.gateways import CONNECTION, Gateway
from caponier.demo.namespaces import Namespace, acquire_privilege, enter
from caponier.demo.report import Evidence, evidence, summary
from caponier.demo.topology import LEFT, RIGHT, WIRE, Topology
from caponier.demo.traffic import Transfer, ping, transfer
from caponier.errors import CaponierError

PREFIX = "caponier-demo-"
CANARY = b"This sentence is in the clear, and nobody between the gateways may read it. "
OCTETS = 512 << 20  #: of the TCP transfer
_STATE = "state.json"

T = TypeVar("T")

console = Console(highlight=False)


class DemonstrationFailed(CaponierError):
    """Something that had to be shown could not be."""


def tell(directory: Path, *, keep: bool) -> None:
    """Tell the story; with ``keep`` leave the gateways running.

    Raises:
        NoPrivilege: no namespaces can be made here.
        DemonstrationFailed: with what was not as it should be.
    """
    directory.mkdir(parents=True, exist_ok=True)
    end(directory, quietly=True)
    is_root = acquire_privilege()
    with ExitStack() as undo:
        world = _step("two gateways on a link, a host behind each", lambda: topology.build(PREFIX))
        undo.callback(topology.tear_down, world)
        gateways.write_configurations(directory)
        pair = _step("a daemon on each gateway", lambda: _start(world, directory, undo))
        told = _show(world, pair, directory)
        evidence(console, told, directory)
        summary(console, told)
        _judge(told)
        if keep:
            _remember(directory, pair, is_root=is_root)
            undo.pop_all()
    if keep:
        _explain(directory)
    else:
        console.print(
            f"\n[bold green]done[/]: everything was taken down; configuration, logs and capture are in {directory}"
        )


def _start(world: Topology, directory: Path, undo: ExitStack) -> tuple[Gateway, Gateway]:
    pair = []
    for name, namespace in (("gw1", world.gw1), ("gw2", world.gw2)):
        gateway = gateways.start(name, namespace, directory)
        undo.callback(gateways.stop, gateway)
        pair.append(gateway)
    return pair[0], pair[1]


def _show(world: Topology, pair: tuple[Gateway, Gateway], directory: Path) -> Evidence:
    before = _step("before: alice cannot reach bob", lambda: ping(world.alice, RIGHT.host, count=1, seconds=0.5))
    if before.received:
        raise DemonstrationFailed("alice reaches bob without a tunnel: the demonstration would prove nothing")
    with Tap(world.gw1, WIRE) as tap, pair[0].client() as client:
        start = time.monotonic()
        _step("the tunnel: IKEv2 between the gateways", lambda: client.up(CONNECTION))
        up_seconds = time.monotonic() - start
        pings = {
            "ping, IPv4": _step("alice pings bob", lambda: ping(world.alice, RIGHT.host, count=10, payload=CANARY)),
            "ping, IPv6": _step("and over IPv6", lambda: ping(world.alice, RIGHT.host6, count=10, payload=CANARY)),
        }
        megabytes = OCTETS >> 20
        transfers = {
            "TCP, alice to bob": _step(
                f"alice sends bob {megabytes} MiB by TCP", lambda: _send(world.alice, world.bob, RIGHT.host)
            ),
            "TCP, bob to alice": _step(
                f"bob sends alice {megabytes} MiB by TCP", lambda: _send(world.bob, world.alice, LEFT.host)
            ),
        }
        status = client.status()
        capture = tap.stop()
    capture.write_pcap(directory / "middle.pcap")
    return Evidence(up_seconds, pings, transfers, capture, status)


def _send(source: Namespace, sink: Namespace, address: str) -> Transfer:
    return transfer(source, sink, address, octets=OCTETS, filling=CANARY)


def _step(what: str, work: Callable[[], T]) -> T:
    """One step, with a sign of life while it takes its time."""
    with console.status(what, spinner="dots"):
        start = time.monotonic()
        result = work()
    console.print(f"[green]✓[/] {what} [dim]({time.monotonic() - start:.2f} s)[/]")
    return result


def _judge(told: Evidence) -> None:
    """Require that everything was as it should be."""
    lost = [
        name for name, result in told.pings.items() if result.received < result.sent - 1
    ]  # one may wait for a neighbour
    broken = [name for name, result in told.transfers.items() if not result.intact]
    if lost or broken:
        raise DemonstrationFailed(f"did not pass: {', '.join(lost + broken)}", hint="see the logs of the gateways")
    if told.capture.strangers or told.capture.contains(CANARY):
        raise DemonstrationFailed("the link between the gateways carried more than IKE and ESP", hint="see middle.pcap")


# -- what stays


def _remember(directory: Path, pair: tuple[Gateway, Gateway], *, is_root: bool) -> None:
    pids = [gateway.process.pid for gateway in pair if gateway.process is not None]
    state = {"pids": pids, "anchor": None if is_root else pids[0]}
    (directory / _STATE).write_text(json.dumps(state))


def _state(directory: Path) -> dict[str, list[int] | int | None] | None:
    try:
        found = json.loads((directory / _STATE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("pids"), list) else None


def end(directory: Path, *, quietly: bool = False) -> None:
    """End what ``--keep`` left running, and nothing else."""
    state = _state(directory)
    if state is None:
        if not quietly:
            console.print("nothing was left running")
        return
    pids = state["pids"]
    for pid in pids if isinstance(pids, list) else []:
        _end_process(pid, directory)
    if state.get("anchor") is None:
        for name in ("alice", "gw1", "gw2", "bob"):
            Namespace(PREFIX + name).remove()
    (directory / _STATE).unlink()
    console.print("[green]✓[/] ended the demonstration that was left running")


def _end_process(pid: int, directory: Path) -> None:
    """End a daemon of ours: a process of this number that runs one of our configurations, not whoever has the number now."""
    if str(directory.resolve()).encode() not in _command_of(pid):
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + gateways.STOP_SECONDS
    while _command_of(pid) and time.monotonic() < deadline:
        time.sleep(0.05)


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def enter_node(directory: Path, name: str, command: Sequence[str]) -> None:
    """Become ``command`` inside a node of a demonstration that was kept.

    Raises:
        DemonstrationFailed: none was kept.
        NoPrivilege: the node cannot be entered.
    """
    state = _state(directory)
    if state is None:
        raise DemonstrationFailed("no demonstration is running", hint="make demo KEEP=1")
    anchor = state.get("anchor")
    enter(PREFIX + name, anchor if isinstance(anchor, int) else None)
    arguments = list(command) or [os.environ.get("SHELL", "/bin/sh")]
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        raise DemonstrationFailed(f"{arguments[0]}: {error.strerror}") from None


def _explain(directory: Path) -> None:
    here = directory.resolve()
    inside = (
        ".venv/bin/caponier demo-enter" if directory == Path("run/demo") else f"caponier demo-enter --directory {here}"
    )
    console.print(
        f"""
[bold green]it is running[/]; play with it:

  .venv/bin/caponier status --socket {directory}/gw1.sock      [dim]# what gw1 says[/]
  .venv/bin/caponier watch --socket {directory}/gw2.sock       [dim]# what happens at gw2[/]
  .venv/bin/caponier down {CONNECTION} --socket {directory}/gw1.sock
  .venv/bin/caponier up {CONNECTION} --socket {directory}/gw1.sock
  {inside} alice ping -c 3 {RIGHT.host}          [dim]# a program on alice[/]
  {inside} gw1 tcpdump -ni {WIRE}                  [dim]# the link between the gateways[/]
  {inside} gw1                                      [dim]# a shell on gw1[/]

end it with: make demo DOWN=1
""",
        soft_wrap=True,
    )
