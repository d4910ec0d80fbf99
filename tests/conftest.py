"""For all tests: what was proved against programs that we did not write is listed by name at the end."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("caponier", deadline=None)  # no test asserts times: a busy machine is no fault
settings.load_profile("caponier")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each test that has a peer."""
    reports = [
        (outcome, report)
        for outcome in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(outcome, [])
        if report.nodeid.startswith("tests/interop/")
    ]
    if not reports:
        return
    terminalreporter.section("with peers that we did not write")
    for outcome, report in sorted(reports, key=lambda each: each[1].nodeid):
        terminalreporter.write_line(f"{outcome}  {report.nodeid.removeprefix('tests/')}")
