"""What the user-space engine tells the plane, and what it makes of the plane's events: against a plane that only remembers.

The plane itself, with packets, is tested in ``tests/plane``; both together in ``tests/daemon``.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path as FilePath
from typing import Any

import pytest

from caponier._plane import PlaneError
from caponier.daemon.audit import audit_text
from caponier.daemon.engines import userspace
from caponier.daemon.engines.base import (
    Acquire,
    Direction,
    LifetimeReached,
    PacketDropped,
    PeerMoved,
    PortFailed,
    SequenceExhausted,
)
from caponier.daemon.engines.userspace import UserspaceEngine
from caponier.doi.ikev2 import EncryptionId, IntegrityId, ProtocolId
from caponier.errors import EngineError
from caponier.mechanisms.negotiation.selectors import parse_selector
from caponier.mechanisms.negotiation.spd import Action, SpdEntry
from caponier.octets import Secret
from caponier.protocols.ike.effects import ChildSa, DirectionKeys
from caponier.protocols.ike.path import Path
from caponier.protocols.ike.policy import DontFragment, Handling, Lifetime, Mode

PATH = Path(ip_address("192.0.2.1"), 500, ip_address("192.0.2.2"), 500)
IN_UDP = replace(PATH, local_port=4500, remote_port=4500, encapsulated=True)
MTU = 1380


class RecordingPlane:
    """Takes every call and keeps it; what a test puts into ``happened`` are its events."""

    def __init__(self, *, interface: str, mark: int, workers: int = 1) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
            ("Plane", (), {"interface": interface, "mark": mark, "workers": workers})
        ]
        self.interface = interface
        self.happened: list[tuple[str, int, dict[str, str | int]]] = []
        self.refuses: set[str] = set()
        self._handles = iter(range(70, 100))
        self._interfaces = iter(range(1, 10))

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            if name in self.refuses:
                raise PlaneError("no")
            self.calls.append((name, given, named))
            match name:
                case "install_outbound":
                    return next(self._handles)
                case "add_interface":
                    return next(self._interfaces), given[0]
                case "events":
                    happened, self.happened = self.happened, []
                    return happened
                case "inbound_counters" | "outbound_counters":
                    return 1, 2, {}
                case _:
                    return None

        return call

    def of(self, name: str) -> list[dict[str, Any]]:
        """What a call was made with, each time."""
        return [named for called, _, named in self.calls if called == name]

    def given(self, name: str) -> list[tuple[Any, ...]]:
        return [given for called, given, _ in self.calls if called == name]


class Bench:
    """An engine on such a plane, and what the paths carry."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(userspace, "Plane", RecordingPlane)
        self.path_mtus: dict[Path, int] = {}
        self.engine = UserspaceEngine("cap0", 7, 2, MTU, lambda path: self.path_mtus.get(path, 1500))
        self.plane: RecordingPlane = self.engine._plane  # type: ignore[assignment]

    def happens(self, kind: str, number: int, **details: str | int) -> list[Any]:
        self.plane.happened.append((kind, number, details))
        return list(self.engine.events())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def child_sa(**changes: Any) -> ChildSa:
    keys = DirectionKeys(Secret(bytes(20)), Secret(b""))
    usual = ChildSa(
        connection="office",
        name="lan",
        protocol=ProtocolId.ESP,
        mode=Mode.TUNNEL,
        spi_in=0x1111,
        spi_out=0x2222,
        encryption=EncryptionId.ENCR_AES_GCM_16,
        key_length=128,
        integrity=None,
        extended_sequence_numbers=True,
        replay_window=128,
        keys_in=keys,
        keys_out=keys,
        local=(parse_selector("10.1.0.0/16"),),
        remote=(parse_selector("10.2.0.0/16"),),
        path=PATH,
        handling=Handling(),
        lifetime=Lifetime(),
    )
    return replace(usual, **changes)


AH_TRANSPORT = child_sa(
    protocol=ProtocolId.AH,
    mode=Mode.TRANSPORT,
    encryption=None,
    key_length=None,
    integrity=IntegrityId.AUTH_HMAC_SHA2_256_128,
    local=(parse_selector("192.0.2.1"),),
    remote=(parse_selector("192.0.2.2"),),
)


# -- Child SAs


def test_esp_in_a_tunnel(bench: Bench) -> None:
    bench.engine.install(child_sa())
    (inbound,), (outbound,) = bench.plane.of("install_inbound"), bench.plane.of("install_outbound")
    assert [name for name, _, _ in bench.plane.calls[1:]] == ["install_inbound", "install_outbound", "install_policy"]
    common = {"protocol": "esp", "mode": "tunnel", "encryption": 20, "key_length": 128, "esn": True, "clamp": MTU}
    common |= {"local_address": "192.0.2.1", "remote_address": "192.0.2.2", "remote_port": 0, "lifetime": (0, 0, 0, 0)}
    assert common.items() <= inbound.items()
    assert common.items() <= outbound.items()
    assert (inbound["spi"], inbound["replay_window"], inbound["interface"], inbound["nat"]) == (0x1111, 128, 0, None)
    assert (outbound["spi"], outbound["local_port"], outbound["path_mtu"]) == (0x2222, 0, 1500)
    assert [outbound[key] for key in ("tfc", "dscp", "ecn", "df")] == [0, None, True, "copy"]


