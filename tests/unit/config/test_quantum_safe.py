"""``quantum_safe``: whether a connection may do without a post-quantum key exchange."""

from __future__ import annotations

from pathlib import Path

from caponier.mechanisms.negotiation.proposals import DEFAULT_IKE_PROPOSALS, format_proposal
from tests.unit.config.site import GOOD, changed, findings, loaded

PROPOSALS = 'proposals = ["aes256gcm16-prfsha384-ecp384"]'
REQUIRED = 'quantum_safe = "required"\n'


def offered(file: Path, text: str) -> list[str]:
    return [format_proposal(each) for each in loaded(file, text).connections["office"].proposals]


def test_the_default_prefers(file: Path) -> None:
    assert offered(file, changed(PROPOSALS + "\n", "")) == [format_proposal(each) for each in DEFAULT_IKE_PROPOSALS]
    assert offered(file, GOOD) == ["aes256gcm16-prfsha384-ecp384"]


def test_required_leaves_what_has_ml_kem(file: Path) -> None:
    (only,) = offered(file, changed(PROPOSALS + "\n", REQUIRED))
    assert only.endswith("ke1_mlkem768-ke1_mlkem1024")


def test_required_takes_a_proposal_that_has_it(file: Path) -> None:
    for good in ("x25519-ke1_mlkem768", "mlkem768", "x25519-ke1_ecp256-ke2_mlkem512-ke2_mlkem768"):
        text = changed(PROPOSALS, f'{REQUIRED}proposals = ["aes256gcm16-prfsha384-{good}"]')
        assert offered(file, text) == [f"aes256gcm16-prfsha384-{good}"]


def test_required_refuses_a_proposal_that_can_do_without(file: Path) -> None:
    for bad in ("x25519", "x25519-ke1_mlkem768-ke1_none", "x25519-ke1_ecp256", "x25519-mlkem768"):
        text = changed(PROPOSALS, f'{REQUIRED}proposals = ["aes256gcm16-prfsha384-{bad}"]')
        (finding,) = findings(file, text)
        assert finding.key == "connection.office.quantum_safe"
        assert bad in finding.message
        assert finding.hint is not None
        assert "ke1_mlkem768" in finding.hint


# -- ppk

PPK = 'ppk = { id = "office-2026", secret = "file:office.ppk" }\n'


def with_ppk(file: Path, octets: bytes, table: str = PPK) -> str:
    secret = file.parent / "office.ppk"
    secret.write_bytes(octets)
    secret.chmod(0o600)
    return changed(PROPOSALS, table + PROPOSALS)


def test_a_ppk(file: Path) -> None:
    """RFC 8784 section 5.1: a PPK_ID of type 2, PPK_ID_FIXED."""
    ppk = loaded(file, with_ppk(file, bytes(range(65, 97)) + b"\n")).connections["office"].ppk
    assert ppk is not None
    assert (ppk.identity, ppk.secret.expose(), ppk.required) == (b"\x02office-2026", bytes(range(65, 97)), True)
    assert loaded(file, GOOD).connections["office"].ppk is None


def test_a_ppk_that_is_too_short(file: Path) -> None:
    """RFC 8784 section 6: "at least 256 bits of entropy"."""
    (finding,) = findings(file, with_ppk(file, b"not 32 octets"))
    assert finding.key == "connection.office.ppk.secret"
    assert "13 octets" in finding.message
    assert "not 32" not in finding.message


def test_a_ppk_that_stands_in_the_file(file: Path) -> None:
    (finding,) = findings(file, with_ppk(file, b"", PPK.replace("file:office.ppk", "the key itself")))
    assert finding.key == "connection.office.ppk.secret"
    assert "the key itself" not in str(finding)


def test_a_required_ppk_is_enough_where_quantum_safety_is_required(file: Path) -> None:
    assert findings(file, with_ppk(file, bytes(range(65, 97)), REQUIRED + PPK)) == ()
    optional = PPK.replace(" }", ", required = false }")
    (finding,) = findings(file, with_ppk(file, bytes(range(65, 97)), REQUIRED + optional))
    assert finding.key == "connection.office.quantum_safe"
