"""Published vectors of the groups of RFC 5114 and RFC 6954 and of X448, and the checks of RFC 6989 for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caponier.doi.ikev2 import KeyExchangeId
from caponier.errors import WireError
from caponier.mechanisms.algorithms.catalog import key_exchange
from caponier.mechanisms.algorithms.key_exchange import BRAINPOOL_GROUPS, ECP_GROUPS, Ecp

VECTORS = Path(__file__).parents[2] / "vectors"
MODP = json.loads((VECTORS / "rfc5114_modp.json").read_text())
BRAINPOOL = json.loads((VECTORS / "rfc6954_brainpool.json").read_text())


def exactly(value: int) -> Callable[[int], bytes]:
    """Random octets that are this number, in as many octets as are asked for."""
    return value.to_bytes


@pytest.mark.parametrize("case", MODP, ids=lambda case: case["section"])
def test_groups_with_subgroups(case: dict[str, Any]) -> None:
    """RFC 5114 appendix A.1 to A.3."""
    group = key_exchange(KeyExchangeId(case["group"]))
    a, b = (group.generate(exactly(int(case[x], 16))) for x in ("xA", "xB"))
    assert (a.public.hex(), b.public.hex()) == (case["yA"], case["yB"])
    assert a.derive_shared(b.public).expose().hex() == b.derive_shared(a.public).expose().hex() == case["Z"]


@pytest.mark.parametrize("number", [22, 23, 24])
def test_values_outside_of_the_subgroup(number: int) -> None:
    """RFC 6989 section 2.2: "r^q = 1 mod p"; 2, and the square of a good value times -1, are in range and not in it."""
    group = key_exchange(KeyExchangeId(number))
    pair = group.generate(lambda count: bytes(range(1, count + 1)))
    with pytest.raises(WireError, match="subgroup"):
        pair.derive_shared((2).to_bytes(group.public_length))
    with pytest.raises(WireError, match="range"):
        pair.derive_shared((1).to_bytes(group.public_length))


@pytest.mark.parametrize("case", BRAINPOOL, ids=lambda case: case["section"])
def test_brainpool_groups(case: dict[str, Any]) -> None:
    """RFC 6954 appendix A.2 to A.4, section 2.3: both coordinates are sent, the shared secret is x alone."""
    group = key_exchange(KeyExchangeId(case["group"]))
    a, b = (group.generate(exactly(int(case[d], 16) - 1)) for d in ("dA", "dB"))
    assert a.public.hex().upper() == (case["x_qA"] + case["y_qA"]).upper()
    assert b.public.hex().upper() == (case["x_qB"] + case["y_qB"]).upper()
    assert a.derive_shared(b.public).expose() == b.derive_shared(a.public).expose() == bytes.fromhex(case["x_Z"])


@pytest.mark.parametrize("group", [*ECP_GROUPS, *BRAINPOOL_GROUPS], ids=lambda group: group.id.name)
def test_points_and_their_like(group: Ecp) -> None:
    """RFC 6989 section 2.3: a point has coordinates less than the prime and is on the curve; each has one encoding."""
    ours, theirs = group.generate(lambda count: bytes(range(1, count + 1))), group.generate(lambda count: b"\7" * count)
    length = group.coordinate_length
    x, y = int.from_bytes(theirs.public[:length]), int.from_bytes(theirs.public[length:])
    negative = theirs.public[:length] + (group.prime - y).to_bytes(length)
    assert ours.derive_shared(negative) == ours.derive_shared(theirs.public)  # proves that the prime is the curve's
    for bad_x, bad_y in ((x, y ^ 1), (x + group.prime, y), (x, y + group.prime), (y, x), (0, 0)):
        if max(bad_x, bad_y).bit_length() <= 8 * length:
            with pytest.raises(WireError, match="KE payload"):
                ours.derive_shared(bad_x.to_bytes(length) + bad_y.to_bytes(length))


def test_x448() -> None:
    """RFC 7748 section 6.2."""
    a = "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf574a9419744897391006382a6f127ab1d9ac2d8c0a598726b"
    b = "1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d6927c120bb5ee8972b0d3e21374c9c921b09d1b0366f10b65173992d"
    group = key_exchange(KeyExchangeId.CURVE448)
    alice, bob = group.generate(lambda _: bytes.fromhex(a)), group.generate(lambda _: bytes.fromhex(b))
    assert alice.public.hex() == (
        "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c22c5d9bbc836647241d953d40c5b12da88120d53177f80e532c41fa0"
    )
    assert bob.public.hex() == (
        "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b43027d8b972fc3e34fb4232a13ca706dcb57aec3dae07bdc1c67bf33609"
    )
    shared = "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56fd2464c335543936521c24403085d59a449a5037514a879d"
    assert alice.derive_shared(bob.public).expose().hex() == bob.derive_shared(alice.public).expose().hex() == shared


@pytest.mark.parametrize("value", [0, 1, 2**448 - 2**224 - 2])
def test_x448_refuses_points_of_low_order(value: int) -> None:
    """RFC 7748 section 6.2, RFC 8031 section 2.3: a shared secret of zeros."""
    pair = key_exchange(KeyExchangeId.CURVE448).generate(lambda count: bytes(range(count)))
    with pytest.raises(WireError, match="low order"):
        pair.derive_shared(value.to_bytes(56, "little"))
