"""Run a program inside a network namespace: ``python -m caponier.demo.enter NAME -- COMMAND ...``."""

from __future__ import annotations

import os
import sys

from caponier.demo.namespaces import enter
from caponier.errors import CaponierError


def main(arguments: list[str]) -> None:
    """Enter the namespace, then become the program."""
    if len(arguments) < 3 or arguments[1] != "--":
        sys.exit("usage: python -m caponier.demo.enter NAME -- COMMAND [ARGUMENT ...]")
    name, command = arguments[0], arguments[2:]
    try:
        enter(name)
        os.execvp(command[0], command)  # noqa: S606 - becoming the named program is the purpose
    except (CaponierError, OSError) as error:
        sys.exit(f"caponier: {command[0]}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
