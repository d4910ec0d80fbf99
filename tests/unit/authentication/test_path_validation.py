"""Path validation (RFC 5280 section 6.1) on trees that are made for each rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from caponier.errors import AuthenticationFailed
from caponier.mechanisms.authentication import path_validation
from caponier.mechanisms.authentication.certificates import verify_chain
from caponier.mechanisms.authentication.identity import comparable_name, parse_identity
from caponier.mechanisms.authentication.path_validation import (
    MAX_CERTIFICATES,
    MAX_DEPTH,
    MAX_SIGNATURES,
    InvalidPath,
    validate_path,
)
from tests.unit.authentication import pki
from tests.unit.authentication.pki import DAY, NOW, Entity, Extension

GATEWAY = parse_identity("gw.example.com")


def accept(entity: Entity, between: Sequence[Entity], *anchors: Entity, at: datetime = NOW) -> None:
    key = validate_path(
        entity.certificate, [each.certificate for each in between], [each.certificate for each in anchors], at
    )
    assert key == entity.key.public_key()


def refuse(entity: Entity, between: Sequence[Entity], *anchors: Entity, at: datetime = NOW) -> InvalidPath:
    with pytest.raises(InvalidPath) as caught:
        accept(entity, between, *anchors, at=at)
    assert caught.value.section.startswith(("RFC 5280 section ", "RFC 4945 section ", "RFC 8247 section "))
    return caught.value


def line(depth: int, **options: int | None) -> list[Entity]:
    """A root and ``depth`` authorities below it, each issued by the one before."""
    chain = [pki.authority("CA 0", path_length=options.get("root"))]
    for each in range(1, depth + 1):
        chain.append(pki.authority(f"CA {each}", chain[-1], path_length=options.get(f"ca{each}")))
    return chain


# -- shapes


@pytest.mark.parametrize("depth", range(6))
def test_chains(depth: int) -> None:
    """RFC 5280 section 6.1.3: from the end entity through any number of authorities to the anchor."""
    root, *between = line(depth)
    entity = pki.end_entity([root, *between][-1])
    accept(entity, between, root)
    for missing in between:
        assert "none of the authorities that we trust" in str(
            refuse(entity, [e for e in between if e != missing], root)
        )


def test_any_order() -> None:
    """RFC 4945 section 4.3.3: "implementations MUST NOT assume that any but the first CERT is ordered in any way"."""
    root, *between = line(4)
    entity = pki.end_entity(between[-1])
    for order in permutations(between):
        accept(entity, order, root)


def test_the_anchor_sent_along() -> None:
    """RFC 4945 section 3.3: it should not be sent; it is no harm."""
    root, *between = line(2)
    entity = pki.end_entity(between[-1])
    accept(entity, [root, *between, root], root)


def test_an_anchor_in_the_middle() -> None:
    """RFC 4945 section 3.3: "the recipient may consider any given intermediate CA certificate to be a trust anchor"."""
    root, middle, issuer = line(2)
    entity = pki.end_entity(issuer)
    accept(entity, [issuer], middle)
    accept(entity, [middle, issuer, root], middle)
    accept(entity, [], issuer)


def test_irrelevant_and_duplicate_certificates() -> None:
    """RFC 4945 sections 3.3.10.4 and 3.3.10.5: both must be borne."""
    root, *between = line(2)
    others = [pki.authority(f"Other {each}") for each in range(5)]
    entity = pki.end_entity(between[-1])
    accept(entity, [*others, *between, entity, *between, *others, *between], root)


def test_many_anchors() -> None:
    root, *between = line(1)
    anchors = [pki.authority(f"Other {each}") for each in range(200)]
    accept(pki.end_entity(between[0]), between, *anchors, root)
    refuse(pki.end_entity(between[0]), between, *anchors)


def test_no_anchors() -> None:
    root, *between = line(1)
    refuse(pki.end_entity(between[0]), [*between, root])


def test_the_deepest_chain() -> None:
    """Our own limit: so many authorities between an end entity and an anchor."""
    chain = line(MAX_DEPTH + 1)
    accept(pki.end_entity(chain[MAX_DEPTH]), chain[1:-1], chain[0])
    refuse(pki.end_entity(chain[-1]), chain[1:], chain[0])


def test_an_end_entity_that_is_an_anchor() -> None:
    """A self-signed certificate that we trust as it is; where it may sign for itself, not only certificates."""
    allowed = pki.usage("key_cert_sign", "digital_signature")
    extensions: list[Extension] = [(x509.BasicConstraints(True, None), True), (allowed, True)]
    itself = pki.issue(pki.name("gw"), pki.key("p256", "gw"), None, extensions)
    accept(itself, [], itself)
    only_authority = pki.authority("Root")
    assert "may not make signatures" in str(refuse(only_authority, [], only_authority))


def test_cross_signed_authorities() -> None:
    """A and B have signed each other; each anchor alone is enough, and the loop between them ends."""
    a, b = pki.authority("A"), pki.authority("B")
    a_by_b = pki.issue(pki.name("A"), a.key, b, pki.authority_extensions())
    b_by_a = pki.issue(pki.name("B"), b.key, a, pki.authority_extensions())
    entity = pki.end_entity(a)
    for pool in permutations([a_by_b, b_by_a]):
        accept(entity, pool, a)
        accept(entity, pool, b)
        refuse(entity, pool, pki.authority("C"))


def test_a_loop_that_leads_nowhere() -> None:
    """Class L: each certificate is used once in a path, so that a ring ends."""
    ring = [pki.authority(f"Ring {each}") for each in range(4)]
    links = [
        pki.issue(ring[each].certificate.subject, ring[each].key, ring[each - 1], pki.authority_extensions())
        for each in range(4)
    ]
    error = refuse(pki.end_entity(links[0]), links, pki.authority("Root"))
    assert "none of the authorities that we trust" in str(error)


def test_of_two_paths_one_is_enough() -> None:
    """An expired cross-certificate beside a good one, whichever comes first."""
    root, issuer = pki.authority("Root"), pki.authority("Issuer")
    expired = pki.issue(
        pki.name("Issuer"), issuer.key, root, pki.authority_extensions(), since=NOW - 2 * DAY, until=NOW - DAY
    )
    good = pki.issue(pki.name("Issuer"), issuer.key, root, pki.authority_extensions())
    entity = pki.end_entity(issuer)
    for pool in permutations([expired, good]):
        accept(entity, pool, root)
    assert "ended on 2026-05-31" in str(refuse(entity, [expired], root))


def test_an_authority_with_a_new_key() -> None:
    """The same name, another key (RFC 5280 section 6.1: self-issued certificates, as in a key rollover)."""
    old, new = (
        pki.authority("Root"),
        pki.issue(pki.name("Root"), pki.key("p256", "new"), None, pki.authority_extensions()),
    )
    new_with_old = pki.issue(pki.name("Root"), new.key, old, pki.authority_extensions())
    accept(pki.end_entity(new), [new_with_old], old)
    refuse(pki.end_entity(new), [], old)
    accept(pki.end_entity(new), [], old, new)


# -- names and signatures


def test_an_issuer_of_the_same_name() -> None:
    """RFC 5280 section 6.1.3 (a) (1): a name is no proof; its key must have signed."""
    root, impostor = (
        pki.authority("Root"),
        pki.issue(pki.name("Root"), pki.key("p256", "x"), None, pki.authority_extensions()),
    )
    entity = pki.end_entity(impostor)
    refuse(entity, [], root)
    refuse(entity, [impostor], root)


def test_a_signature_by_the_right_key_under_another_name() -> None:
    """RFC 5280 section 6.1.3 (a) (4)."""
    root = pki.authority("Root")
    entity = pki.issue(pki.name("gw"), pki.key("p256", "gw"), root, issuer_name=pki.name("Boot"))
    refuse(entity, [], root)


def test_a_signature_by_somebody_else() -> None:
    """RFC 5280 section 6.1.3 (a) (1), at the end and in the middle of a path."""
    root, middle = line(1)
    forged = pki.issue(pki.name("gw"), pki.key("p256", "gw"), middle, signer=pki.key("p256", "forger"))
    refuse(forged, [middle], root)
    forged_middle = pki.issue(pki.name("CA 1"), middle.key, root, pki.authority_extensions(), signer=middle.key)
    refuse(pki.end_entity(middle), [forged_middle], root)


SAME_NAMES = {
    "case": ("Example", "EXAMPLE"),
    "inner blanks": ("The  Example", "The Example"),
    "outer blanks": (" Example ", "Example"),
    "case beyond ASCII": ("ÉXAMPLE", "éxample"),
}


def _in(string: str, text: str) -> x509.Name:
    kind = getattr(x509.name._ASN1Type, string)
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text, kind)])


@pytest.mark.parametrize("difference", SAME_NAMES)
@pytest.mark.parametrize("kind", ["p256", "p384", "rsa", "ed25519"])
def test_names_chain_by_what_they_say(kind: str, difference: str) -> None:
    """RFC 5280 section 7.1: case and superfluous blanks do not count; also the signature is verified then."""
    one, other = SAME_NAMES[difference]
    key = pki.key(kind, "named")
    root = pki.issue(_in("UTF8String", one), key, None, pki.authority_extensions())
    accept(pki.issue(pki.name("gw"), pki.key("p256", "gw"), root, issuer_name=_in("UTF8String", other)), [], root)
    for signer in (pki.key(kind, "forger"), pki.key("p521", "forger"), pki.foreign_key("ed448")):
        forged = pki.issue(
            pki.name("gw"), pki.key("p256", "gw"), root, issuer_name=_in("UTF8String", other), signer=signer
        )
        refuse(forged, [], root)


def test_names_chain_whatever_string_they_are_written_in() -> None:
    """RFC 5280 section 7.1: an authority went from PrintableString to UTF8String, its older certificates did not."""
    key = pki.key("p256", "named")
    root = pki.issue(_in("UTF8String", "Example"), key, None, pki.authority_extensions())
    accept(pki.issue(pki.name("gw"), pki.key("p256"), root, issuer_name=_in("PrintableString", "Example")), [], root)


def test_names_that_differ() -> None:
    """RFC 5280 section 7.1: no prefix, no other order, no other attribute is the same name (class of CVE-2013-6075)."""
    full = pki.name("Root")
    parts = list(full)
    others = [
        x509.Name(parts[:1]),
        x509.Name(parts[1:]),
        x509.Name(parts[::-1]),
        x509.Name([*parts, parts[-1]]),
        x509.Name([]),
        x509.Name([x509.RelativeDistinguishedName(parts)]),
        x509.Name([parts[0], x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Root")]),
        x509.Name([parts[0], x509.NameAttribute(NameOID.COMMON_NAME, "Root\0")]),
        x509.Name([parts[0], x509.NameAttribute(NameOID.COMMON_NAME, "R\u03bf\u03bft")]),
    ]
    root = pki.issue(full, pki.key("p256", "Root"), None, pki.authority_extensions())
    for other in others:
        assert comparable_name(other) != comparable_name(full)
        refuse(pki.issue(pki.name("gw"), pki.key("p256"), root, issuer_name=other), [], root)


def test_an_algorithm_that_is_not_the_signed_one() -> None:
    """RFC 5280 section 4.1.1.2: the outer AlgorithmIdentifier "MUST" be the one inside."""
    root = pki.authority("Root")
    entity = pki.end_entity(root)
    sha256, sha384 = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300a06082a8648ce3d040303")
    tampered = pki.edited(entity, sha256, sha384, root)
    with pytest.raises(AuthenticationFailed):
        verify_chain(tampered, [], root.trust, GATEWAY, NOW)


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "rsa", "rsa-e3", "ed25519"])
def test_authorities_of_every_kind_of_key(kind: str) -> None:
    root = pki.authority("Root", kind=kind)
    accept(pki.end_entity(root, kind=kind), [], root)


def _signed_by_rsa(function: hashes.SHA256 | hashes.SHA1 | hashes.MD5, pad: padding.PSS | None) -> tuple[bytes, Entity]:
    """A certificate of an RSA authority, signed over any hash by hand: the library refuses to make some of these."""
    root = pki.issue(pki.name("Root"), pki.key("rsa"), None, pki.authority_extensions())
    entity = pki.end_entity(root)
    identifier = {"sha256": "0b", "sha1": "05", "md5": "04"}[function.name]
    sha256 = bytes.fromhex("300d06092a864886f70d01010b0500")
    inner = bytes.fromhex(f"300d06092a864886f70d0101{identifier}0500")
    tbs = entity.certificate.tbs_certificate_bytes.replace(sha256, inner)
    assert isinstance(root.key, rsa.RSAPrivateKey)
    signature = root.key.sign(tbs, pad or padding.PKCS1v15(), function)
    return pki.der(0x30, tbs, inner, pki.der(3, b"\0" + signature)), root


@pytest.mark.parametrize("function", [hashes.SHA1(), hashes.MD5()], ids=lambda function: function.name)
def test_weak_hashes(function: hashes.SHA1 | hashes.MD5) -> None:
    """RFC 8247 section 3.2: SHA-1 is a MUST NOT, and MD5 not even mentioned; right as the signature may be."""
    der, root = _signed_by_rsa(hashes.SHA256(), None)
    verify_chain(der, [], root.trust, GATEWAY, NOW)
    der, root = _signed_by_rsa(function, None)
    with pytest.raises(AuthenticationFailed, match=rf"signed over {function.name}|leads to one"):
        verify_chain(der, [], root.trust, GATEWAY, NOW)


def test_short_keys() -> None:
    """RFC 8247 section 3.1.1: of the end entity, of an authority, of the anchor."""
    root, small = pki.authority("Root"), "rsa-1024"
    assert "RSA of 1024 bits" in str(refuse(pki.end_entity(root, kind=small), [], root))
    middle = pki.authority("Middle", root, kind=small)
    assert "RSA of 1024 bits" in str(refuse(pki.end_entity(middle), [middle], root))
    weak_root = pki.authority("Weak Root", kind=small)
    assert "RSA of 1024 bits" in str(refuse(pki.end_entity(weak_root), [], weak_root))


@pytest.mark.parametrize("kind", ["p224", "p256k1"])
def test_other_curves(kind: str) -> None:
    root = pki.authority("Root")
    assert "secp" in str(refuse(pki.end_entity(root, kind=kind), [], root))


def test_kinds_of_keys_that_we_do_not_take() -> None:
    root = pki.authority("Root")
    for kind in ("ed448", "dsa"):
        entity = pki.issue(pki.name("gw"), pki.foreign_key(kind), root)
        assert "which we do not use" in str(refuse(entity, [], root))
        authority = pki.issue(pki.name("Other"), pki.foreign_key(kind), None, pki.authority_extensions())
        refuse(pki.issue(pki.name("gw"), pki.key("p256"), authority), [], authority)


# -- validity


def test_validity_of_the_end_entity() -> None:
    """RFC 5280 sections 4.1.2.5 and 6.1.3 (a) (2): both ends belong to it."""
    root = pki.authority("Root")
    entity = pki.end_entity(root, since=NOW - DAY, until=NOW + DAY / 2)
    second = timedelta(seconds=1)
    for at in (NOW - DAY, NOW, NOW + DAY / 2):
        accept(entity, [], root, at=at)
    assert "valid only from 2026-05-31 12:00 UTC" in str(refuse(entity, [], root, at=NOW - DAY - second))
    error = refuse(entity, [], root, at=NOW + DAY / 2 + second)
    assert "ended on 2026-06-02 00:00 UTC" in str(error)
    assert error.hint == "renew it"


def test_validity_of_authorities() -> None:
    """RFC 5280 section 6.1.3 (a) (2) for each certificate of the path; and an anchor that ended is no anchor of ours."""
    root = pki.authority("Root")
    for since, until in ((NOW - 2 * DAY, NOW - DAY), (NOW + DAY, NOW + 2 * DAY)):
        middle = pki.authority("Middle", root, since=since, until=until)
        refuse(pki.end_entity(middle), [middle], root)
        odd_root = pki.authority("Odd Root", since=since, until=until)
        refuse(pki.end_entity(odd_root), [], odd_root)
    early = pki.end_entity(root, since=NOW + DAY, until=NOW + 2 * DAY)
    assert "clock" in str(refuse(early, [], root).hint)


def test_certificates_until_the_end_of_time() -> None:
    """RFC 5280 section 4.1.2.5: 99991231235959Z for devices that keep theirs; GeneralizedTime from 2050 on."""
    forever = datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - the library wants it so
    root = pki.authority("Root", until=forever)
    accept(pki.end_entity(root, until=forever), [], root, at=NOW.replace(year=2051))


# -- basic constraints and key usage


@pytest.mark.parametrize(
    ("root", "ca1", "ca2", "narrowest"),
    [
        (None, None, None, None),
        (2, 1, 0, None),
        (2, None, 0, None),
        (None, 1, None, None),
        (5, 5, 0, None),
        (None, None, 0, None),
        (1, None, None, "CA 0"),
        (0, None, None, "CA 0"),
        (None, 0, None, "CA 1"),
        (2, 0, None, "CA 1"),
        (1, 5, 5, "CA 0"),
        (1, 0, 5, "CA 0"),
    ],
)
def test_path_lengths(root: int | None, ca1: int | None, ca2: int | None, narrowest: str | None) -> None:
    """RFC 5280 sections 4.2.1.9, 6.1.4 (l) and (m): each narrows what those above it left; we say who does it."""
    chain = line(2, root=root, ca1=ca1, ca2=ca2)
    entity = pki.end_entity(chain[-1])
    if narrowest is None:
        accept(entity, chain[1:], chain[0])
    else:
        assert f"too many authorities below CN={narrowest}, O=Example" in str(refuse(entity, chain[1:], chain[0]))


def test_a_path_length_does_not_count_self_issued_certificates() -> None:
    """RFC 5280 section 6.1.4 (l)."""
    root = pki.authority("Root", path_length=0)
    renewed = pki.issue(pki.name("Root"), pki.key("p256", "new"), root, pki.authority_extensions())
    accept(pki.end_entity(renewed), [renewed], root)
    below = pki.authority("Below", renewed)
    refuse(pki.end_entity(below), [renewed, below], root)


def test_a_path_length_does_not_widen() -> None:
    """RFC 5280 section 6.1.4 (m): a larger one below a smaller one changes nothing."""
    chain = line(3, root=1, ca1=7)
    refuse(pki.end_entity(chain[2]), chain[1:3], chain[0])


AUTHORITY: list[Extension] = [(x509.BasicConstraints(True, None), True)]
NO_AUTHORITIES: dict[str, list[Extension]] = {
    "no extensions": [],
    "no basic constraints": [(pki.usage("key_cert_sign"), True)],
    "cA is false": [(x509.BasicConstraints(False, None), True), (pki.usage("key_cert_sign"), True)],
    "cA is false, not critical": [(x509.BasicConstraints(False, None), False)],
    "no keyCertSign": [*AUTHORITY, (pki.usage("digital_signature", "crl_sign"), True)],
    "no keyCertSign, not critical": [*AUTHORITY, (pki.usage("digital_signature"), False)],
    "no usage at all": [*AUTHORITY, (pki.usage(), True)],
}


@pytest.mark.parametrize("flaw", NO_AUTHORITIES)
def test_who_is_no_authority(flaw: str) -> None:
    """RFC 5280 section 6.1.4 (k) and (n), in the middle of a path and at its anchor."""
    root = pki.authority("Root")
    middle = pki.issue(pki.name("Middle"), pki.key("p256", "Middle"), root, NO_AUTHORITIES[flaw])
    error = refuse(pki.end_entity(middle), [middle], root)
    assert error.section in ("RFC 5280 section 6.1.4 (k)", "RFC 5280 section 6.1.4 (n)")
    assert "CN=Middle" in str(error)
    anchor = pki.issue(pki.name("Anchor"), pki.key("p256", "Anchor"), None, NO_AUTHORITIES[flaw])
    refuse(pki.end_entity(anchor), [], anchor)


def test_authorities_without_key_usage() -> None:
    """RFC 5280 section 6.1.4 (n): "If a key usage extension is present", and basicConstraints need not be critical."""
    root = pki.authority("Root")
    for critical in (True, False):
        middle = pki.issue(
            pki.name("Middle"), pki.key("p256", "Middle"), root, [(x509.BasicConstraints(True, None), critical)]
        )
        accept(pki.end_entity(middle), [middle], root)


def test_an_end_entity_is_no_authority() -> None:
    """The oldest attack of all: a peer's own certificate signs another one (MS-CA-2002, class X)."""
    root = pki.authority("Root")
    mallory = pki.end_entity(root, "mallory.example.com")
    forged = pki.issue(pki.name("gw"), pki.key("p256", "forged"), mallory, [pki.alternatives("gw.example.com")])
    assert "is no authority and yet issued" in str(refuse(forged, [mallory], root))


