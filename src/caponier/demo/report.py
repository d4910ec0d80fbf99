"""The demonstration's result, as a person enjoys reading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from caponier.api.schema import ChildSa, IkeSa, Status
from caponier.api.schema import Traffic as Carried
from caponier.demo.capture import Capture, Kind
from caponier.demo.traffic import Ping, Transfer


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen.

    Attributes:
        up_seconds: from asking for the tunnel to having it.
        pings: by what was asked for.
        transfers: by what was asked for.
        capture: of the link between the gateways.
        status: of the first gateway, at the end.
    """

    up_seconds: float
    pings: dict[str, Ping]
    transfers: dict[str, Transfer]
    capture: Capture
    status: Status


def evidence(console: Console, told: Evidence, directory: Path) -> None:
    """What the link between the gateways carried."""
    capture = told.capture
    table = Table(title="on the link between the gateways", box=box.ROUNDED, title_style="bold")
    table.add_column("what")
    table.add_column("frames", justify="right")
    table.add_row("IKE", str(capture.counts[Kind.IKE]))
    table.add_row("ESP", str(capture.counts[Kind.ESP]))
    table.add_row("[dim]the link's own: ARP, neighbour discovery[/]", f"[dim]{capture.housekeeping}[/]")
    style = "green" if not capture.strangers else "bold red"
    table.add_row(f"[{style}]anything else[/]", f"[{style}]{capture.strangers}[/]")
    console.print()
    console.print(table)
    console.print(f"[dim]the first frames of each kind are in {directory / 'middle.pcap'}[/]")


def summary(console: Console, told: Evidence) -> None:
    """What was negotiated, and what it carried."""
    table = Table(title="the tunnel, seen from gw1", box=box.ROUNDED, title_style="bold", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for sa in told.status.ike_sas:
        _ike_rows(table, sa)
        for child in sa.children:
            _child_rows(table, child)
    table.add_section()
    table.add_row("set up in", f"{told.up_seconds * 1000:.0f} ms")
    for name, result in told.pings.items():
        table.add_row(name, _ping_text(result))
    for name, stream in told.transfers.items():
        intact = "[green]intact[/]" if stream.intact else "[bold red]broken[/]"
        table.add_row(name, f"{stream.octets >> 20} MiB, {intact}, {stream.megabits_per_second:.0f} Mbit/s")
    console.print()
    console.print(table)


def _ping_text(result: Ping) -> str:
    if not result.received:
        return f"[bold red]0 of {result.sent}[/]"
    return f"{result.received} of {result.sent}, median {median(result.round_trips) * 1000:.2f} ms"


def _ike_rows(table: Table, sa: IkeSa) -> None:
    table.add_row("identities", f"{sa.local_id} (by {sa.local_auth}) and {sa.remote_id} (by {sa.remote_auth})")
    table.add_row("path", f"{sa.local_address} to {sa.remote_address}, UDP port {sa.local_port}")
    table.add_row("IKE SA", f"{sa.spi_i} {sa.spi_r}")
    table.add_row("its algorithms", sa.suite)


def _child_rows(table: Table, child: ChildSa) -> None:
    way = "in UDP" if child.encapsulated else "right behind IP"
    table.add_section()
    table.add_row("Child SA", f"{child.name}: {child.protocol.upper()}, {child.mode} mode, {way}")
    table.add_row("its algorithms", child.suite)
    table.add_row("it carries", f"{', '.join(child.local)}  to  {', '.join(child.remote)}")
    table.add_row("in", f"SPI {child.spi_in:08x}: {_carried(child.inbound)}")
    table.add_row("out", f"SPI {child.spi_out:08x}: {_carried(child.outbound)}")


def _carried(traffic: Carried | None) -> str:
    if traffic is None:
        return "not counted"
    dropped = sum(traffic.dropped.values())
    return f"{traffic.packets} packets, {traffic.octets / (1 << 20):.1f} MiB, {dropped} dropped"
