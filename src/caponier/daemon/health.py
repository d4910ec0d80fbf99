"""What of the system's own settings keeps a gateway from working. Looked at, never changed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from caponier.protocols.ike.policy import Connection, Mode

_PROC = Path("/proc/sys/net")


def warnings(connections: Collection[Connection], interface: str) -> list[str]:
    """Sentences about what an operator should look at."""
    found = []
    selectors = [
        each
        for connection in connections
        for child in connection.children
        if not child.local_is_assigned
        for each in child.local
    ]
    is_gateway = {4: False, 6: False}
    for each in selectors:
        is_gateway[each.start.version] |= each.start != each.end
    if is_gateway[4] and _read("ipv4/ip_forward") == "0":
        found.append(
            "IPv4 forwarding is off: packets of the networks behind this gateway are not passed on"
            " (sysctl -w net.ipv4.ip_forward=1)"
        )
    if is_gateway[6] and _read("ipv6/conf/all/forwarding") == "0":
        found.append(
            "IPv6 forwarding is off: packets of the networks behind this gateway are not passed on"
            " (sysctl -w net.ipv6.conf.all.forwarding=1)"
        )
    if "1" in (_read("ipv4/conf/all/rp_filter"), _read(f"ipv4/conf/{interface}/rp_filter")):
        found.append(
            f"the strict reverse path filter is on and may drop what comes out of {interface}"
            f" (sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{interface}.rp_filter=2)"
        )
    if any(_is_transport(connection) for connection in connections):
        found += _strict_filters()
    return found


def _is_transport(connection: Connection) -> bool:
    return any(child.mode is Mode.TRANSPORT for child in connection.children)


def _strict_filters() -> list[str]:
    """In transport mode the way back to the peer is the tunnel's interface, by which its ESP packets do not come.

    The kernel takes the larger value of an interface's and that of all (ip-sysctl.rst): 2, the loose filter, wins.
    """
    if _read("ipv4/conf/all/rp_filter") == "2":
        return []
    names = [path.parent.name for path in sorted((_PROC / "ipv4/conf").glob("*/rp_filter"))]
    strict = [name for name in names if name not in ("default", "lo") and _read(f"ipv4/conf/{name}/rp_filter") == "1"]
    if not strict:
        return []
    remedy = " ".join(f"net.ipv4.conf.{name}.rp_filter=2" for name in strict)
    why = f"the strict reverse path filter is on ({', '.join(strict)}) and drops what a peer in transport mode sends"
    return [f"{why} (sysctl -w {remedy})"]


def _read(name: str) -> str | None:
    try:
        return (_PROC / name).read_text().strip()
    except OSError:
        return None
