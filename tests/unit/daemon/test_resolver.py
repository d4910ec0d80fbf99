"""DNS servers of the system: set, and put back, also after a death (RFC 7296 section 3.15.1)."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from pathlib import Path

import pytest

from caponier.daemon import resolver
from caponier.daemon.resolver import ByFile, ByResolvconf, ByResolved, Resolver, way

ONE, TWO = (ip_address("10.2.0.53"),), (ip_address("10.3.0.53"), ip_address("fd00:3::53"))
FORMER = "nameserver 198.51.100.1\noptions edns0\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "resolv.conf").write_text(FORMER)
    return tmp_path / "resolv.conf"


def servers(path: Path) -> list[str]:
    return [line.split()[1] for line in path.read_text().splitlines() if line.startswith("nameserver")]


def test_the_file_is_written_and_put_back(path: Path) -> None:
    how = Resolver(ByFile(path))
    how.use("cap0", ONE)
    how.use("cap1", TWO)
    how.close()
    assert path.read_text() == FORMER
    assert list(path.parent.iterdir()) == [path]


def test_the_last_ones_are_asked_first(path: Path) -> None:
    how = ByFile(path)
    how.set("cap0", ONE)
    how.set("cap1", TWO)
    assert servers(path) == ["10.3.0.53", "fd00:3::53", "10.2.0.53"]
    how.set("cap1", ())
    assert servers(path) == ["10.2.0.53"]
    how.set("cap0", ())
    assert path.read_text() == FORMER


def test_a_death_is_mended_at_the_next_start(path: Path) -> None:
    ByFile(path).set("cap0", ONE)
    assert servers(path) == ["10.2.0.53"]
    ByFile(path).begin()
    assert path.read_text() == FORMER


def test_a_link_is_put_back_as_a_link(path: Path, tmp_path: Path) -> None:
    """Where another program manages what the link leads to, its file is not touched."""
    other = tmp_path / "other"
    path.rename(other)
    path.symlink_to(other)
    how = ByFile(path)
    how.set("cap0", ONE)
    assert not path.is_symlink()
    assert other.read_text() == FORMER
    how.set("cap0", ())
    assert path.is_symlink()
    assert path.read_text() == FORMER


def test_what_somebody_else_wrote_meanwhile_stays(path: Path) -> None:
    how = ByFile(path)
    how.set("cap0", ONE)
    path.write_text("nameserver 203.0.113.1\n")
    how.set("cap0", ())
    assert servers(path) == ["203.0.113.1"]
    assert list(path.parent.iterdir()) == [path]


def test_there_may_be_no_file(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    how = ByFile(path)
    how.set("cap0", ONE)
    assert servers(path) == ["10.2.0.53"]
    how.set("cap0", ())
    assert path.read_text() == ""


def test_a_refusal_is_told_and_is_no_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        how = Resolver(ByFile(tmp_path / "none" / "resolv.conf"))
        how.use("cap0", ONE)
        how.close()
    assert "cannot be changed" in caplog.text


def test_two_of_one_interface(path: Path) -> None:
    """Each IKE SA gives back its own; the file goes back with the last."""
    how = Resolver(ByFile(path))
    how.use("cap0", ONE)
    how.use("cap0", TWO)
    how.leave("cap0", TWO)
    how.leave("cap0", TWO)
    how._thread.submit(lambda: None).result(10)
    assert servers(path) == ["10.2.0.53"]
    how.leave("cap0", ONE)
    how.close()
    assert path.read_text() == FORMER


PROGRAM = '#!/bin/sh\necho "$(basename "$0") $*" >> "$RECORD"\n[ "$1" != -a ] || cat >> "$RECORD"\n'


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of the system that only note how they were called."""
    for name in ("resolvectl", "resolvconf"):
        (tmp_path / name).write_text(PROGRAM)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    return tmp_path / "record"


def test_systemd_resolved_is_told_by_resolvectl(record: Path) -> None:
    how = Resolver(ByResolved())
    how.use("cap0", TWO)
    how.close()
    assert record.read_text().splitlines() == [
        "resolvectl dns cap0 10.3.0.53 fd00:3::53",
        "resolvectl domain cap0 ~.",
        "resolvectl revert cap0",
    ]


def test_resolvconf_is_told(record: Path) -> None:
    how = Resolver(ByResolvconf())
    how.use("cap0", ONE)
    how.close()
    assert record.read_text().splitlines() == [
        "resolvconf -a cap0.caponier",
        "nameserver 10.2.0.53",
        "resolvconf -d cap0.caponier",
    ]


def test_a_program_that_fails_is_told(
    record: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record.parent / "resolvectl").write_text("#!/bin/sh\necho no such link >&2\nexit 1\n")
    with caplog.at_level(logging.WARNING):
        how = Resolver(ByResolved())
        how.use("cap0", ONE)
        how.close()
        monkeypatch.setenv("PATH", "/nowhere")
        how = Resolver(ByResolvconf())
        how.use("cap0", ONE)
        how.close()
    assert "no such link" in caplog.text
    assert "resolvconf does not run" in caplog.text


def test_what_the_system_has_is_found(record: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(resolver, "RESOLVED", record.parent)
    assert isinstance(way("auto", path), ByResolved)
    monkeypatch.setattr(resolver, "RESOLVED", record.parent / "none")
    assert isinstance(way("auto", path), ByResolvconf)
    monkeypatch.setenv("PATH", "/nowhere")
    assert isinstance(way("auto", path), ByFile)
    assert isinstance(way("file", path), ByFile)
