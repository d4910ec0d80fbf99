"""The capture, the keys and the packets of the manual's examples: the same in every run, for AES-GCM seals without chance."""

from __future__ import annotations

from pathlib import Path

from caponier.cli.esp_keys import read_keys
from caponier.protocols.esp import ManualSa, seal, sealer
from tests.unit.protocols.samples import ESP, TCP, UDP, ethernet, inner, ipv4, ipv6, pcap, udp

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "esp-tool.md"
HERE, THERE = "192.0.2.1", "192.0.2.2"


def key_file(name: str = "office.keys") -> str:
    """As the page shows it."""
    _, _, rest = PAGE.read_text().partition(f"```text\n# {name}\n")
    return rest.partition("```")[0]


def furnish(directory: Path) -> Path:
    """Put everything there that the page speaks of."""
    keys = key_file()
    mistaken = keys.replace("aes256gcm16", "aes265gcm16", 1).replace(" c0ffee02", "")
    for name, text in (("office.keys", keys), ("mistaken.keys", mistaken), ("hosts.keys", key_file("hosts.keys"))):
        (directory / name).write_text(text)
        (directory / name).chmod(0o600)
    out, back = read_keys(directory / "office.keys")
    request = echo(8)
    (directory / "inner.hex").write_text(request.hex() + "\n")
    one, two = sealed(out, request, request)
    forged = two[:-1] + bytes((two[-1] ^ 1,))
    (directory / "sealed.hex").write_text("\n\n".join(packet.hex() for packet in (one, one, forged)) + "\n")
    (directory / "office.pcap").write_bytes(pcap(frames(out, back), step=1_250_000))
    hosts = read_keys(directory / "hosts.keys")
    (directory / "hosts.pcap").write_bytes(pcap(hosts_frames(*hosts), step=1_250_000))
    return directory


def hosts_frames(by_ah: ManualSa, by_esp: ManualSa) -> list[bytes]:
    """Two hosts without gateways: a lookup under AH, its answer in ESP, right behind IP and in UDP."""
    query = ipv4(UDP, udp(b"query", 40000, 53), source=HERE, destination=THERE)
    bare, encapsulated = sealed(by_esp, *[ipv4(UDP, udp(b"answer", 53, 40000), source=THERE, destination=HERE)] * 2)
    asked, changed = sealed(by_ah, query, query)
    return [
        ethernet(asked),
        ethernet(bare),
        ethernet(ipv4(UDP, udp(encapsulated[20:]), source=THERE, destination=HERE)),
        ethernet(changed[:-1] + bytes((changed[-1] ^ 1,))),
    ]


def echo(kind: int) -> bytes:
    """An echo request (8) of alice, or a reply (0) of bob (RFC 792)."""
    ends = ("10.1.0.2", "10.2.0.2") if kind == 8 else ("10.2.0.2", "10.1.0.2")
    return ipv4(1, bytes((kind, 0)) + bytes(6) + b"sixteen octets!!", source=ends[0], destination=ends[1])


def sealed(sa: ManualSa, *packets: bytes) -> list[bytes]:
    end = sealer(sa)
    return [seal(end, packet) for packet in packets]


def frames(out: ManualSa, back: ManualSa) -> list[bytes]:
    """A ping, a lookup, a connection; one packet is lost, one comes twice, one is changed on the way."""
    syn = ipv4(TCP, udp(bytes(16), 40000, 443), source="10.1.0.2", destination="10.2.0.2")
    syn6 = ipv6(TCP, udp(bytes(16), 40001, 443), source="fd00:1::2", destination="fd00:2::2")
    ping, lookup, lost, syn, syn6, changed = sealed(out, echo(8), inner(b"query", 53), inner(), syn, syn6, echo(8))
    pong, answer = sealed(back, echo(0), echo(0))
    del lost
    return [
        ethernet(ipv4(UDP, udp(bytes(28), 500, 500))),
        ethernet(ipv4(ESP, ping)),
        ethernet(ipv4(ESP, pong, source=THERE, destination=HERE)),
        ethernet(ipv4(ESP, lookup)),
        ethernet(ipv4(ESP, lookup)),
        ethernet(ipv4(ESP, syn)),
        ethernet(ipv4(ESP, syn6)),
        ethernet(ipv4(ESP, changed[:-1] + bytes((changed[-1] ^ 1,)))),
        ethernet(ipv4(ESP, bytes.fromhex("00001234 00000009") + bytes(60))),
        ethernet(ipv4(ESP, answer, source=THERE, destination=HERE, fragment=0x2000)),
    ]
