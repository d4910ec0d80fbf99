"""ML-KEM (FIPS 203): known answers, and what it must refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from caponier.doi.ikev2 import KeyExchangeId
from caponier.errors import WireError
from caponier.mechanisms.algorithms.catalog import key_exchange, respond

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "mlkem.json").read_text())
METHODS = [KeyExchangeId.ML_KEM_512, KeyExchangeId.ML_KEM_768, KeyExchangeId.ML_KEM_1024]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_known_answers(case: dict[str, Any]) -> None:
    """FIPS 203 sections 7.1 to 7.3: the octets on the wire, the secret, and the implicit rejection of a forged ciphertext."""
    method = KeyExchangeId(case["method"])
    pair = key_exchange(method).generate(lambda _: bytes.fromhex(case["d"] + case["z"]))
    assert pair.public.hex() == case["pk"]
    ciphertext, shared = respond(method, lambda _: bytes.fromhex(case["msg"]), pair.public)
    assert (ciphertext.hex(), shared.expose().hex()) == (case["ct"], case["ss"])
    assert pair.derive_shared(ciphertext) == shared
    assert pair.derive_shared(bytes.fromhex(case["ct_n"])).expose().hex() == case["ss_n"]


@pytest.mark.parametrize("method", METHODS)
def test_values_of_another_length(method: KeyExchangeId) -> None:
    """draft-ietf-ipsecme-ikev2-mlkem: both lengths are checked."""
    pair = key_exchange(method).generate(bytes)
    ciphertext, _ = respond(method, bytes, pair.public)
    for junk in (b"", pair.public[1:], pair.public + b"\0"):
        with pytest.raises(WireError):
            respond(method, bytes, junk)
    for junk in (b"", ciphertext[1:], ciphertext + b"\0"):
        with pytest.raises(WireError):
            pair.derive_shared(junk)


@pytest.mark.parametrize("method", METHODS)
def test_coefficients_that_are_not_reduced(method: KeyExchangeId) -> None:
    """FIPS 203 section 7.2, modulus check: 3329 and more stand for no coefficient."""
    public = key_exchange(method).generate(bytes).public
    for coefficient in (3329, 4095):
        unreduced = coefficient.to_bytes(2, "little") + public[2:]
        with pytest.raises(WireError, match="encapsulation key"):
            respond(method, bytes, unreduced)


@pytest.mark.parametrize("method", [KeyExchangeId.CURVE25519, KeyExchangeId.ECP_256, KeyExchangeId.MODP_2048])
def test_groups_answer_by_the_same_call(method: KeyExchangeId) -> None:
    ours = key_exchange(method).generate(lambda count: bytes([3]) * count)
    public, shared = respond(method, lambda count: bytes([5]) * count, ours.public)
    assert ours.derive_shared(public) == shared
