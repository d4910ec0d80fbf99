"""How far a long task is, on standard error."""

from __future__ import annotations

from contextlib import ExitStack
from time import monotonic
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from caponier.cli.terminal import err

PATIENCE = 2.0  #: seconds that a person waits without being told anything
_STEP = 0.1  #: seconds between two looks at it


class ReadingProgress:
    """Octets of a file that were read; shown once it takes longer than two seconds, and gone at the end.

    Args:
        title: what is being done.
        total: octets of the whole file; None where that is not known.
        is_shown: whether anybody looks.
    """

    def __init__(self, title: str, total: int | None, *, is_shown: bool) -> None:
        self._title = title
        self._total = total
        self._octets = 0
        self._next = monotonic() + PATIENCE if is_shown else float("inf")
        self._progress: Progress | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def advance(self, octets: int) -> None:
        """So many more were read."""
        self._octets += octets
        now = monotonic()
        if now < self._next:
            return
        self._next = now + _STEP
        if self._progress is None:
            self._progress = self._stack.enter_context(_bar())
            self._progress.add_task(self._title, total=self._total)
        self._progress.update(self._progress.task_ids[0], completed=self._octets)


def _bar() -> Progress:
    """Standard output is left alone: it may be a file."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
