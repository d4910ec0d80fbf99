"""NIST's Public Key Interoperability Testing Suite, as far as it needs neither revocation lists nor policies."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from caponier.mechanisms.authentication.parsing import parse_certificate
from caponier.mechanisms.authentication.path_validation import InvalidPath, validate_path

SUITE = json.loads((Path(__file__).parents[2] / "vectors" / "pkits.json").read_text())
AT = datetime(2026, 6, 1, tzinfo=UTC)

#: Valid by RFC 5280, and not taken by us.
NARROWER = {
    "4.1.4": "DSA, a SHOULD NOT of RFC 8247 section 3.1",
    "4.13.34": "constraints on URIs: no identity of IKE is one, and what is not compared must not be passed over",
    "4.13.36": "the same",
}


def _certificate(name: str) -> Any:
    return parse_certificate(base64.b64decode(SUITE["certificates"][name]))


def _validate(test: dict[str, Any], *, backwards: bool = False) -> None:
    intermediates = [_certificate(name) for name in test["intermediates"]]
    if backwards:
        intermediates.reverse()
    validate_path(_certificate(test["certificate"]), intermediates, [_certificate(SUITE["anchor"])], AT)


@pytest.mark.parametrize("test", SUITE["tests"], ids=lambda test: f"{test['section']}-{test['certificate']}")
def test_pkits(test: dict[str, Any]) -> None:
    """PKITS sections 4.1 to 4.7, 4.13 and 4.16: RFC 5280 section 6.1, whatever the order of certificates."""
    for backwards in (False, True):
        if test["valid"] and test["section"] not in NARROWER:
            _validate(test, backwards=backwards)
        else:
            with pytest.raises(InvalidPath):
                _validate(test, backwards=backwards)


def test_the_suite_is_whole() -> None:
    sections = [test["section"] for test in SUITE["tests"]]
    assert len(sections) == len(set(sections)) == 90
    assert set(NARROWER) <= {test["section"] for test in SUITE["tests"] if test["valid"]}
    assert [sum(section.startswith(f"{each}.") for section in sections) for each in ("4.6", "4.13")] == [17, 38]