@pytest.mark.parametrize(
    ("allowed", "accepted"),
    [
        (["digital_signature"], True),
        (["content_commitment"], True),
        (["digital_signature", "key_encipherment"], True),
        (["key_encipherment"], False),
        (["key_agreement"], False),
        (["key_cert_sign", "crl_sign"], False),
        ([], False),
    ],
)
def test_key_usage_of_the_end_entity(allowed: list[str], *, accepted: bool) -> None:
    """RFC 4945 section 5.1.3.2: digitalSignature or nonRepudiation, where there is such an extension."""
    root = pki.authority("Root")
    for critical in (True, False):
        entity = pki.end_entity(root, more=[(pki.usage(*allowed), critical)])
        if accepted:
            accept(entity, [], root)
        else:
            assert refuse(entity, [], root).section == "RFC 4945 section 5.1.3.2"


@pytest.mark.parametrize(
    ("oids", "accepted"),
    [
        ([pki.EKU_IKE], True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
        ([ExtendedKeyUsageOID.CODE_SIGNING, pki.EKU_IKE], True),
        ([ExtendedKeyUsageOID.SERVER_AUTH], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH], True),
        ([ObjectIdentifier("1.3.6.1.5.5.8.2.2")], True),
        ([ExtendedKeyUsageOID.EMAIL_PROTECTION], False),
        ([ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.TIME_STAMPING], False),
        ([ObjectIdentifier("1.3.6.1.5.5.7.3.5")], False),
        ([ObjectIdentifier("1.3.6.1.5.5.7.3.6")], False),
        ([ObjectIdentifier("1.3.6.1.5.5.7.3.7")], False),
    ],
)
def test_extended_key_usage(oids: list[ObjectIdentifier], *, accepted: bool) -> None:
    """RFC 4945 section 5.1.3.12: id-kp-ipsecIKE or any; the three of 1999 are obsolete.

    We are wider than that by serverAuth, clientAuth and iKEIntermediate, which is what public authorities issue and what
    other implementations want in a certificate for IKE.
    """
    root = pki.authority("Root")
    for critical in (True, False):
        entity = pki.end_entity(root, more=[(pki.purposes(*oids)[0], critical)])
        if accepted:
            accept(entity, [], root)
        else:
            assert refuse(entity, [], root).section == "RFC 4945 section 5.1.3.12"


