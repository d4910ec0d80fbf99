"""What ``caponier esp`` says to people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text
from typer import style

from caponier.cli.esp_schema import format_time
from caponier.cli.terminal import amount
from caponier.protocols.captures.alone import Opened
from caponier.protocols.captures.decode import CUT_SHORT, UNKNOWN_SPI, Decoder, Row, Tally
from caponier.protocols.captures.ip import read_ip
from caponier.protocols.captures.ipsec import Passed
from caponier.protocols.esp import AUTHENTIC, OK, VERDICTS

MOST_UNKNOWN = 20  #: SPIs without keys that are shown to people
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
        spi = f"{row.outer.protocol.name:<3} {row.spi:08x}"
        inner = "" if row.inner is None else row.inner.text
        return f"{time}  {ends:<{self._ends}}  {spi} {sequence:<{self._sequence}}  {verdict}  {inner}".rstrip()


def summary(decoder: Decoder) -> Text:
    """What the capture holds, by SPI."""
    known = [tally for tally in decoder.tallies if tally.sa is not None]
    unknown = [tally for tally in decoder.tallies if tally.sa is None]
    parts = [_spi(tally) for tally in (*known, *unknown[:MOST_UNKNOWN])]
    if len(unknown) > MOST_UNKNOWN:
        parts.append(Text(f"and {len(unknown) - MOST_UNKNOWN} more SPIs without keys: --json names them", "yellow"))
    packets = sum(tally.packets for tally in decoder.tallies)
    passed = [f"{decoder.passed[kind]} {kind.value}" for kind in Passed if decoder.passed[kind]]
    parts.append(Text(", ".join((f"{_counted(decoder.frames, 'frame')}: {packets} ESP or AH", *passed))))
    parts += [Text.assemble(("hint: ", "green"), hint) for hint in _hints(decoder)]
    return Text("\n").join(parts)


def _spi(tally: Tally) -> Text:
    """Two lines of an SPI: what it is, and what came of its packets."""
    name = f"{tally.protocol.name} {'others' if tally.spi is None else f'{tally.spi:08x}'}"
    keys = ("no key", "yellow") if tally.sa is None else (tally.sa.suite.text, "")
    if tally.ends is None:
        return Text.assemble((name, "bold"), "  ", keys, "  ", ("not seen", "yellow"))
    return Text.assemble((name, "bold"), "  ", keys, f"  {tally.ends}\n    ", Text(", ").join(_counts(tally)))


def _counts(tally: Tally) -> Iterator[Text]:
    yield Text(f"{_counted(tally.packets, 'packet')} with {amount(tally.octets)}")
    if tally.sa is not None:
        yield Text(f"{tally.verdicts[OK]} opened with {amount(tally.inner_octets)} inside")
    if tally.missing:
        yield Text(f"{tally.missing} missing", "yellow")
    for verdict, count in sorted(tally.verdicts.items()):
        if verdict != OK:
            yield Text(f"{count} {verdict}", _COLORS.get(verdict, "red"))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


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
    name = "" if header is None else f" {opened.protocol.name} {header.spi:08x} #{header.sequence}"
    if opened.verdict == OK:
        return Text.assemble(("opened", "bold green"), f"{name}: {'' if inner is None else inner.text}")
    return Text.assemble((opened.verdict, "bold red"), f"{name}: {VERDICTS.get(opened.verdict, 'refused')}")
