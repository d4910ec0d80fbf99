"""The key file: taken whole, or refused with every mistake, its line, and the nearest right spelling."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from caponier.cli.esp_keys import MAX_FILE, by_spi_alone, read_keys
from caponier.daemon.config import Finding, InvalidConfiguration
from caponier.doi.ikev2 import EncryptionId, IntegrityId, ProtocolId
from caponier.errors import ConfigError

GCM_KEY = "a1" * 32 + "c0ffee01"
GOOD = f"""\
[[sa]]
spi = "0xd6fec5af"
suite = "aes256gcm16"
key = "{GCM_KEY}"

[[sa]]
spi = 0x1000
suite = "aes128-sha256"
key = "0x{"b2" * 16}"
integrity_key = "{":".join(["b3"] * 16)} {"b3" * 16}"
destination = "192.0.2.1"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "office.keys"


def write(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


def findings(file: Path, text: str) -> tuple[Finding, ...]:
    write(file, text)
    with pytest.raises(InvalidConfiguration) as caught:
        read_keys(file)
    return caught.value.findings


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
    return text.replace(old, new)


def test_a_good_file(file: Path) -> None:
    one, two = read_keys(write(file, GOOD))
    assert (one.spi, one.suite.protocol, one.suite.text) == (0xD6FEC5AF, ProtocolId.ESP, "aes256gcm16")
    assert one.encryption_key.expose().hex() == GCM_KEY
    assert (len(one.integrity_key), one.destination, one.is_transport) == (0, None, False)
    assert (two.spi, two.suite.encryption, two.suite.key_length) == (0x1000, EncryptionId.ENCR_AES_CBC, 128)
    assert two.suite.integrity == IntegrityId.AUTH_HMAC_SHA2_256_128
    assert two.encryption_key.expose() == b"\xb2" * 16
    assert two.integrity_key.expose() == b"\xb3" * 32
    assert two.destination == ip_address("192.0.2.1")


def test_a_suite_as_the_status_writes_it(file: Path) -> None:
    """``caponier status`` shows the key exchange of a Child SA too; for its packets it means nothing."""
    (sa,) = read_keys(write(file, changed("aes256gcm16", "aes256gcm16-ecp384", GOOD.partition("\n\n")[0])))
    assert sa.suite.text == "aes256gcm16"


#: What is written in place of what, the line and the key that are blamed, what the message and the hint say.
MISTAKES = [
    ("[[sa]]\nspi = 0x1000", "[[saa]]\nspi = 0x1000", 6, "saa", "no such key", "'sa'"),
    ("integrity_key", "integrity", 10, "sa.integrity", "no such key", "'integrity_key'"),
    ('suite = "aes256gcm16"\n', "", 1, "sa.suite", "missing", "as in a proposal"),
    ("spi = 0x1000\n", "", 6, "sa.spi", "missing", "0xd6fec5af"),
    ('"0xd6fec5af"', '"0xff"', 2, "sa.spi", "greater than or equal to 256, found", None),  # RFC 4303 section 2.1
    ('"0xd6fec5af"', '"d6fec5af0"', 2, "sa.spi", "at most 8 hexadecimal digits", "0xd6fec5af"),
    ('"0xd6fec5af"', '"spi"', 2, "sa.spi", "at most 8 hexadecimal digits, found 'spi'", None),
    ("0x1000", "0x100000000", 7, "sa.spi", "less than or equal to 4294967295", None),
    ("0x1000", "true", 7, "sa.spi", "valid integer", None),
    ('"aes256gcm16"', '"aes265gcm16"', 3, "sa.suite", "'aes265gcm16'", "'aes256gcm16'"),
    ('"aes256gcm16"', '"aes256"', 3, "sa.suite", "needs an integrity algorithm", "sha256"),
    ('"aes256gcm16"', '"aes256gcm16-aes128gcm16"', 3, "sa.suite", "one encryption algorithm, not aes256gcm16 and", None),
    ('"aes128-sha256"', '"aes128-sha256-sha384"', 8, "sa.suite", "one integrity algorithm", None),
    ('"aes256gcm16"', '"aes256gcm16-esn-noesn"', 3, "sa.suite", "one sequence numbers algorithm", None),
    ('"aes256gcm16"', '"aes256gcm16-prfsha256"', 3, "sa.suite", "no place in a proposal for ESP", None),
    ('"aes256gcm16"', '"camellia256ctr-sha256"', 3, "sa.suite", "camellia256ctr is not implemented", "caponier doi"),
    (f'"{GCM_KEY}"', f'"{GCM_KEY[:-8]}"', 4, "sa.key", "takes 36 octets: a key of 32 and a salt of 4 behind it; found 32", "the salt is missing"),
    (f'"{GCM_KEY}"', f'"{GCM_KEY[:-1]}"', 4, "sa.key", "71 hexadecimal digits are no whole octets", "two digits"),
    (f'"{GCM_KEY}"', f'"{GCM_KEY[:-2]}xy"', 4, "sa.key", "not hexadecimal", "digits and the letters a to f"),
    (f'key = "{GCM_KEY}"\n', "", 1, "sa.key", "takes 36 octets", None),
    (f'"{GCM_KEY}"', "5", 4, "sa.key", "valid string, found a number", "the salt behind it"),
    (":".join(["b3"] * 16), "b3", 10, "sa.integrity_key", "takes an integrity key of 32 octets; found 17", None),
    (f'"{GCM_KEY}"', f'"{GCM_KEY}"\nintegrity_key = "00"', 5, "sa.integrity_key", "takes no integrity key; found 1", None),
    ('"192.0.2.1"', '"192.0.2"', 11, "sa.destination", "no IP address", "2001:db8::1"),
    ("destination =", 'protocol = "epp"\ndestination =', 11, "sa.protocol", "'epp' is not allowed", "'esp'"),
    ("destination =", 'mode = "tunel"\ndestination =', 11, "sa.mode", "'tunel' is not allowed", "'tunnel'"),
    ("destination =", 'esn = "no"\ndestination =', 11, "sa.esn", "boolean", None),
    ("spi = 0x1000", 'spi = "d6fec5af"\nsuite = "aes256gcm16"\n[[sa]]\nspi = 0x1000', 7, "sa.spi", "another SA above has SPI d6fec5af too", "destination ="),
    ("[[sa]]\nspi = 0x1000", "[sa]\nspi = 0x1000", 6, "", "Cannot declare", "TOML"),
    ("spi = 0x1000", "spi = 0x1000 0x2000", 7, "", "Expected newline", "TOML"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message", "hint"), MISTAKES, ids=[f"{row[3]}: {row[4]}" for row in MISTAKES]
)
def test_one_mistake(file: Path, old: str, new: str, line: int, key: str, message: str, hint: str | None) -> None:
    found = findings(file, changed(old, new))
    blamed = next((each for each in found if each.key == key and message in each.message), None)
    assert blamed is not None, "\n".join(map(str, found))
    assert (blamed.place.file, blamed.place.line) == (file, line)
    assert hint is None or hint in (blamed.hint or "")


def test_several_mistakes_are_told_at_once_in_the_order_of_their_lines(file: Path) -> None:
    text = changed("aes256gcm16", "aes265gcm16")
    text = changed(f'"{GCM_KEY}"', '"0"', text)
    text = changed("192.0.2.1", "192.0.2", text)
    found = findings(file, text)
    assert [(each.key, each.place.line) for each in found] == [("sa.suite", 3), ("sa.key", 4), ("sa.destination", 11)]


def test_no_table_at_all(file: Path) -> None:
    for text in ("", "sa = []", '[sa]\nspi = "0x1000"\n'):
        (found,) = findings(file, text)
        assert found.key == "sa"
        assert "each under [[sa]]" in (found.hint or "")


def test_an_algorithm_that_nobody_may_use_is_refused(file: Path) -> None:
    """RFC 8221 section 5: DES MUST NOT be implemented."""
    (found,) = findings(file, '[[sa]]\nspi = 0x1000\nsuite = "des-sha256"\nkey = "00"\n')
    assert (found.key, found.place.line, found.message) == ("sa.suite", 3, "des is not implemented")


# -- secrets


@pytest.mark.parametrize(
    "text",
    [
        changed(f'"{GCM_KEY}"', f'"{GCM_KEY}00"'),
        changed(f'"{GCM_KEY}"', f'"{GCM_KEY[:-1]}"'),
        changed(f'"{GCM_KEY}"', f'"x{GCM_KEY}"'),
        changed(f'"{GCM_KEY}"', f'["{GCM_KEY}"]'),
        changed(f'"{GCM_KEY}"', f'{{ value = "{GCM_KEY}" }}'),
        changed('"aes256gcm16"', f'"{GCM_KEY}"'),
        changed('"0xd6fec5af"', f'"{GCM_KEY}"'),
        changed('"192.0.2.1"', f'"{GCM_KEY}"'),
        changed('destination = "192.0.2.1"', f'protocol = "{GCM_KEY}"'),
        changed('destination = "192.0.2.1"', f'esn = "{GCM_KEY}"'),
        changed('destination = "192.0.2.1"', f'kye = "{GCM_KEY}"'),
        changed(f'key = "{GCM_KEY}"', f'key = "{GCM_KEY}'),
        f'sa = "{GCM_KEY}"\n',
        f'sa = ["{GCM_KEY}"]\n',
    ],
)
def test_a_key_is_in_no_message(file: Path, text: str) -> None:
    """Wherever somebody wrote it: terminals are recorded, and errors are pasted into mails."""
    told = "\n".join(map(str, findings(file, text)))
    assert told
    assert "a1" * 8 not in told


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o666])
def test_a_file_that_others_may_touch_is_refused(file: Path, mode: int) -> None:
    write(file, GOOD, mode)
    with pytest.raises(InvalidConfiguration, match=rf"others than its owner \(mode 0{mode:o}\)") as caught:
        read_keys(file)
    assert f"chmod 600 {file}; or --insecure-permissions" in str(caught.value)
    assert len(read_keys(file, insecure_permissions=True)) == 2


def test_files_that_cannot_be(file: Path) -> None:
    for path, message in ((file, "No such file"), (file.parent, "Is a directory")):
        with pytest.raises(InvalidConfiguration, match=message):
            read_keys(path)
    with pytest.raises(InvalidConfiguration, match=f"longer than {MAX_FILE} octets"):
        read_keys(write(file, "#" * (MAX_FILE + 1)))
    write(file, "")
    file.write_bytes(b"# \xff\n")
    with pytest.raises(InvalidConfiguration, match="not UTF-8"):
        read_keys(file)


def test_a_packet_by_itself_has_no_destination(file: Path) -> None:
    """RFC 4301 section 4.1: two SAs that only their destination tells apart cannot be told apart then."""
    sas = read_keys(write(file, GOOD))
    assert [(sa.spi, sa.destination) for sa in by_spi_alone(sas)] == [(0xD6FEC5AF, None), (0x1000, None)]
    text = changed("0x1000", "0xd6fec5af")
    with pytest.raises(ConfigError, match="several SAs of the key file have the same SPI"):
        by_spi_alone(read_keys(write(file, text)))
