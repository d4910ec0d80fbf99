"""The command ``caponier``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from caponier.api.client import DEFAULT_SOCKET, Client, NotReachable
from caponier.cli import doi as doi_page
from caponier.cli import esp
from caponier.cli import status as status_page
from caponier.cli import watch as watch_page
from caponier.cli.terminal import FAILED, err, errors_are_told, out, print_json, tell_findings

app = typer.Typer(
    name="caponier",
    help="IPsec in user space: IKEv2, ESP, and refusals that explain themselves.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(esp.app)

DEFAULT_FILE = Path("/etc/caponier/caponier.toml")

File = Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="The configuration file.")]
Socket = Annotated[
    Path, typer.Option("--socket", "-s", envvar="CAPONIER_SOCKET", metavar="PATH", help="The daemon's control socket.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Seconds = Annotated[float, typer.Option("--timeout", "-t", min=0.1, max=600, help="Seconds to wait for it.")]
ConnectionName = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its name in the configuration.")]
ChildName = Annotated[str | None, typer.Argument(metavar="CHILD", help="Only this Child SA of it.")]


@app.command()
@errors_are_told
def run(config: File = DEFAULT_FILE) -> None:
    """Run the daemon in the foreground.

    SIGHUP reads the configuration again and touches only the connections that changed. SIGTERM and SIGINT tell the
    peers, remove routes and rules, and end it.
    """
    from caponier.api.server import run as run_daemon  # noqa: PLC0415 - the other commands start faster without it

    raise typer.Exit(run_daemon(config))


@app.command()
@errors_are_told
def check(config: File = DEFAULT_FILE, *, json: Json = False) -> None:
    """Read the configuration, and say everything that is wrong with it."""
    from caponier.api.check import check as check_file  # noqa: PLC0415 - as above

    found = check_file(config)
    if json:
        print_json(found)
    elif found.valid:
        names = ", ".join(connection.name for connection in found.connections) or "no connection"
        out.print(Text.assemble(("valid", "bold green"), f": {found.file} configures {names}"))
    else:
        tell_findings(found.findings)
    raise typer.Exit(0 if found.valid else FAILED)


@app.command()
@errors_are_told
def up(
    connection: ConnectionName,
    child: ChildName = None,
    *,
    socket: Socket = DEFAULT_SOCKET,
    timeout: Seconds = 30.0,
    json: Json = False,
) -> None:
    """Bring a connection up, or one Child SA of it, and wait until it is."""
    with Client(socket) as client:
        with err.status(Text(f"bringing {connection} up"), spinner="dots"):
            client.up(connection, child, timeout)
        status = client.status()
    if json:
        print_json(status)
        return
    for sa in (sa for sa in status.ike_sas if sa.connection == connection):
        children = ", ".join(each.name for each in sa.children)
        out.print(Text.assemble(("up", "bold green"), f": {connection} with {sa.remote_id}, carrying {children}"))


@app.command()
@errors_are_told
def down(
    connection: ConnectionName,
    child: ChildName = None,
    *,
    socket: Socket = DEFAULT_SOCKET,
    timeout: Seconds = 30.0,
    json: Json = False,
) -> None:
    """Bring a connection down, or one Child SA of it, and wait until the peer has confirmed."""
    with Client(socket) as client:
        with err.status(Text(f"bringing {connection} down"), spinner="dots"):
            client.down(connection, child, timeout)
        if json:
            print_json(client.status())
            return
    out.print(Text.assemble(("down", "bold"), f": {connection}{f' {child}' if child else ''}"))


@app.command()
@errors_are_told
def rekey(
    connection: ConnectionName,
    child: ChildName = None,
    *,
    ike: Annotated[bool, typer.Option("--ike", help="The IKE SA; the Child SAs keep their keys.")] = False,
    socket: Socket = DEFAULT_SOCKET,
    timeout: Seconds = 30.0,
    json: Json = False,
) -> None:
    """Give the Child SAs of a connection new keys, or one of them, or the IKE SA; wait until the old ones are gone."""
    with Client(socket) as client:
        with err.status(Text(f"rekeying {connection}"), spinner="dots"):
            client.rekey(connection, child, timeout, ike=ike)
        status = client.status()
    if json:
        print_json(status)
        return
    for sa in (sa for sa in status.ike_sas if sa.connection == connection):
        if ike:
            out.print(Text.assemble(("rekeyed", "bold green"), f": {connection}, IKE SA {sa.spi_i}_{sa.spi_r}"))
            continue
        for each in (each for each in sa.children if child in (None, each.name)):
            spis = f"SPI {each.spi_in:08x} in, {each.spi_out:08x} out"
            out.print(Text.assemble(("rekeyed", "bold green"), f": {connection} {each.name}, {spis}"))


@app.command()
@errors_are_told
def status(*, socket: Socket = DEFAULT_SOCKET, json: Json = False) -> None:
    """Show what is up, what it carries, and why the rest is not up."""
    with Client(socket) as client:
        found = client.status()
    if json:
        print_json(found)
    else:
        out.print(status_page.render(found))


@app.command()
@errors_are_told
def watch(*, socket: Socket = DEFAULT_SOCKET, json: Json = False) -> None:
    """Show what happened and what happens, until interrupted; with --json one object for each line."""
    with Client(socket) as client:
        for happening in client.events():
            if json:
                typer.echo(happening.model_dump_json())
            else:
                out.print(watch_page.render(happening), soft_wrap=True)


@app.command()
@errors_are_told
def reload(*, socket: Socket = DEFAULT_SOCKET) -> None:
    """Let the daemon read its configuration again; only what changed is touched."""
    with Client(socket) as client:
        changes = client.reload()
    for change in changes or ["nothing changed"]:
        out.print(Text(change))


@app.command()
@errors_are_told
def doi(
    word: Annotated[str | None, typer.Argument(metavar="WORD", help="Only entries with this word or number.")] = None,
    *,
    json: Json = False,
) -> None:
    """Print the registries: every number, its name, its source, whether Caponier speaks it, what RFC 8221 and RFC 8247 say of it."""
    from caponier.api.registry import registry  # noqa: PLC0415 - as above

    entries = registry(word)
    if json:
        print_json([*entries])
    else:
        for table in doi_page.tables(entries):
            out.print(table)
            out.print()
    if not entries:
        err.print(Text(f"no entry has {word!r}", "yellow"))
        raise typer.Exit(FAILED)


@app.command()
@errors_are_told
def version(*, socket: Socket = DEFAULT_SOCKET, json: Json = False) -> None:
    """Print the versions of what is installed here; a running daemon's where they differ."""
    from caponier.api import convert  # noqa: PLC0415 - as above

    here = convert.version()
    if json:
        print_json(here)
        return
    out.print(
        f"Caponier {here.caponier} (packet core {here.plane}, Python {here.python}, cryptography {here.cryptography})"
    )
    out.print(here.system)
    try:
        with Client(socket) as client:
            running = client.version()
    except NotReachable:
        return
    if running != here:
        out.print(Text(f"the running daemon is Caponier {running.caponier}: restart it", "yellow"))


@app.command()
@errors_are_told
def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running, and say how to play with it.")] = False,
    down: Annotated[bool, typer.Option("--down", help="End what --keep left running.")] = False,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where configuration, logs and capture are left.")
    ] = Path("run/demo"),
) -> None:
    """Two gateways, a host behind each, a tunnel between them, on this machine."""
    from caponier.demo import story  # noqa: PLC0415 - it has to come before any thread starts, and only when it is wanted

    story.end(directory) if down else story.tell(directory, keep=keep)


@app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@errors_are_told
def demo_enter(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NODE", help="alice, gw1, gw2 or bob.")],
    directory: Annotated[Path, typer.Option("--directory", metavar="DIR")] = Path("run/demo"),
) -> None:
    """Run a command inside a node of a demonstration that was kept."""
    from caponier.demo import story  # noqa: PLC0415 - as above

    story.enter_node(directory, name, context.args)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