# -- extensions


@pytest.mark.parametrize("where", ["end entity", "authority", "anchor"])
def test_unknown_critical_extensions(where: str) -> None:
    """RFC 5280 sections 4.2 and 6.1.4 (o): refused where it is critical, passed over where it is not.

    The RFC does not speak of anchors; what an authority says of itself critically, we do not overlook there either.
    """
    for critical in (True, False):
        more = [pki.raw_extension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\5\0", critical=critical)]
        root = pki.authority("Root", more=more if where == "anchor" else ())
        middle = pki.authority("Middle", root, more=more if where == "authority" else ())
        entity = pki.end_entity(middle, more=more if where == "end entity" else ())
        if critical:
            assert "1.3.6.1.4.1.55555.1, which we do not process" in str(refuse(entity, [middle], root))
        else:
            accept(entity, [middle], root)


def test_critical_policies_are_not_processed() -> None:
    """No certificate policies: a path that hangs on them is refused (RFC 5280 sections 4.2.1.4, 4.2.1.11 and 4.2.1.14)."""
    root = pki.authority("Root")
    policies = x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("2.23.140.1.2.1"), None)])
    accept(pki.end_entity(root, more=[(policies, False)]), [], root)
    for extension in (policies, x509.PolicyConstraints(0, None), x509.InhibitAnyPolicy(0)):
        middle = pki.authority("Middle", root, more=[(extension, True)])
        assert "which we do not process" in str(refuse(pki.end_entity(middle), [middle], root))