def test_ah_in_transport_mode(bench: Bench) -> None:
    """RFC 4302: no encryption; transport mode has no TCP to clamp, whose segments the system makes to fit."""
    bench.engine.install(AH_TRANSPORT)
    for call in ("install_inbound", "install_outbound"):
        (told,) = bench.plane.of(call)
        assert [told[key] for key in ("protocol", "mode", "encryption", "key_length", "integrity", "clamp")] == [
            "ah", "transport", 0, 0, 12, 0,
        ]  # fmt: skip
    bench.engine.counters(0x1111)
    assert bench.plane.given("inbound_counters") == [(0x1111, "ah")]
    bench.engine.remove(ProtocolId.AH, 0x1111)
    assert bench.plane.given("remove_inbound") == [(0x1111, "ah")]


def test_how_packets_are_built_and_how_long(bench: Bench) -> None:
    handling = Handling(tfc=None, dscp=46, ecn=False, dont_fragment=DontFragment.CLEAR, clamps_mss=False)
    lifetime = Lifetime(1, 2, 3, 4, 5.0, 6.0)
    bench.engine.install(child_sa(handling=handling, lifetime=lifetime))
    (inbound,), (outbound,) = bench.plane.of("install_inbound"), bench.plane.of("install_outbound")
    assert [outbound[key] for key in ("tfc", "dscp", "ecn", "df", "clamp")] == [MTU, 46, False, "clear", 0]
    assert [inbound[key] for key in ("ecn", "clamp", "lifetime")] == [False, 0, (1, 2, 3, 4)]
    assert outbound["lifetime"] == (1, 2, 3, 4)


def test_transport_mode_through_a_nat(bench: Bench) -> None:
    """RFC 3948 section 3.1.2: the addresses that the peer's checksums counted."""
    counted = ip_address("10.0.0.5"), ip_address("192.0.2.1")
    bench.engine.install(child_sa(mode=Mode.TRANSPORT, path=IN_UDP, counted=counted))
    (inbound,), (outbound,) = bench.plane.of("install_inbound"), bench.plane.of("install_outbound")
    assert inbound["nat"] == ("10.0.0.5", "192.0.2.1")
    assert (inbound["remote_port"], outbound["local_port"], outbound["remote_port"]) == (4500, 4500, 4500)


def test_what_the_plane_refuses_leaves_nothing(bench: Bench) -> None:
    bench.plane.refuses.add("install_outbound")
    with pytest.raises(EngineError, match="the data plane refused: no"):
        bench.engine.install(AH_TRANSPORT)
    assert bench.plane.given("remove_inbound") == [(0x1111, "ah")]
    with pytest.raises(EngineError, match="no SA with SPI"):
        bench.engine.counters(0x1111)


def test_an_spi_names_one_child_sa_whatever_its_protocol(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([5, 5, 6])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn))
    assert [bench.engine.allocate_spi(each) for each in (ProtocolId.ESP, ProtocolId.AH)] == [261, 262]
    with pytest.raises(EngineError, match="does not carry IKE"):
        bench.engine.allocate_spi(ProtocolId.IKE)


# -- paths


def test_the_path_is_looked_at_again(bench: Bench) -> None:
    """RFC 4301 section 8.2: the path MTU changes, and is told where it did."""
    bench.path_mtus[PATH] = 1400
    bench.engine.install(child_sa())
    bench.engine.look_again()
    assert bench.plane.given("audit_again") == [()]
    assert bench.plane.given("set_path_mtu") == []
    bench.path_mtus[PATH] = 1280
    bench.engine.look_again()
    bench.engine.look_again()
    assert bench.plane.given("set_path_mtu") == [(70, 1280)]


def test_of_very_many_paths_each_has_its_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(userspace, "_LOOKS", 2)
    for number in range(5):
        bench.engine.install(child_sa(spi_in=1000 + number, name=f"lan{number}"))
    bench.path_mtus[PATH] = 1280
    for told in (2, 4, 5):
        bench.engine.look_again()
        assert len(bench.plane.given("set_path_mtu")) == told
    assert {handle for handle, _ in bench.plane.given("set_path_mtu")} == set(range(70, 75))


