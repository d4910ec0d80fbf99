"""``caponier watch``: what happens, as it happens."""

from __future__ import annotations

from rich.text import Text

from caponier.api.schema import Happening
from caponier.cli.terminal import problem_text

_STYLES = {
    "ike-sa-established": "green",
    "child-sa-installed": "green",
    "failed": "red",
    "not-reloaded": "red",
    "engine-failed": "red",
}


def render(happening: Happening) -> Text:
    """One happening, perhaps of several lines."""
    told = problem_text(happening.problem) if happening.problem else Text(happening.text)
    return Text.assemble(
        (f"{happening.when:%H:%M:%S} ", "dim"),
        (f"{happening.kind:20}", _STYLES.get(happening.kind, "default")),
        (f" {happening.connection or '-'}  ", "bold"),
        told,
    )
