"""Runs the targets under atheris, which is libFuzzer with eyes for Python bytecode: ``python -m fuzz.drive``.

A target is a module ``fuzz/fuzz_NAME.py`` with two functions: ``seeds()`` gives named inputs to start from, ``one(octets)``
must return for every input; a target that reads text may have ``WORDS`` that the fuzzer puts in. It knows nothing of
atheris, so that any test can call it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORK = HERE.parent / "target" / "fuzz"  #: corpora that grow, and findings; not under version control
SECONDS = 30
SLOW = 20  #: seconds for one input are a finding: a loop, or work that a stranger can cause


def names() -> list[str]:
    """All targets."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))


def main(arguments: list[str]) -> int:
    """Fuzz the targets that are named, or all, one after the other; 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="fuzz/run", description="fuzz the parsers of Caponier")
    parser.add_argument("seconds", nargs="?", type=int, default=SECONDS, help="for each target (default: %(default)s)")
    parser.add_argument("targets", nargs="*", choices=[[], *names()], help="default: all")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    targets = chosen.targets or names()
    if chosen.inside:
        _fuzz(targets[0], chosen.seconds)
    found = [name for name in targets if not _run(name, chosen.seconds)]
    for name in found:
        print(f"FOUND: {name}: see {WORK / name}", file=sys.stderr)
    return 1 if found else 0


def _run(name: str, seconds: int) -> bool:
    """One target in a process of its own, since a finding ends it; whether it found nothing."""
    print(f"== {name}, {seconds} seconds", flush=True)
    corpus = WORK / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for octets in importlib.import_module(f"fuzz.fuzz_{name}").seeds().values():
        (corpus / hashlib.sha256(octets).hexdigest()[:40]).write_bytes(octets)
    command = [sys.executable, "-m", "fuzz.drive", "--inside", str(seconds), name]
    return subprocess.run(command, cwd=HERE.parent, check=False).returncode == 0


def _fuzz(name: str, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")  # here, and so: only who fuzzes needs it
    # Its list of the modules that it instruments would hide what matters.
    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["caponier", "fuzz"]):
        target = importlib.import_module(f"fuzz.fuzz_{name}")
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={SLOW}",
        f"-artifact_prefix={WORK / name}/",
        "-max_len=8192",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    words = getattr(target, "WORDS", ())
    if words:
        dictionary = WORK / name / "words"
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words))
        options.append(f"-dict={dictionary}")
    atheris.Setup([name, *options, str(WORK / name / "corpus")], target.one)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    """A word as libFuzzer's dictionaries have it: every octet by its number."""
    return "".join(f"\\x{octet:02X}" for octet in word.encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