def test_a_critical_subject_alternative_name() -> None:
    """RFC 5280 section 4.2.1.6: critical where the subject is empty; RFC 4945 section 5.1.2.1: MUST be accepted."""
    root = pki.authority("Root")
    names = pki.alternatives("gw.example.com")[0]
    entity = pki.issue(x509.Name([]), pki.key("p256", "gw"), root, [(names, True)])
    accept(entity, [], root)
    verify_chain(entity.der, [], root.trust, GATEWAY, NOW)


# -- name constraints, along a path; which name is within which is in test_name_constraints


def test_name_constraints_of_each_authority_count() -> None:
    """RFC 5280 section 6.1.4 (g): permitted subtrees intersect, excluded ones add up."""
    root = pki.authority("Root", more=[pki.constraints(["example.com"])])
    middle = pki.authority(
        "Middle", root, more=[pki.constraints(["vpn.example.com", "example.org"], ["x.vpn.example.com"])]
    )
    for host, accepted in (
        ("gw.vpn.example.com", True),
        ("gw.example.com", False),
        ("gw.example.org", False),
        ("a.x.vpn.example.com", False),
    ):
        entity = pki.end_entity(middle, host)
        if accepted:
            accept(entity, [middle], root)
        else:
            error = refuse(entity, [middle], root)
            assert host in str(error)
            assert error.section == "RFC 5280 section 6.1.3 (b) and (c)"


