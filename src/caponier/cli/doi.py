"""``caponier doi``: the registries."""

from __future__ import annotations

from itertools import groupby

from rich.table import Table

from caponier.api.schema import RegistryEntry


def tables(entries: list[RegistryEntry]) -> list[Table]:
    """One table for each registry."""
    return [_table(name, list(rows)) for name, rows in groupby(entries, key=lambda entry: entry.registry)]


def _table(name: str, rows: list[RegistryEntry]) -> Table:
    table = Table(
        title=name, title_justify="left", title_style="bold", box=None, header_style="dim", padding=(0, 2, 0, 0)
    )
    table.add_column("number", justify="right")
    table.add_column("name", no_wrap=True)
    table.add_column("here")
    columns = {"keyword": any(row.keyword for row in rows), "guidance": any(row.guidance for row in rows)}
    for title, needed in columns.items():
        if needed:
            table.add_column({"keyword": "keyword", "guidance": "RFC 8247, 8221"}[title])
    table.add_column("source")
    for row in rows:
        optional = [getattr(row, title) or "" for title, needed in columns.items() if needed]
        here = "[green]yes[/]" if row.implemented else "[dim]no[/]"
        table.add_row(
            str(row.number), row.name, here, *optional, row.source, style="red" if _is_weak(row.guidance or "") else ""
        )
    return table


def _is_weak(guidance: str) -> bool:
    """Whether it is advised against; what must be combined with something else is not weak by that."""
    return "NOT" in guidance and "MUST with" not in guidance
