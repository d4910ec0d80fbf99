"""``caponier status``: what is up, what it carries, and why the rest is not up."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from caponier.api.schema import ChildSa, ConfiguredConnection, ConfiguredPolicy, IkeSa, Pool, Status, Traffic
from caponier.cli.terminal import amount, problem_text, span

USUAL_SIZE = 1280  #: octets of the IP datagrams in which long IKE messages are sent (RFC 7383)


def render(status: Status) -> RenderableType:
    """The whole status."""
    parts: list[RenderableType] = [Text(f"{status.file}, interface {status.interface}", "dim")]
    parts += map(_policy, status.policies)
    parts += map(_pool, status.pools)
    if not status.connections:
        parts.append(Text("no connection is configured", "yellow"))
    parts += [_connection(connection, status) for connection in status.connections]
    parts += [Text("warning: ", "bold yellow") + Text(text) for text in status.warnings]
    strangers = [each for each in status.troubles if each.connection is None]
    if strangers:
        parts.append(Text("refused, of no connection:", "bold"))
        parts += [
            Text(f"{each.when:%Y-%m-%d %H:%M:%S} {each.peer}: ", "red") + problem_text(each.problem)
            for each in strangers
        ]
    parts.append(_footer(status))
    return Group(*parts)


def _policy(policy: ConfiguredPolicy) -> Text:
    ends = f"{', '.join(policy.local)} to {', '.join(policy.remote)}"
    return Text.assemble((policy.name, "bold"), "  ", (policy.action, "cyan"), f"  {ends}")


def _pool(pool: Pool) -> Text:
    use = f"  {pool.first} to {pool.last}, {pool.held} given to peers"
    return Text.assemble(("pool ", ""), (pool.name, "bold"), use)


def _connection(connection: ConfiguredConnection, status: Status) -> RenderableType:
    sas = [sa for sa in status.ike_sas if sa.connection == connection.name]
    parts: list[RenderableType] = [_headline(connection, sas)]
    parts += [_ike_sa(sa, status.retransmission.attempts) for sa in sas]
    for trouble in status.troubles:
        if trouble.connection == connection.name:
            about = f"{trouble.when:%Y-%m-%d %H:%M:%S} UTC" + (f", child {trouble.child}" if trouble.child else "")
            parts.append(Text(f"  last error, {about}: ", "red") + problem_text(trouble.problem))
    return Group(*parts)


def _headline(connection: ConfiguredConnection, sas: list[IkeSa]) -> Text:
    established = any(sa.phase == "established" for sa in sas)
    carried = {child.name for sa in sas for child in sa.children}
    if established and all(child.name in carried for child in connection.children):
        state, style = "up", "bold green"
    elif established:
        state, style = "partly up", "bold yellow"
    else:
        state, style = sas[0].phase if sas else "down", "bold yellow" if sas else "bold red"
    peer = ", ".join(connection.remote_addresses)
    way = f", interface {connection.interface}" if connection.interface else ""
    ends = f"  {connection.local_id} to {connection.remote_id} at {peer}{way}"
    return Text.assemble((connection.name, "bold"), "  ", (state, style), ends)


def _ike_sa(sa: IkeSa, attempts: int) -> RenderableType:
    nat = " and ".join(side for side, found in (("here", sa.nat_here), ("there", sa.nat_there)) if found)
    path = f"{_end(sa.local_address, sa.local_port)} to {_end(sa.remote_address, sa.remote_port)}"
    unanswered = f"a request was sent {sa.transmissions} times of {attempts}, and the peer is silent"
    facts = _facts(
        *((("unanswered", unanswered),) if sa.transmissions > 1 else ()),
        ("IKE SA", f"{sa.spi_i}_{sa.spi_r}, we are the {sa.role}, {sa.phase} for {span(sa.seconds)}"),
        (
            "path",
            ", ".join(
                [path, *([f"NAT {nat}"] if nat else []), *(["may move"] if sa.movable else []), *_narrowness(sa)]
            ),
        ),
        *([("peer also at", ", ".join(sa.peer_addresses))] if sa.peer_addresses else []),
        ("algorithms", sa.suite),
        *_weak(sa.weak),
        ("quantum-safe", _quantum_safe(sa.quantum_safe)),
        ("identities", f"{sa.local_id} (by {sa.local_auth}) to {sa.remote_id} (by {sa.remote_auth})"),
        *((("internal", f"{', '.join(sa.assigned)} of ours"),) if sa.assigned else ()),
        *((("internal", f"{', '.join(sa.lent)} of the peer"),) if sa.lent else ()),
    )
    return Group(facts, *(_child(child) for child in sa.children))


def _narrowness(sa: IkeSa) -> list[str]:
    """What is worth telling of fragmentation: that the path takes less than nearly all others do."""
    if sa.fragment_size is None or sa.fragment_size >= USUAL_SIZE:
        return []
    return [f"IKE in datagrams of at most {sa.fragment_size} octets"]


def _facts(*rows: tuple[str, str | Text]) -> Table:
    """Titles and texts; what is in a text is letters, never markup: a peer chooses its identity."""
    table = Table.grid(padding=(0, 2))
    for title, text in rows:
        table.add_row(f"  {title}", Text(text) if isinstance(text, str) else text)
    return table


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _child(child: ChildSa) -> RenderableType:
    way = "in UDP" if child.encapsulated else "bare"
    return _facts(
        (
            "child",
            f"{child.name}, {child.protocol.upper()} {child.mode} {way}, {child.suite}, for {span(child.seconds)}",
        ),
        *_weak(child.weak),
        ("quantum-safe", _quantum_safe(child.quantum_safe)),
        ("traffic", f"{', '.join(child.local)} to {', '.join(child.remote)}"),
        ("in", f"SPI {child.spi_in:08x}, {_traffic(child.inbound)}"),
        ("out", f"SPI {child.spi_out:08x}, {_traffic(child.outbound)}"),
    )


def _weak(keywords: list[str]) -> tuple[tuple[str, Text], ...]:
    """A red row where there is something that the RFCs advise against."""
    return (("weak", Text(", ".join(keywords), "bold red")),) if keywords else ()


def _quantum_safe(protectors: list[str]) -> str:
    return f"yes, by {' and '.join(protectors)}" if protectors else "no"


def _traffic(traffic: Traffic | None) -> str:
    if traffic is None:
        return "not counted"
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(traffic.dropped.items()))
    carried = f"{traffic.packets} packets, {amount(traffic.octets)}"
    return f"{carried}, dropped: {dropped}" if dropped else carried


def _footer(status: Status) -> Text:
    parts = []
    if status.half_open:
        parts.append(f"{status.half_open} half-open IKE SAs")
    for title, drops in (
        ("IKE datagrams dropped", status.drops),
        ("packets dropped outside of SAs", status.plane_drops),
    ):
        if drops:
            parts.append(f"{title}: " + ", ".join(f"{count} {reason}" for reason, count in sorted(drops.items())))
    return Text("\n".join(parts), "dim")
