"""Random small trees of certificates, judged by us and by the library's own verifier of paths: both must agree.

The library verifies for the web, so the trees keep to what both know: P-256, names in the DNS, one purpose, version 3 with
key identifiers. What is random is what decides: who issued whom, who is an authority, path lengths, usages, validity,
name constraints, purposes, and what came along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from caponier.mechanisms.authentication.path_validation import InvalidPath, validate_path
from tests.unit.authentication import pki
from tests.unit.authentication.pki import DAY, NOW, Entity, Extension

HOST = "gw.example.com"
UNKNOWN = ObjectIdentifier("1.3.6.1.4.1.55555.1")
VALIDITIES = {"now": (-DAY, DAY), "past": (-2 * DAY, -DAY), "future": (DAY, 2 * DAY)}


@dataclass(frozen=True)
class Plan:
    """One certificate of a tree.

    Attributes:
        issuer: who issues it: so many before it, or itself where it is the first.
        path_length: pathLenConstraint.
        is_authority: cA.
        signs_certificates: keyCertSign.
        validity: a key of VALIDITIES.
        permitted: name constraints.
        excluded: name constraints.
        is_forged: signed by another key than its issuer's.
        is_odd: has a critical extension that nobody knows.
        is_sent: comes along.
    """

    issuer: int
    path_length: int | None
    is_authority: bool
    signs_certificates: bool
    validity: str
    permitted: tuple[str, ...]
    excluded: tuple[str, ...]
    is_forged: bool
    is_odd: bool
    is_sent: bool


USUALLY, SELDOM = st.sampled_from([True] * 29 + [False]), st.sampled_from([False] * 29 + [True])

PLAN = st.builds(
    Plan,
    issuer=st.sampled_from([1, 1, 1, 1, 2]),
    path_length=st.sampled_from([None] * 7 + [0, 1, 2]),
    is_authority=USUALLY,
    signs_certificates=USUALLY,
    validity=st.sampled_from(["now"] * 28 + ["past", "future"]),
    permitted=st.sampled_from(
        [()] * 10 + [("example.com",), ("gw.example.com",), ("example.org",), ("example.org", "com")]
    ),
    excluded=st.sampled_from([()] * 12 + [("example.org",), ("gw.example.com",), ("com",)]),
    is_forged=SELDOM,
    is_odd=SELDOM,
    is_sent=USUALLY,
)


def identifiers(key: pki.AnyKey, issuer: pki.AnyKey) -> list[Extension]:
    return [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False),
    ]


def _authority(plan: Plan, index: int, made: Sequence[Entity], name: str) -> Entity:
    key = pki.key("p256", name)
    issuer = made[max(0, index - plan.issuer)] if index else None
    length = plan.path_length if plan.is_authority else None
    used = pki.usage(*(["key_cert_sign"] if plan.signs_certificates else []), "crl_sign")
    extensions: list[Extension] = [(x509.BasicConstraints(plan.is_authority, length), True), (used, True)]
    extensions += identifiers(key, issuer.key if issuer else key)
    if plan.permitted or plan.excluded:
        extensions.append(pki.constraints(plan.permitted, plan.excluded))
    if plan.is_odd:
        extensions.append(pki.raw_extension(UNKNOWN, b"\5\0", critical=True))
    since, until = VALIDITIES[plan.validity]
    return pki.issue(
        pki.name(name),
        key,
        issuer,
        extensions,
        since=NOW + since,
        until=NOW + until,
        signer=pki.key("p256", "forger") if plan.is_forged and index else None,
    )


def _end_entity(issuer: Entity, hosts: Sequence[str], purpose: ObjectIdentifier, validity: str) -> Entity:
    key = pki.key("p256", "end entity")
    since, until = VALIDITIES[validity]
    extensions: list[Extension] = [
        pki.alternatives(*hosts),
        (x509.ExtendedKeyUsage([purpose]), False),
        (pki.usage("digital_signature"), True),
        *identifiers(key, issuer.key),
    ]
    return pki.issue(pki.name("gw"), key, issuer, extensions, since=NOW + since, until=NOW + until)


def ours(entity: Entity, between: Sequence[Entity], root: Entity) -> str | None:
    """None where we accept, else why not."""
    try:
        validate_path(entity.certificate, [each.certificate for each in between], [root.certificate], NOW)
    except InvalidPath as error:
        return str(error)
    return None


def theirs(entity: Entity, between: Sequence[Entity], root: Entity) -> str | None:
    """None where the library accepts, else why not."""
    verifier = (
        PolicyBuilder()
        .store(Store([root.certificate]))
        .time(NOW)
        .max_chain_depth(8)
        .build_server_verifier(x509.DNSName(HOST))
    )
    try:
        verifier.verify(entity.certificate, [each.certificate for each in between])
    except VerificationError as error:
        return str(error)
    return None


HOSTS = st.sampled_from([(HOST,), (HOST,), (HOST,), (HOST, "gw.example.org"), (HOST, "mail.example.com")])
PURPOSES = st.sampled_from([ExtendedKeyUsageOID.SERVER_AUTH] * 9 + [ExtendedKeyUsageOID.EMAIL_PROTECTION])


def _agree(entity: Entity, between: Sequence[Entity], root: Entity) -> None:
    here, there = ours(entity, between, root), theirs(entity, between, root)
    event("accepted" if there is None else "refused")
    assert (here is None) == (there is None), (here, there)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(PLAN, min_size=1, max_size=5),
    HOSTS,
    PURPOSES,
    st.sampled_from(["now"] * 12 + ["past", "future"]),
    st.randoms(),
)
def test_chains(
    tree: list[Plan], hosts: tuple[str, ...], purpose: ObjectIdentifier, validity: str, random: Random
) -> None:
    """RFC 5280 section 6.1, on trees where every authority has a name of its own."""
    made: list[Entity] = []
    for index, plan in enumerate(tree):
        made.append(_authority(plan, index, made, f"CA {index}"))
    entity = _end_entity(made[-1], hosts, purpose, validity)
    between = [each for each, plan in zip(made[1:], tree[1:], strict=True) if plan.is_sent]
    random.shuffle(between)
    _agree(entity, between, made[0])


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), PLAN), min_size=2, max_size=7), HOSTS)
def test_webs(edges: list[tuple[int, int, Plan]], hosts: tuple[str, ...]) -> None:
    """RFC 5280 section 6.1 where authorities have signed each other: one acceptable path is enough, loops are none."""
    names = [f"Web {each}" for each in range(4)]
    heads = [pki.authority(name, more=identifiers(pki.key("p256", name), pki.key("p256", name))) for name in names]
    between = [
        _authority(plan, 1, [heads[issuer]], names[subject]) for issuer, subject, plan in edges if issuer != subject
    ]
    _agree(_end_entity(heads[3], hosts, ExtendedKeyUsageOID.SERVER_AUTH, "now"), between, heads[0])


@pytest.mark.parametrize("depth", range(6))
def test_the_oracle_accepts_what_is_plainly_right(depth: int) -> None:
    """So that agreement above is not agreement to refuse everything."""
    plan = Plan(1, None, True, True, "now", (), (), False, False, True)
    made = [_authority(plan, 0, [], "CA 0")]
    for index in range(depth):
        made.append(_authority(plan, index + 1, made, f"CA {index + 1}"))
    entity = _end_entity(made[-1], (HOST,), ExtendedKeyUsageOID.SERVER_AUTH, "now")
    assert ours(entity, made[1:], made[0]) is None
    assert theirs(entity, made[1:], made[0]) is None