def test_a_peer_that_moved_has_another_path(bench: Bench) -> None:
    bench.path_mtus |= {IN_UDP: 1500, replace(IN_UDP, remote=ip_address("192.0.2.9")): 1300}
    bench.engine.install(child_sa(path=IN_UDP))
    bench.engine.move(ProtocolId.ESP, 0x1111, replace(IN_UDP, remote=ip_address("192.0.2.9")))
    ((handle,),) = bench.plane.given("move_outbound")
    assert handle == 70
    assert bench.plane.of("move_outbound")[0]["remote_address"] == "192.0.2.9"
    assert bench.plane.of("move_inbound") == [{"protocol": "esp", "remote_address": "192.0.2.9", "remote_port": 4500}]
    assert bench.plane.given("set_path_mtu") == [(70, 1300)]


# -- policies and interfaces


PRINTER = SpdEntry("printer", (parse_selector("0.0.0.0/0"),), (parse_selector("10.2.0.9"),), Action.BYPASS)
LAB = SpdEntry("lab", (parse_selector("0.0.0.0/0"),), (parse_selector("10.9.0.0/16[tcp/23]"),), Action.DISCARD)


def test_policies_before_all_child_sas(bench: Bench) -> None:
    """RFC 4301 section 4.4.1: the SPD is ordered."""
    bench.engine.trap("office", "lan", (parse_selector("10.1.0.5"),), (parse_selector("10.2.0.9"),))
    bench.engine.put_first((PRINTER, LAB))
    trap, first, second = bench.plane.of("install_policy")
    assert first["order"] < second["order"] < trap["order"]
    assert (first["action"], first["outbound"], second["action"]) == ("bypass", None, "discard")
    assert second["remote"] == [(6, 23, 23, "10.9.0.0", "10.9.255.255")]
    bench.engine.put_first((LAB,))
    assert bench.plane.given("remove_policy") == [(first["policy"],), (second["policy"],)]
    assert [name for name, _, _ in bench.plane.calls[-3:]] == ["install_policy", "remove_policy", "remove_policy"]


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (("10.1.0.0/16", "10.2.7.0/24"), ("10.1.0.0/16", "10.2.0.0/16")),
        (("10.1.0.25", "10.2.0.0/16"), ("10.1.0.0/16", "10.2.0.0/16")),
        (("10.1.0.0/16", "10.2.0.0/16[tcp]"), ("10.1.0.0/16", "10.2.0.0/16")),
        (("10.1.0.0/16", "10.2.0.0/16[tcp/25]"), ("10.1.0.0/16", "10.2.0.0/16[tcp]")),
        (("10.1.0.0/16[tcp/25]", "10.2.0.0/16[tcp]"), ("10.1.0.0/16", "10.2.0.0/16[tcp]")),
        (("10.1.0.0/16", "10.2.0.1"), ("10.1.0.5[tcp/25]", "10.2.0.0/16[tcp/25]")),
    ],
)
def test_the_narrower_child_is_asked_first(bench: Bench, narrow: tuple[str, str], wide: tuple[str, str]) -> None:
    """RFC 4301 section 4.4.1: an ordered database; children have no order in the file, so the narrower one goes first."""
    for name, ends in (("wide", wide), ("narrow", narrow)):
        local, remote = ((parse_selector(end),) for end in ends)
        bench.engine.trap("office", name, local, remote)
    wide_one, narrow_one = bench.plane.of("install_policy")
    assert narrow_one["order"] < wide_one["order"]


def test_an_interface_of_its_own(bench: Bench) -> None:
    """RFC 4301 section 4.4.1: an SPD for each interface; what stands before all Child SAs stands there too."""
    bench.engine.put_first((LAB,))
    bench.engine.open_interface("vpn0")
    bench.engine.open_interface("vpn0")
    assert bench.plane.given("add_interface") == [("vpn0",)]
    bench.engine.trap("office", "lan", child_sa().local, child_sa().remote, "vpn0")
    bench.engine.install(child_sa(), "vpn0")
    assert [told["interface"] for told in bench.plane.of("install_policy")] == [0, 1, 1, 1]
    assert bench.plane.of("install_inbound")[0]["interface"] == 1
    bench.engine.remove(ProtocolId.ESP, 0x1111)
    bench.engine.untrap("office", "lan")
    bench.engine.close_interface("vpn0")
    assert bench.plane.given("remove_interface") == [(1,)]
    installed = {told["policy"] for told in bench.plane.of("install_policy") if told["interface"] == 1}
    assert {number for (number,) in bench.plane.given("remove_policy")} == installed


def test_a_name_that_is_taken(bench: Bench) -> None:
    bench.plane.refuses.add("add_interface")
    with pytest.raises(EngineError, match="the interface vpn0 cannot be created: no"):
        bench.engine.open_interface("vpn0")


# -- events


