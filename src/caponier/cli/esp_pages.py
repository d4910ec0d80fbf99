"""What ``caponier esp`` says to people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typer import style

from caponier.cli.esp_schema import format_time
from caponier.cli.terminal import amount
from caponier.protocols.captures.decode import CUT_SHORT, UNKNOWN_SPI, Decoder, Row, Tally
from caponier.protocols.captures.ip import read_ip
from caponier.protocols.captures.ipsec import Passed
from caponier.protocols.esp import AUTHENTIC, OK, VERDICTS, Opened

_COLORS = {OK: "green", UNKNOWN_SPI: "yellow", CUT_SHORT: "yellow", "dummy": "cyan"}


class Lines:
    """Rows as lines; columns grow with what has come, for what will come is not known.

    Args:
        in_color: whether verdicts are coloured.
    """

    def __init__(self, *, in_color: bool) -> None:
        self._in_color = in_color
        self._ends, self._sequence, self._verdict = 0, len("#100000"), len(UNKNOWN_SPI)

    def line(self, row: Row) -> str:
        """A packet: time, outer addresses, SPI, sequence number, verdict, inner packet."""
        ends, sequence = row.outer.ends, f"#{row.sequence}"
        self._ends = max(self._ends, len(ends))
        self._sequence = max(self._sequence, len(sequence))
        self._verdict = max(self._verdict, len(row.verdict))
        time = "-" if row.time is None else format_time(row.time)
        verdict = row.verdict.ljust(self._verdict)
        if self._in_color:
            verdict = style(verdict, fg=_COLORS.get(row.verdict, "red"))
        spi = f"{row.outer.protocol.name} {row.spi:08x}"
        inner = "" if row.inner is None else row.inner.text
        return f"{time}  {ends:<{self._ends}}  {spi} {sequence:<{self._sequence}}  {verdict}  {inner}".rstrip()


def summary(decoder: Decoder) -> RenderableType:
    """What the capture holds, by SPI."""
    parts: list[RenderableType] = []
    tallies = decoder.tallies
    if tallies:
        parts.append(_table(tallies))
    packets = sum(tally.packets for tally in tallies)
    passed = ", ".join(f"{decoder.passed[kind]} {kind.value}" for kind in Passed if decoder.passed[kind])
    parts.append(Text(f"{decoder.frames} frames: {packets} ESP or AH" + (f", {passed}" if passed else "")))
    parts += [Text("hint: ", "green") + Text(hint) for hint in _hints(decoder)]
    return Group(*parts)


def _table(tallies: tuple[Tally, ...]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("SPI", "keys for", "the first went"):
        table.add_column(name, no_wrap=True)
    for name in ("packets", "opened", "inner", "missing", "replayed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("not opened otherwise")
    for tally in tallies:
        table.add_row(*_cells(tally))
    return table


def _cells(tally: Tally) -> Iterator[str | Text]:
    yield f"{tally.protocol.name} {'others' if tally.spi is None else f'{tally.spi:08x}'}"
    yield Text("none", "yellow") if tally.sa is None else tally.sa.suite.text
    yield tally.ends or Text("not seen", "dim")
    yield str(tally.packets)
    yield str(tally.verdicts[OK])
    yield amount(tally.inner_octets)
    yield _marked(tally.missing)
    yield _marked(tally.verdicts["replayed"])
    others = {name: count for name, count in sorted(tally.verdicts.items()) if name not in (OK, "replayed")}
    yield Text(", ".join(f"{count} {name}" for name, count in others.items()), "red" if tally.sa else "yellow")


def _marked(count: int) -> Text:
    return Text(str(count), "bold yellow" if count else "")


def _hints(decoder: Decoder) -> Iterator[str]:
    """What a person may look at, where nothing came out."""
    if not any(tally.packets for tally in decoder.tallies):
        yield "if ESP travels in UDP on another port than 4500, name it: --udp-port"
    for tally in decoder.tallies:
        failed = tally.verdicts["bad-icv"]
        if tally.sa is not None and failed and not any(tally.verdicts[name] for name in AUTHENTIC):
            yield (
                f"no packet of {tally.sa.text} could be opened: are the keys those of this direction, is the salt"
                " right, has the SA been rekeyed?"
            )


def opened_text(opened: Opened) -> Text:
    """What came of a packet."""
    header, inner = opened.header, read_ip(opened.inner)
    name = "" if header is None else f" ESP {header.spi:08x} #{header.sequence}"
    if opened.verdict == OK:
        return Text.assemble(("opened", "bold green"), f"{name}: {'' if inner is None else inner.text}")
    return Text.assemble((opened.verdict, "bold red"), f"{name}: {VERDICTS.get(opened.verdict, 'refused')}")
