"""Random schedules of everything that can happen to endpoints: in the end they agree, and nothing is left over.

A schedule is a list of steps, each an action of ``ACTIONS`` with a seed of its own and a pause behind it. They are played in
a town of three members or more, one of them behind a NAT. Then the trouble ends, time passes, and ``disagreements`` and
``leaks`` say what is wrong; after that everything is brought up once more, and then brought down.

An action is a function of the town and of a source of randomness; a new feature adds one, and its invariants.
``CAPONIER_SCHEDULES=n`` plays that many schedules instead of the default; a failure prints the shortest schedule found that
shows it, and its seed.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from caponier.errors import CaponierError, InternalError, MisuseError
from caponier.protocols.ike.effects import ChildSa
from caponier.protocols.ike.policy import Limits, Settings
from caponier.protocols.ike.v2.ike_sa import IkeSa
from caponier.protocols.ike.v2.lifecycle import Phase
from caponier.protocols.ike.v2.timers import Timer
from tests.exchange.town import Member, Town, Trouble
from tests.exchange.world import Weather

SCHEDULES = int(os.environ.get("CAPONIER_SCHEDULES", "160"))
BATCHES = 8
HEALING = 700.0  #: seconds in which every IKE SA that has no peer any more is found out (RFC 4555 section 3.11), and all that is redundant goes
LASTING = {
    Timer.LIVENESS,
    Timer.REKEY_IKE,
    Timer.REKEY,
    Timer.EXPIRE,
    Timer.NAT_KEEPALIVE,
}  #: what a quiet IKE SA may wait for

Action = Callable[[Town, random.Random], None]


# -- what can happen


def somebody(town: Town, draw: random.Random) -> Member:
    return draw.choice(town.members)


class Idle(Exception):
    """There is nothing that the action could be done to."""


def a_connection(town: Town, draw: random.Random) -> tuple[Member, str]:
    """A member and one of its connections."""
    member = somebody(town, draw)
    return member, draw.choice(sorted(member.wanted))


def a_child(town: Town, draw: random.Random) -> tuple[Member, ChildSa]:
    """A member and one of its Child SAs."""
    member = somebody(town, draw)
    installed = list(member.host.installed.values())
    if not installed:
        raise Idle
    return member, draw.choice(installed)


def initiate(town: Town, draw: random.Random) -> None:
    member, name = a_connection(town, draw)
    if member.peers[name].gateway is not None:
        return  # who is behind a NAT cannot be called
    with suppress(CaponierError):
        member.endpoint.initiate(name, member.path_to(member.peers[name]), town.now)


def initiate_child(town: Town, draw: random.Random) -> None:
    member, name = a_connection(town, draw)
    with suppress(CaponierError):
        member.endpoint.initiate_child(name, draw.choice(("lan", "voice")), town.now)


def rekey_child(town: Town, draw: random.Random) -> None:
    member, child = a_child(town, draw)
    member.endpoint.rekey_child(child.protocol, child.spi_in, town.now)


def rekey_child_on_both_sides(town: Town, draw: random.Random) -> None:
    """Section 2.8.1: within a moment, since one alone is seldom met by the other."""
    member, child = a_child(town, draw)
    member.endpoint.rekey_child(child.protocol, child.spi_in, town.now)
    town.settle()
    town.run(draw.uniform(0, 2 * town.weather.delay))
    for other in town.members:
        other.endpoint.rekey_child(child.protocol, child.spi_out, town.now)


def rekey(town: Town, draw: random.Random) -> None:
    member, name = a_connection(town, draw)
    member.endpoint.rekey(name, town.now)


def rekey_on_both_sides(town: Town, draw: random.Random) -> None:
    member, name = a_connection(town, draw)
    member.endpoint.rekey(name, town.now)
    town.settle()
    town.run(draw.uniform(0, 2 * town.weather.delay))
    if name in member.peers[name].wanted:
        member.peers[name].endpoint.rekey(name, town.now)


def expire_child(town: Town, draw: random.Random) -> None:
    """The data plane reports the end of a Child SA's octets or packets."""
    member, child = a_child(town, draw)
    member.endpoint.expire_child(child.protocol, child.spi_in, town.now)


def traffic(town: Town, draw: random.Random) -> None:
    """Packets come in on a Child SA: a sign of life (section 2.4)."""
    member, child = a_child(town, draw)
    member.host.received[child.spi_in] += draw.randint(1, 100)


def terminate(town: Town, draw: random.Random) -> None:
    member, name = a_connection(town, draw)
    member.endpoint.terminate(name, town.now, draw.choice((None, "lan", "voice")))