def test_events_of_child_sas(bench: Bench) -> None:
    bench.engine.install(AH_TRANSPORT)
    number = bench.plane.of("install_policy")[0]["policy"]
    ah, spi = ProtocolId.AH, 0x1111
    assert bench.happens("acquire", number) == [Acquire("office", "lan")]
    assert bench.happens("sequence-exhausted", 70) == [SequenceExhausted(spi)]
    assert bench.happens("expiring", 70) == [LifetimeReached(ah, spi, Direction.OUT, is_hard=False)]
    assert bench.happens("expired", 70) == [LifetimeReached(ah, spi, Direction.OUT, is_hard=True)]
    assert bench.happens("inbound-expiring", spi, protocol="ah") == [
        LifetimeReached(ah, spi, Direction.IN, is_hard=False)
    ]
    assert bench.happens("inbound-expired", spi, protocol="ah") == [
        LifetimeReached(ah, spi, Direction.IN, is_hard=True)
    ]
    moved = bench.happens("peer-moved", spi, protocol="ah", address="2001:db8::9", port=4501)
    assert moved == [PeerMoved(ah, spi, ip_address("2001:db8::9"), 4501)]


DETAILS: dict[str, str | int] = {
    "protocol": "esp",
    "reason": "replayed",
    "source": "192.0.2.2",
    "destination": "192.0.2.1",
    "sequence": 17,
}


def test_auditable_events(bench: Bench) -> None:
    """RFC 4303 section 4: SPI, addresses and sequence number of the packet; of nobody's SPI too."""
    bench.engine.install(child_sa())
    (known,) = bench.happens("dropped", 0x1111, direction="in", **DETAILS)
    assert known == PacketDropped(
        direction=Direction.IN,
        reason="replayed",
        protocol=ProtocolId.ESP,
        spi=0x1111,
        spi_in=0x1111,
        source="192.0.2.2",
        destination="192.0.2.1",
        sequence=17,
    )
    (strange,) = bench.happens("dropped", 0x3333, direction="in", **DETAILS | {"reason": "unknown-spi"})
    assert (strange.spi, strange.spi_in) == (0x3333, None)
    (outbound,) = bench.happens("dropped", 70, direction="out", **DETAILS | {"reason": "sequence-exhausted"})
    assert (outbound.direction, outbound.spi, outbound.spi_in) == (Direction.OUT, 0x2222, 0x1111)
    assert audit_text(known) == (
        "ESP packet from 192.0.2.2 to 192.0.2.1, SPI 00001111, sequence number 17: it came before (replayed)"
    )


def test_an_auditable_event_of_which_little_is_known(bench: Bench) -> None:
    """RFC 4301 section 9: a packet that has no SA is an auditable event too."""
    (found,) = bench.happens("dropped", 0, direction="out", reason="no-sa", source="10.1.0.9", destination="10.2.0.9")
    assert (found.spi, found.spi_in, found.protocol) == (None, None, None)
    assert audit_text(found) == "packet to be sent from 10.1.0.9 to 10.2.0.9: no SA is there for it (no-sa)"
    inner = {"inner_source": "10.9.0.1", "inner_destination": "10.1.0.1"}
    (found,) = bench.happens("dropped", 5, direction="in", protocol="ah", reason="selector-mismatch", **inner)
    assert audit_text(found) == (
        "AH packet, SPI 00000005, in it a packet from 10.9.0.1 to 10.1.0.1:"
        " what was in it does not fit the SA's selectors (selector-mismatch)"
    )


def test_events_of_what_has_gone_are_nobodys(bench: Bench) -> None:
    for kind in ("acquire", "sequence-exhausted", "expiring", "expired", "inbound-expired"):
        assert bench.happens(kind, 99) == []
    assert bench.happens("peer-moved", 99, protocol="esp", address="192.0.2.9", port=1) == []
    assert bench.happens("something-new", 1) == []


def test_a_port_that_failed_is_named(bench: Bench) -> None:
    assert bench.happens("port-failed", 19) == [PortFailed(None, 19)]
    assert bench.happens("port-failed", 19, interface=0) == [PortFailed("cap0", 19)]
    bench.engine.open_interface("office0")
    assert bench.happens("port-failed", 19, interface=1) == [PortFailed("office0", 19)]


def test_every_fault_of_a_packet_has_its_words() -> None:
    """Those that the plane can tell of: what overran the workers, or was no fault, it counts only."""
    source = (FilePath(__file__).parents[3] / "rust" / "plane" / "src" / "drops.rs").read_text()
    reasons = set(re.findall(r'^    \w+ = "([a-z-]+)",$', source, re.MULTILINE))
    untold = {"dummy", "keepalive", "queue-full", "socket-full", "send-failed", "write-failed"}
    assert untold < reasons
    for reason in reasons - untold:
        assert audit_text(PacketDropped(Direction.IN, reason)) != f"packet: {reason} ({reason})"
