"""Two of us that do not fit together: both sides say what was offered, what is accepted, and which line to change."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.console import Console

from caponier.api.client import Refused
from caponier.api.schema import Status, Trouble
from caponier.cli.status import render
from tests.daemon.site import Pair, Text, eventually, left, right
from tests.interop.pki import ecdsa_pair

pytestmark = pytest.mark.privileged

OTHER = b"this is another secret than theirs"
DEBUG = 'log_level = "debug"'
OURS = 'id = "gw1.example.com"\nauth = "certificate"\ncertificate = "ours.pem"\nkey = "ours.key"'
THEIRS = 'id = "gw2.example.com"\nauth = "certificate"\ncertificate = "theirs.pem"\nkey = "theirs.key"'


@dataclass(frozen=True)
class Says:
    """What one side's status has to say.

    Attributes:
        kind: of the error.
        piece: what stands on the line that it points at; None where no line can help.
        words: in the message, in what was offered, or in what is accepted.
        accepted: whether the side knows what was offered to it, and says what it accepts.
        child: the Child SA that it is about.
    """

    kind: str
    piece: str | None
    words: tuple[str, ...] = ()
    accepted: bool = False
    child: str | None = None


@dataclass(frozen=True)
class Case:
    """Two configurations, and what each side says when ``gw1`` or ``gw2`` begins."""

    gw1: Text
    gw2: Text
    by_gw1: tuple[Says, Says]
    by_gw2: tuple[Says, Says]
    files: dict[str, bytes] = field(default_factory=dict)


PSK_LINE = 'secret = "file:'
REFUSED_BY_PSK = {
    name: Says("PeerRejected", PSK_LINE, ("AUTHENTICATION_FAILED", f"we are {name}.example.com"))
    for name in ("gw1", "gw2")
}


def wrong_secret() -> Case:
    other = right(local='id = "gw2.example.com"\nsecret = "file:other.psk"')
    found = {name: Says("AuthenticationFailed", PSK_LINE, (name, "another preshared key")) for name in ("gw1", "gw2")}
    return Case(
        left(),
        other,
        by_gw1=(REFUSED_BY_PSK["gw1"], found["gw1"]),
        by_gw2=(found["gw2"], REFUSED_BY_PSK["gw2"]),
        files={"other.psk": OTHER + b"\n"},
    )


def wrong_identity_of_gw2() -> Case:
    stranger = right(local='id = "stranger.example.com"\nsecret = "file:office.psk"')
    who = ("stranger.example.com", "gw2.example.com")
    return Case(
        left(),
        stranger,
        by_gw1=(REFUSED_BY_PSK["gw1"], Says("AuthenticationFailed", 'id = "stranger', who)),
        by_gw2=(
            Says("AuthenticationFailed", 'id = "gw2', who),
            Says("PeerRejected", PSK_LINE, ("AUTHENTICATION_FAILED", "we are stranger.example.com")),
        ),
    )


def wrong_identity_of_gw1() -> Case:
    stranger = left(local='id = "stranger.example.com"\nsecret = "file:office.psk"')
    who = ("stranger.example.com", "gw1.example.com")
    return Case(
        stranger,
        right(),
        by_gw1=(
            Says("PeerRejected", PSK_LINE, ("AUTHENTICATION_FAILED", "we are stranger.example.com")),
            Says("AuthenticationFailed", 'id = "gw1', who),
        ),
        by_gw2=(Says("AuthenticationFailed", 'id = "stranger', who), REFUSED_BY_PSK["gw2"]),
    )


def no_common_ike_proposal() -> Case:
    mine, yours = "aes256gcm16-prfsha384-ecp384", "aes128-sha256-prfsha256-modp2048"
    rejected = {
        name: Says("PeerRejected", f'proposals = ["{offer}"]', ("NO_PROPOSAL_CHOSEN", offer.split("-")[0]))
        for name, offer in (("gw1", mine), ("gw2", yours))
    }
    both = ("aes256gcm16", "ecp384", "aes128", "modp2048")
    return Case(
        left(lines=f'proposals = ["{mine}"]'),
        right(lines=f'proposals = ["{yours}"]'),
        by_gw1=(rejected["gw1"], Says("NoProposalChosen", f'proposals = ["{yours}"]', both, accepted=True)),
        by_gw2=(Says("NoProposalChosen", f'proposals = ["{mine}"]', both, accepted=True), rejected["gw2"]),
    )


def no_common_esp_proposal() -> Case:
    mine, yours = "aes256gcm16", "aes128-sha256"
    networks = {"gw1": left().child, "gw2": right().child}
    rejected = {
        name: Says("PeerRejected", f'proposals = ["{offer}"]', ("NO_PROPOSAL_CHOSEN", offer), child="lan")
        for name, offer in (("gw1", mine), ("gw2", yours))
    }
    return Case(
        left(child=f'{networks["gw1"]}\nproposals = ["{mine}"]'),
        right(child=f'{networks["gw2"]}\nproposals = ["{yours}"]'),
        by_gw1=(rejected["gw1"], Says("NoProposalChosen", f'proposals = ["{yours}"]', (mine, yours), accepted=True)),
        by_gw2=(Says("NoProposalChosen", f'proposals = ["{mine}"]', (mine, yours), accepted=True), rejected["gw2"]),
    )


def unacceptable_selectors() -> Case:
    there = right(child='local = "10.77.0.0/16"\nremote = "10.1.0.0/24"')
    all_of_it = ("10.77.0.0/16", "10.2.0.0/24")
    return Case(
        left(),
        there,
        by_gw1=(
            Says("PeerRejected", "remote = [", ("TS_UNACCEPTABLE", "10.2.0.0/24"), child="lan"),
            Says("TsUnacceptable", 'local = "10.77.0.0/16"', all_of_it, accepted=True),
        ),
        by_gw2=(
            Says("TsUnacceptable", "remote = [", all_of_it, accepted=True),
            Says("PeerRejected", 'remote = "10.1.0.0/24"', ("TS_UNACCEPTABLE", "10.77.0.0/16"), child="lan"),
        ),
    )


def certified(files: dict[str, bytes], *, told: tuple[str, ...]) -> Case:
    """Certificates on both sides; that of gw2 is not acceptable to gw1."""
    found = Says("AuthenticationFailed", "ca =", ("gw2.example.com", "Interop CA", *told))
    refused = Says("PeerRejected", 'id = "gw2', ("AUTHENTICATION_FAILED", "we are gw2.example.com"))
    return Case(
        left(local=OURS, remote='id = "gw2.example.com"\nca = "ca.pem"'),
        right(local=THEIRS, remote='id = "gw1.example.com"\nca = "their-ca.pem"'),
        by_gw1=(found, refused),
        by_gw2=(found, refused),
        files=files,
    )


def unknown_authority() -> Case:
    one, other = ecdsa_pair(), ecdsa_pair()
    mixed = {"ours.pem": one["ours.pem"], "ours.key": one["ours.key"], "their-ca.pem": one["ca.pem"]}
    mixed |= {"theirs.pem": other["theirs.pem"], "theirs.key": other["theirs.key"], "ca.pem": one["ca.pem"]}
    return certified(mixed, told=())


def expired_certificate() -> Case:
    good = ecdsa_pair()
    key, authority = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def certificate(subject: str, owner: ec.EllipticCurvePrivateKey, end: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_rfc4514_string(f"CN={subject}"))
            .issuer_name(x509.Name.from_rfc4514_string("CN=Interop CA"))
            .public_key(owner.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(end)
        )

    ca = certificate("Interop CA", authority, now + timedelta(days=1))
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    theirs = certificate("gw2.example.com", key, now - timedelta(days=2))
    theirs = theirs.add_extension(x509.SubjectAlternativeName([x509.DNSName("gw2.example.com")]), critical=False)
    made = {
        "ca.pem": ca.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM),
        "theirs.pem": theirs.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM),
        "theirs.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "their-ca.pem": good["ca.pem"],
    }
    return certified(good | made, told=("ended on",))


CASES = [
    wrong_secret,
    wrong_identity_of_gw1,
    wrong_identity_of_gw2,
    no_common_ike_proposal,
    no_common_esp_proposal,
    unacceptable_selectors,
    unknown_authority,
    expired_certificate,
]


@pytest.fixture(scope="module", autouse=True)
def secrets_stay_secret(gateways: Pair) -> Iterator[None]:
    """After all refusals, at the most talkative: no log and no status has a secret, in whatever form."""
    yield
    everything = "".join((gateways.directory / f"{name}.log").read_text() for name in ("gw1", "gw2"))
    assert len(everything) > 10_000
    for secret in (gateways.secret.encode(), OTHER):
        for form in forms(secret):
            assert form not in everything


def forms(secret: bytes) -> list[str]:
    """A secret in all forms that a log may have it in."""
    return [
        *(secret.decode(), secret.hex(), secret.hex(" "), secret.hex(":"), repr(secret), repr(list(secret))),
        base64.b64encode(secret).decode().rstrip("="),
        base64.b64encode(secret)[:16].decode(),
    ]


def page(status: Status) -> str:
    """What ``caponier status`` prints."""
    console = Console(width=400)
    with console.capture() as captured:
        console.print(render(status))
    return captured.get()


def trouble(pair: Pair, name: str) -> Trouble:
    """The one that a side has with the connection."""
    assert eventually(lambda: bool(pair.troubles(name))), f"{name} has no trouble"
    found = [each for each in pair.troubles(name) if each.connection == "office"]
    assert len(found) == 1, found
    return found[0]


def require(pair: Pair, name: str, says: Says) -> None:
    found = trouble(pair, name)
    problem = found.problem
    told = f"{name}: {found.model_dump_json(indent=2)}"
    assert problem.kind == says.kind, told
    assert (found.child == says.child) or says.child is None, told
    everything = f"{problem.message} {problem.offered} {problem.accepted}"
    for word in says.words:
        assert word in everything, told
    if says.accepted:
        assert problem.offered, told
        assert problem.accepted, told
    assert problem.hint, told
    assert problem.file == str(pair.directory / f"{name}.toml"), told
    assert problem.line is not None, told
    line = (pair.directory / f"{name}.toml").read_text().splitlines()[problem.line - 1]
    assert says.piece is None or says.piece in line, f"{told}\npoints at: {line}"


@pytest.mark.parametrize("initiator", ["gw1", "gw2"])
@pytest.mark.parametrize("made", CASES, ids=[each.__name__ for each in CASES])
def test_both_sides_say_why(pair: Pair, made: object, initiator: str) -> None:
    """RFC 7296 sections 2.21.1 and 2.21.2 say what the other side learns; our own side knows more."""
    assert callable(made)
    case: Case = made()
    for name, octets in case.files.items():
        pair.put(name, octets)
    pair.configure(replace(case.gw1, daemon=DEBUG), replace(case.gw2, daemon=DEBUG))
    pair.start("gw1", "gw2")
    with pair.client(initiator) as client, pytest.raises(Refused) as refused:
        client.up("office", seconds=10)
    for name, says in zip(("gw1", "gw2"), case.by_gw1 if initiator == "gw1" else case.by_gw2, strict=True):
        require(pair, name, says)
        status = pair.status(name)
        shown = page(status)
        assert re.search(rf"look at: +\S+/{name}\.toml:\d+ \(", shown)
        for form in (*forms(pair.secret.encode()), *forms(OTHER)):
            assert form not in shown
            assert form not in status.model_dump_json()
    assert refused.value.problem.kind == trouble(pair, initiator).problem.kind
    assert pair.carries_nothing()


def test_when_it_is_mended_the_trouble_is_gone(pair: Pair) -> None:
    case = no_common_ike_proposal()
    pair.configure(replace(case.gw1, daemon=DEBUG), replace(case.gw2, daemon=DEBUG))
    pair.start("gw1", "gw2")
    with pair.client("gw1") as client, pytest.raises(Refused):
        client.up("office", seconds=10)
    assert pair.troubles("gw2")
    pair.configure(None, replace(case.gw2, lines=case.gw1.lines, daemon=DEBUG))
    pair.start("gw2")
    pair.up()
    assert pair.troubles("gw1") == pair.troubles("gw2") == []
    pair.carries()