def reconfigure(town: Town, draw: random.Random) -> None:
    """Take a connection out of the configuration, and perhaps put it back at once."""
    member, name = a_connection(town, draw)
    wanted = member.wanted.pop(name)
    member.endpoint.remove_connection(name, town.now)
    member.settle()
    town.run(draw.choice((0.0, 0.0, draw.uniform(0, 1))))
    member.configure(wanted)


def restart(town: Town, draw: random.Random) -> None:
    """A crash: nothing is told to anybody."""
    somebody(town, draw).start()


def shut_down(town: Town, draw: random.Random) -> None:
    """An orderly end, and a new beginning soon after."""
    member = somebody(town, draw)
    member.endpoint.shut_down(town.now)
    member.settle()
    town.run(draw.uniform(0, 3))
    member.start()


def move_nat(town: Town, draw: random.Random) -> None:
    for member in town.members:
        if member.gateway is not None:
            member.gateway.move(draw)


def packet_from_elsewhere(town: Town, draw: random.Random) -> None:
    """Section 2.23: the data plane reports that the peer's NAT has moved."""
    member, child = a_child(town, draw)
    peer = next(peer for name, peer in member.peers.items() if name == child.connection)
    address, port = peer.outside(4500)
    member.endpoint.follow_peer(child.protocol, child.spi_in, address, port, town.now)


def cut(town: Town, draw: random.Random) -> None:
    one, other = draw.choice(list(town.pairs()))
    town.cuts.add(frozenset((one.number, other.number)))


def mend(town: Town, draw: random.Random) -> None:
    del draw
    town.cuts.clear()


def storm(town: Town, draw: random.Random) -> None:
    town.weather = Weather(draw.choice((0, 0.1, 0.4)), draw.choice((0, 0.2)), draw.choice((0.02, 0.5, 3.0)))


def out_of_the_past(town: Town, draw: random.Random) -> None:
    """Section 2.1: datagrams come that were sent long ago, once more or at last."""
    for _ in range(draw.randint(1, 6)):
        if town.archive:
            town.post(draw.choice(town.archive), draw.uniform(0, 1))


def engine_trouble(town: Town, draw: random.Random) -> None:
    somebody(town, draw).trouble = Trouble(draw.choice((0, 0.1, 2.0)), draw.choice((0, 0.3, 1.0)))


ACTIONS: dict[Action, int] = {
    initiate: 10,
    initiate_child: 4,
    rekey_child: 6,
    rekey_child_on_both_sides: 3,
    rekey: 5,
    rekey_on_both_sides: 3,
    expire_child: 4,
    traffic: 2,
    terminate: 4,
    reconfigure: 2,
    restart: 1,
    shut_down: 1,
    move_nat: 1,
    packet_from_elsewhere: 1,
    cut: 1,
    mend: 2,
    storm: 3,
    out_of_the_past: 4,
    engine_trouble: 2,
}


# -- a schedule


@dataclass(frozen=True)
class Step:
    """One action, and how long nothing else is done after it."""

    action: Action
    seed: int
    pause: float

    def __str__(self) -> str:
        return f"{self.action.__name__}({self.seed}), then {self.pause:.3f} s"


def schedule(seed: int) -> list[Step]:
    """Mostly one thing soon after the other, sometimes a long rest."""
    draw = random.Random(seed)
    names, weights = list(ACTIONS), list(ACTIONS.values())
    return [
        Step(action, draw.getrandbits(32), draw.choice((0.0, draw.uniform(0, 0.1), draw.uniform(0, 2), 40.0)))
        for action in draw.choices(names, weights, k=draw.randint(3, 25))
    ]


def a_town(seed: int) -> Town:
    few = Limits(children_per_ike_sa=3)
    return Town(seed, size=2 + seed % 3, settings=Settings(limits=few) if seed % 7 == 0 else Settings())


def play(seed: int, steps: Iterable[Step]) -> list[str]:
    """What is wrong in the end; empty where all is well."""
    return outcome(a_town(seed), steps)


def outcome(town: Town, steps: Iterable[Step]) -> list[str]:
    """Everybody calls the first one, the steps are played, and peace comes back."""
    for each in town.members[1:]:
        each.endpoint.initiate(f"host1-{each.name}", each.path_to(town.members[0]), town.now)
    town.settle()
    town.run(2)
    for step in steps:
        with suppress(Idle):
            step.action(town, random.Random(step.seed))
        town.settle()
        town.run(step.pause)
    heal(town)
    return disagreements(town) + leaks(town) + bugs(town) or afterwards(town)


def heal(town: Town) -> None:
    """No more trouble, and time for the consequences of what there was."""
    town.cuts.clear()
    town.weather = Weather()
    for member in town.members:
        member.trouble = Trouble()
    town.run(HEALING)
    rest(town)


def rest(town: Town) -> None:
    """Wait for an instant at which nothing is under way: rekeying by time never ends for good."""
    for _ in range(200):
        if not town.transit and all(_is_quiet(sa) for member in town.members for sa in member.sas()):
            return
        town.run(1.03)


