"""What all commands share: where output goes, and how errors are told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from caponier.api.client import Refused
from caponier.api.schema import Finding, Problem
from caponier.errors import CaponierError

P = ParamSpec("P")
T = TypeVar("T")


class _Terminal(Console):
    """A console whose reader may go at any time."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


#: A pipe has no width; tables in it should not be folded to that of a terminal.
out = _Terminal(highlight=False, width=None if sys.stdout.isatty() else 180)
err = Console(stderr=True, highlight=False, soft_wrap=True)

FAILED = 1  #: exit code: it was not done


def print_json(answer: BaseModel | list[BaseModel]) -> None:
    """One JSON document on standard output."""
    value = (
        answer.model_dump(mode="json")
        if isinstance(answer, BaseModel)
        else [each.model_dump(mode="json") for each in answer]
    )
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()  # here, where a reader that went is expected


def problem_text(problem: Problem) -> Text:
    """An error in full: what, what was offered and accepted, where to look, how to mend it."""
    text = Text(problem.message)
    if problem.offered:
        text.append(f"\n  offered:  {problem.offered}", "default")
    if problem.accepted:
        text.append(f"\n  accepted: {problem.accepted}", "default")
    if problem.file:
        place = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
        text.append(f"\n  look at:  {place}", "cyan")
        if problem.setting:
            text.append(f" ({problem.setting})", "cyan")
    if problem.hint:
        text.append(f"\n  hint:     {problem.hint}", "green")
    return text


def tell(error: CaponierError) -> None:
    """An error, on standard error."""
    problem = (
        error.problem
        if isinstance(error, Refused)
        else Problem(kind=type(error).__name__, message=error.message, hint=error.hint, setting=error.setting)
    )
    err.print(Text("error: ", "bold red") + problem_text(problem))


def tell_findings(findings: Sequence[Finding]) -> None:
    """Everything that is wrong with a file, on standard error."""
    for each in findings:
        place = each.file if each.line is None else f"{each.file}:{each.line}"
        key = f" {each.key}:" if each.key else ""
        err.print(Text.assemble((place, "cyan"), ":", (key, "bold"), f" {each.message}"))
        if each.hint:
            err.print(Text(f"    hint: {each.hint}", "green"))
    count = len(findings)
    err.print(Text(f"{count} mistake{'s' if count != 1 else ''}; nothing of the file is taken", "bold red"))


def errors_are_told(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose errors are told to the person, not thrown at them."""

    @wraps(command)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except CaponierError as error:
            tell(error)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader went: as with "| head"
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
            raise typer.Exit(0) from None

    return telling


def amount(octets: float) -> str:
    """Octets for people: ``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < 1024:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1024
    return f"{octets:.1f} TiB"


def span(seconds: float) -> str:
    """A duration for people: ``3 h 12 min``."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 120:
        return f"{minutes} min {whole % 60} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{days} d {hours % 24} h"