def test_name_constraints_bind_authorities_too() -> None:
    """RFC 5280 section 6.1.3 (b): also those in between, but for self-issued ones."""
    root = pki.authority("Root", more=[pki.constraints(["dir:O=Example"])])
    stranger = pki.issue(pki.name("CA", "Other"), pki.key("p256", "Other"), root, pki.authority_extensions())
    refuse(pki.end_entity(stranger), [stranger], root)
    odd = pki.authority("Odd", more=[pki.constraints(excluded=["dir:CN=Odd,O=Example"])])
    renewed = pki.issue(pki.name("Odd"), pki.key("p256", "renewed"), odd, pki.authority_extensions())
    accept(pki.end_entity(renewed), [renewed], odd)


def test_name_constraints_bind_a_self_issued_end_entity() -> None:
    """RFC 5280 section 6.1.3 (b): "unless this is the final certificate in the path"."""
    root = pki.authority("Root", more=[pki.constraints(["example.com"])])
    entity = pki.issue(pki.name("Root"), pki.key("p256", "gw"), root, [pki.alternatives("gw.example.org")])
    assert "gw.example.org" in str(refuse(entity, [], root))


def test_name_constraints_of_an_end_entity_bind_nobody() -> None:
    """RFC 5280 section 4.2.1.10: the extension has a meaning only in an authority's certificate."""
    root = pki.authority("Root")
    accept(pki.end_entity(root, more=[pki.constraints(["example.org"])]), [], root)