def _is_quiet(sa: IkeSa) -> bool:
    return sa.phase is Phase.ESTABLISHED and sa.requests.is_idle and set(sa.timers._instants) <= LASTING


def afterwards(town: Town) -> list[str]:
    """All connections can be brought up, and then down: nothing at all is left of them."""
    for _ in range(3):  # a Child SA may reach its hard limit just then
        _bring_up(town)
        missing = _missing(town)
        if not missing:
            break
    wrong = missing + disagreements(town) + leaks(town)
    for member in town.members:
        member.endpoint.shut_down(town.now)
        member.settle()
    town.run(200)
    return wrong + [f"{member.name}: {each}" for member in town.members for each in _remains(member)]


def _bring_up(town: Town) -> None:
    for member in town.members:
        for name, peer in member.peers.items():
            if peer.gateway is None:
                member.endpoint.initiate(name, member.path_to(peer), town.now)
                member.settle()
                town.run(3)
    rest(town)


def _missing(town: Town) -> list[str]:
    if town.settings.limits != Limits():
        return []  # Child SAs that were made twice may leave no room for the other policy
    return [
        f"{member.name}: {name} has no Child SA {policy}"
        for member in town.members
        for name in member.wanted
        for policy in ("lan", "voice")
        if not any((each.connection, each.name) == (name, policy) for each in member.host.installed.values())
    ]


def _remains(member: Member) -> list[str]:
    endpoint, host = member.endpoint, member.host
    left = {
        "IKE SAs": len(endpoint._sas),
        "Child SAs": len({**host.installed, **host.retired}),
        "SPIs": len(host.spis),
        "timers": len(endpoint._agenda),
    }
    return [f"{count} {name} at the end" for name, count in left.items() if count]


# -- what must hold


def disagreements(town: Town) -> list[str]:
    """What two members see differently."""
    wrong: list[str] = []
    for one, other in town.pairs():
        name = f"{one.name}-{other.name}"
        ours, theirs = _ike_sas(one, name), _ike_sas(other, name)
        if ours.keys() != theirs.keys():
            wrong.append(f"{name}: IKE SAs {_brief(ours)} and {_brief(theirs)}")
        elif len(ours) > 1:
            wrong.append(f"{name}: {len(ours)} IKE SAs with the same peer")
        for id_ in ours.keys() & theirs.keys():
            wrong += _differences(one, other, ours[id_], theirs[id_])
    return wrong


def _ike_sas(member: Member, name: str) -> dict[str, IkeSa]:
    return {str(sa.id): sa for sa in member.sas() if sa.connection is not None and sa.connection.name == name}


def _brief(sas: dict[str, IkeSa]) -> list[str]:
    return [f"{id_[:8]} {sa.phase.value}" for id_, sa in sas.items()]


def _differences(one: Member, other: Member, ours: IkeSa, theirs: IkeSa) -> list[str]:
    """Two ends of one IKE SA: its keys, and its Child SAs crosswise."""
    wrong: list[str] = []
    if ours.role is theirs.role or ours.protector.keys.sk_d.expose() != theirs.protector.keys.sk_d.expose():
        wrong.append(f"{ours.id}: roles or keys differ")
    mine = {record.child.spi_in: record.child for record in ours.children}
    yours = {record.child.spi_out: record.child for record in theirs.children}
    if mine.keys() != yours.keys():
        wrong.append(f"{ours.connection_name}: Child SAs {sorted(mine)} and {sorted(yours)}")
    for spi in mine.keys() & yours.keys():
        here, there = mine[spi], yours[spi]
        if (here.spi_out, here.local, here.remote, here.name, here.mode) != (
            there.spi_in,
            there.remote,
            there.local,
            there.name,
            there.mode,
        ):
            wrong.append(f"{here.connection}: the ends of Child SA {spi:#x} differ")
        keys, others = one.host.keys[spi], other.host.keys[there.spi_in]
        if keys[:2] != others[2:] or keys[2:] != others[:2]:
            wrong.append(f"{here.connection}: the keys of Child SA {spi:#x} differ")
    return wrong


def leaks(town: Town) -> list[str]:
    """What belongs to nothing any more."""
    return [f"{member.name}: {each}" for member in town.members for each in _leaks_of(member)]


