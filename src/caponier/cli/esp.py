"""``caponier esp``: ESP and AH for people and scripts, without a daemon, by the code that carries the traffic."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caponier.cli.terminal import FAILED, err, errors_are_told, out, tell_findings
from caponier.errors import ConfigError

if TYPE_CHECKING:  # what a command needs is loaded when it runs: the others start faster without it
    from pydantic import BaseModel

    from caponier.protocols.captures.decode import Decoder, Row
    from caponier.protocols.esp import ManualSa

app = typer.Typer(
    name="esp",
    help="Seal and open packets of ESP and AH, and decode captures of them, with keys that you have.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SPI = re.compile(r"(0x)?[0-9A-Fa-f]{1,8}")
_WINDOW = 4096  #: the largest: what is late in a capture is no replay


def _parse_spi(text: str) -> int:
    if not _SPI.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no SPI: it has at most 8 hexadecimal digits")
    return int(text, 16)


Input = Annotated[Path, typer.Argument(metavar="INPUT", help='A file with packets; "-" for standard input.')]
Keys = Annotated[
    Path, typer.Option("--keys", "-k", metavar="FILE", help="The keys: a TOML file with a table for each SA.")
]
InsecurePermissions = Annotated[
    bool, typer.Option("--insecure-permissions", help="Take a key file that others can read too.")
]
ReplayWindow = Annotated[
    int, typer.Option("--replay-window", min=32, max=4096, metavar="PACKETS", help="Of each SA.", show_default=True)
]
Binary = Annotated[bool, typer.Option("--binary", help="Write the octets themselves; of one packet.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: one object on each line.")]


@app.command()
@errors_are_told
def seal(
    packets: Input = Path("-"),
    *,
    keys: Keys,
    spi: Annotated[
        int | None,
        typer.Option("--spi", parser=_parse_spi, metavar="SPI", help="Which SA, where the key file has several."),
    ] = None,
    sequence: Annotated[
        int, typer.Option("--sequence", "-n", min=1, max=2**64 - 1, metavar="N", help="Number of the first packet.")
    ] = 1,
    binary: Binary = False,
    json: Json = False,
    insecure_permissions: InsecurePermissions = False,
) -> None:
    r"""Seal IP packets: print what carries them, for ESP in tunnel mode without outer headers.

    AH and transport mode make whole IP packets of them.

    INPUT holds one packet in its octets, or packets in hexadecimal with
    blank lines between them; these get consecutive sequence numbers.

    Never send what was sealed with the keys of an SA that is in use: with
    most ciphers, two packets of one sequence number betray what is in them
    and let others forge more.

    \b
    caponier esp seal --keys office.keys --spi d6fec5af --sequence 7 inner.hex
    """
    from caponier.cli.esp_files import read_packets, write_packets  # noqa: PLC0415 - as above
    from caponier.cli.esp_schema import Sealed, protocol_name  # noqa: PLC0415
    from caponier.protocols import esp  # noqa: PLC0415

    sa = _chosen(_read_keys(keys, insecure_permissions=insecure_permissions), spi)
    end = esp.sealer(sa, sequence)
    sealed = [esp.seal(end, inner) for inner in read_packets(packets)]
    if not json:
        write_packets(sealed, binary=binary)
        return
    protocol = protocol_name(sa.suite.protocol)
    for number, packet in enumerate(sealed, start=sequence):
        _print_json(Sealed(protocol=protocol, spi=sa.spi, sequence=number, packet=packet.hex()))


def _read_keys(path: Path, *, insecure_permissions: bool) -> tuple[ManualSa, ...]:
    """The SAs of the key file; its mistakes are told all at once."""
    from caponier.api.check import findings  # noqa: PLC0415 - as above
    from caponier.cli.esp_keys import read_keys  # noqa: PLC0415
    from caponier.daemon.config import InvalidConfiguration  # noqa: PLC0415

    try:
        return read_keys(path, insecure_permissions=insecure_permissions)
    except InvalidConfiguration as error:
        tell_findings(findings(error))
        raise typer.Exit(FAILED) from None


def _chosen(sas: tuple[ManualSa, ...], spi: int | None) -> ManualSa:
    """The SA of this SPI, or the only one."""
    found = [sa for sa in sas if spi in (None, sa.spi)]
    if len(found) == 1:
        return found[0]
    spis = ", ".join(f"{sa.spi:08x}" for sa in sas)
    if spi is None:
        raise ConfigError(f"the key file has {len(sas)} SAs: {spis}", hint="name one of them: --spi SPI")
    which = "no SA has" if not found else "several SAs have"
    raise ConfigError(f"{which} SPI {spi:08x} in the key file", hint=f"it has {spis}")


@app.command(name="open")
@errors_are_told
def open_(
    packets: Input = Path("-"),
    *,
    keys: Keys,
    replay_window: ReplayWindow = _WINDOW,
    binary: Binary = False,
    json: Json = False,
    insecure_permissions: InsecurePermissions = False,
) -> None:
    r"""Open packets of ESP and AH: print the IP packets in them, or why they are refused.

    INPUT is as for seal; a packet begins with its IP header, and then may
    have ESP in UDP, or, of ESP in tunnel mode, with its SPI.
    The inner packets go to standard output, what they are to standard error.
    The exit code is 1 if any packet is refused.

    \b
    caponier esp open --keys office.keys sealed.hex
    caponier esp seal --keys office.keys inner.hex | caponier esp open --keys office.keys
    """
    from caponier.cli.esp_files import read_packets, write_packets  # noqa: PLC0415 - as above
    from caponier.cli.esp_keys import by_spi_alone  # noqa: PLC0415
    from caponier.cli.esp_pages import opened_text  # noqa: PLC0415
    from caponier.cli.esp_schema import Opened  # noqa: PLC0415
    from caponier.protocols.captures.alone import open_alone  # noqa: PLC0415
    from caponier.protocols.esp import OK, InboundSas  # noqa: PLC0415

    sas = InboundSas(by_spi_alone(_read_keys(keys, insecure_permissions=insecure_permissions)), replay_window)
    found = [open_alone(sas, octets) for octets in read_packets(packets)]
    for each in found:
        if json:
            _print_json(Opened.of(each))
        else:
            err.print(opened_text(each))
    if not json:
        write_packets([each.inner for each in found if each.verdict == OK], binary=binary)
    if any(each.verdict != OK for each in found):
        raise typer.Exit(FAILED)


@app.command()
@errors_are_told
def decode(
    capture: Annotated[Path, typer.Argument(metavar="CAPTURE", help='A pcap or pcapng file; "-" for standard input.')],
    *,
    keys: Keys,
    write: Annotated[
        Path | None, typer.Option("--write", "-w", metavar="FILE", help="Write the inner packets to a pcap file.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the summary only.")] = False,
    udp_port: Annotated[
        list[int] | None,
        typer.Option("--udp-port", min=1, max=65535, metavar="PORT", help="UDP port of ESP; 4500 when left out."),
    ] = None,
    replay_window: ReplayWindow = _WINDOW,
    json: Json = False,
    insecure_permissions: InsecurePermissions = False,
) -> None:
    r"""Decode a capture: a line for each packet of ESP and AH, with what was inside, and a summary for each SPI.

    It may be of Ethernet with VLANs, of Linux's "any", loopback, or raw IP;
    IPv4 and IPv6; ESP right behind IP or in UDP, and AH. IP fragments are counted,
    not reassembled. Its size does not matter. Where it is broken, what stands
    before that is decoded, and the exit code is 1.

    \b
    tcpdump -i eth0 -w office.pcap 'esp or udp port 4500'
    caponier esp decode office.pcap --keys office.keys --write inner.pcap
    """
    from caponier.cli.esp_files import InnerPackets, reading  # noqa: PLC0415 - as above
    from caponier.protocols.captures.decode import Decoder  # noqa: PLC0415
    from caponier.protocols.captures.files import CaptureError, frames  # noqa: PLC0415
    from caponier.protocols.captures.ipsec import UDP_PORTS  # noqa: PLC0415
    from caponier.protocols.esp import InboundSas  # noqa: PLC0415

    sas = InboundSas(_read_keys(keys, insecure_permissions=insecure_permissions), replay_window)
    decoder = Decoder(sas, frozenset(udp_port or UDP_PORTS))
    failure: CaptureError | None = None
    with ExitStack() as stack:
        is_watched = err.is_terminal and (quiet or not out.is_terminal)
        read = stack.enter_context(reading(capture, is_watched=is_watched))
        inner = None if write is None else stack.enter_context(InnerPackets(write, capture))
        show = _row_printer(quiet=quiet, json=json)
        try:
            for row in decoder.rows(frames(read)):
                show(row)
                if inner is not None:
                    inner.add(row)
        except CaptureError as error:
            failure = error
    _print_summary(decoder, quiet=quiet, json=json)
    if failure is not None:
        raise failure


def _row_printer(*, quiet: bool, json: bool) -> Callable[[Row], object]:
    from caponier.cli.esp_pages import Lines  # noqa: PLC0415 - as above
    from caponier.cli.esp_schema import Packet  # noqa: PLC0415

    if quiet:
        return lambda _: None
    if json:
        return lambda row: sys.stdout.write(Packet.of(row).model_dump_json() + "\n")
    lines = Lines(in_color=out.is_terminal and not out.no_color)
    return lambda row: sys.stdout.write(lines.line(row) + "\n")


def _print_summary(decoder: Decoder, *, quiet: bool, json: bool) -> None:
    from caponier.cli.esp_pages import summary  # noqa: PLC0415 - as above
    from caponier.cli.esp_schema import Summary  # noqa: PLC0415

    if json:
        _print_json(Summary.of(decoder))
        return
    if not quiet and any(tally.packets for tally in decoder.tallies):
        out.print()
    out.print(summary(decoder))


def _print_json(model: BaseModel) -> None:
    typer.echo(model.model_dump_json())