def test_name_constraints_are_not_dodged_by_a_detour() -> None:
    """A path through another authority does not lift what the only anchor demands (class X, CVE-2026-35331)."""
    root = pki.authority("Root", more=[pki.constraints(["example.com"])])
    free = pki.authority("Free")
    bridge = pki.issue(pki.name("Free"), free.key, root, pki.authority_extensions())
    refuse(pki.end_entity(free, "gw.example.org"), [free, bridge], root)
    accept(pki.end_entity(free, "gw.example.com"), [free, bridge], root)


# -- the work that strangers cause


class Counter:
    """Counts calls of a function that it stands in for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.calls = 0
        self._function = getattr(path_validation, name)
        monkeypatch.setattr(path_validation, name, self)

    def __call__(self, *arguments: object) -> object:
        self.calls += 1
        return self._function(*arguments)


def _all_cross_signed(count: int) -> list[Entity]:
    """Each of ``count`` authorities has a certificate from each other one."""
    heads = [pki.authority(f"Bush {each}") for each in range(count)]
    return [
        pki.issue(one.certificate.subject, one.key, other, pki.authority_extensions())
        for one in heads
        for other in heads
        if one is not other
    ]


@pytest.mark.parametrize("trusted", [False, True])
def test_a_bushy_pool_ends_soon(monkeypatch: pytest.MonkeyPatch, *, trusted: bool) -> None:
    """Class C: 90 certificates with about ten million paths among them cost no more than the budget."""
    pool = _all_cross_signed(10)
    entity = pki.end_entity(pool[0])
    anchor = pki.authority("Bush 9") if trusted else pki.authority("Root")
    expired = pki.issue(
        anchor.certificate.subject, anchor.key, None, pki.authority_extensions(), since=NOW - 2 * DAY, until=NOW - DAY
    )
    signatures, names = Counter(monkeypatch, "_verify_issued"), Counter(monkeypatch, "comparable_name")
    error = refuse(entity, pool, expired if trusted else anchor)
    assert signatures.calls <= MAX_SIGNATURES
    assert names.calls <= 2 * (len(pool) + 2)
    assert ("ended on" if trusted else f"more than {MAX_SIGNATURES} signatures to try") in str(error)


def test_a_hundred_authorities_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Class C, and RFC 4945 section 5.1.3.1: similarly named authorities, none of which signed."""
    pool = [pki.issue(pki.name("Twin"), pki.key("p256", "twin"), None, pki.authority_extensions()) for _ in range(100)]
    signatures = Counter(monkeypatch, "_verify_issued")
    entity = pki.issue(pki.name("gw"), pki.key("p256", "gw"), pool[0], signer=pki.key("p256", "other"))
    refuse(entity, pool, pki.authority("Root"))
    assert signatures.calls == MAX_SIGNATURES