def _leaks_of(member: Member) -> list[str]:
    endpoint, host = member.endpoint, member.host
    records = {record.child.spi_in for sa in member.sas() for record in sa.children}
    wrong = [f"an IKE SA {sa.phase.value}: {each}" for sa in member.sas() for each in _unquiet(sa)]
    expected = {
        "Child SAs in the data plane": (set(host.installed), records),
        "SPIs": (host.spis, records),
        "entries by Child SA": ({spi for _, spi in endpoint._by_child}, records),
        "retired Child SAs": (set(host.retired), set()),
        "embryos": (set(endpoint._strangers._embryos), set()),
        "half-open origins": (set(endpoint._strangers._half_open._by_origin), set()),
        "effects under way": (set(endpoint._waiting), set()),
    }
    wrong += [f"{name}: {found} instead of {due}" for name, (found, due) in expected.items() if found != due]
    if endpoint.half_open:
        wrong.append(f"{endpoint.half_open} half-open IKE SAs")
    if len(endpoint._agenda) > len(endpoint._sas):
        wrong.append("timers of IKE SAs that are gone")
    return wrong


def _unquiet(sa: IkeSa) -> list[str]:
    lane, records = sa.requests, list(sa.children)
    facts = {
        "its phase": sa.phase is not Phase.ESTABLISHED,
        "a running exchange": lane._task is not None or lane._exchange is not None,
        "a waiting exchange": not lane.is_idle,
        "a request out": lane._outstanding is not None,
        "an answer in the making": sa.responses._task is not None,
        f"timers {set(sa.timers._instants) - LASTING}": not set(sa.timers._instants) <= LASTING,
        "a predecessor": sa.predecessor is not None,
        "a successor": sa.succession.theirs is not None,
        "a Child SA half-way": any(each.is_rekeying or not each.is_current for each in records),
    }
    return [name for name, is_wrong in facts.items() if is_wrong]


def bugs(town: Town) -> list[str]:
    """No failure of ours is a bug, or a misuse by ourselves."""
    errors = [getattr(event, "error", None) for member in town.members for event in member.host.events]
    return [str(each) for each in errors if isinstance(each, InternalError | MisuseError)]


# -- shrinking


def shortest(seed: int, steps: list[Step]) -> list[Step]:
    """Leave out step by step what the failure does not need."""
    at = 0
    while at < len(steps):
        fewer = steps[:at] + steps[at + 1 :]
        if _fails(seed, fewer):
            steps = fewer
        else:
            at += 1
    return steps


def _fails(seed: int, steps: list[Step]) -> bool:
    try:
        return bool(play(seed, steps))
    except Exception:  # noqa: BLE001 - a crash is a failure too
        return True


def story(seed: int, steps: list[Step]) -> str:
    """What a person needs to look into a failure."""
    fewer = shortest(seed, steps)
    try:
        wrong = play(seed, fewer)
    except Exception as crash:  # noqa: BLE001 - see above
        wrong = [f"{type(crash).__name__}: {crash}"]
    return "\n".join([f"schedule {seed}:", *map(str, fewer), "leads to:", *wrong])


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_schedules_end_in_agreement(batch: int) -> None:
    """RFC 7296 sections 1.4.1, 2.1 to 2.4, 2.8, 2.21, 2.23 and 2.25, all at once."""
    for seed in range(batch, SCHEDULES, BATCHES):
        steps = schedule(seed)
        assert not _fails(seed, steps), story(seed, steps)


def test_nothing_is_kept_in_memory() -> None:
    """After the end of all IKE SAs no object of one is left, be it held by a generator, a callback or a table."""
    for seed in range(1, 24, 3):
        town = a_town(seed)
        assert not outcome(town, schedule(seed))
        endpoints = [each.endpoint for each in town.members]
        for each in town.members:
            each.host.events.clear()  # the errors in them have tracebacks
        gc.collect()
        kept = [each for each in gc.get_objects() if isinstance(each, IkeSa) and each.host in endpoints]
        assert not kept, [sa.phase for sa in kept]


def test_the_model_sees_what_is_wrong() -> None:
    """A check that cannot fail is none: each kind of fault, made by hand, is found."""

    def found(break_it: Callable[[Member, IkeSa], object]) -> list[str]:
        town = Town(7, size=2)
        one, other = town.members
        other.endpoint.initiate("host1-host2", other.path_to(one), town.now)
        one.endpoint.initiate("host1-host2", one.path_to(other), town.now)
        town.settle()
        town.run(60)
        rest(town)
        assert disagreements(town) + leaks(town) == []
        (sa,) = one.sas()
        break_it(one, sa)
        return disagreements(town) + leaks(town)

    assert found(lambda one, sa: one.host.spis.add(1))
    assert found(lambda one, sa: one.endpoint._by_child.popitem())
    assert found(lambda one, sa: one.endpoint._sas.forget(sa))
    assert found(lambda one, sa: one.host.keys.update(dict.fromkeys(one.host.keys, (b"",) * 4)))
    assert found(lambda one, sa: one.endpoint._strangers._half_open.enter(one.address))
    assert found(lambda one, sa: setattr(sa, "phase", Phase.REKEYING))
    assert found(lambda one, sa: sa.children.remove(next(iter(sa.children)), "by hand"))