def test_no_more_certificates_of_a_peer_than_so_many() -> None:
    """Our own limit: what a peer sends beyond it is not looked at."""
    root, *between = line(2)
    entity = pki.end_entity(between[-1])
    filling = [pki.authority(f"Other {each}").der for each in range(MAX_CERTIFICATES - 2)]
    chain = [each.der for each in between]
    assert verify_chain(entity.der, filling[:-1] + chain, root.trust, GATEWAY, NOW)
    with pytest.raises(AuthenticationFailed, match="none of the authorities that we trust"):
        verify_chain(entity.der, filling + chain, root.trust, GATEWAY, NOW)
    duplicates = [filling[0]] * 50
    assert verify_chain(entity.der, duplicates + chain, root.trust, GATEWAY, NOW)


def test_the_cause_is_that_of_the_path_to_an_anchor() -> None:
    """An operator wants to hear why the path that leads to an anchor is refused, not that others lead nowhere."""
    root = pki.authority("Root")
    expired = pki.authority("Middle", root, since=NOW - 2 * DAY, until=NOW - DAY)
    pool = [pki.authority(f"Other {each}") for each in range(5)]
    assert "ended on" in str(refuse(pki.end_entity(expired), [*pool, expired], root))


def test_extensions_that_we_process_are_known_by_their_numbers() -> None:
    """Of those that RFC 5280 section 4.2 wants recognised: all but certificate policies and what belongs to them."""
    assert {oid.dotted_string for oid in path_validation._PROCESSED} == {
        "2.5.29.15",
        "2.5.29.17",
        "2.5.29.19",
        "2.5.29.30",
        "2.5.29.37",
    }
    assert ExtensionOID.CERTIFICATE_POLICIES not in path_validation._PROCESSED
