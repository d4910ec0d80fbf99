"""What the kernel holds of a namespace's links, addresses, routes and rules; made to be compared."""

from __future__ import annotations

import socket
from typing import Any

from caponier.demo.namespaces import Namespace

FAMILIES = (socket.AF_INET, socket.AF_INET6)
VOLATILE = {
    *("IFLA_STATS", "IFLA_STATS64", "IFLA_AF_SPEC", "IFLA_PERM_ADDRESS", "IFLA_PROTO_DOWN_REASON"),
    *("IFA_CACHEINFO", "RTA_CACHEINFO"),
}

Row = tuple[str, ...]


def _row(kind: str, message: Any) -> Row:
    """A netlink message without its header, its counters and its ages."""
    fields = [f"{name}={value}" for name, value in message.items() if name not in ("attrs", "header", "event")]
    attributes = [f"{name}={value}" for name, value in message["attrs"] if name not in VOLATILE]
    return (kind, *sorted(fields), *sorted(attributes))


def dump(namespace: Namespace) -> set[Row]:
    """Everything."""
    with namespace.netlink() as netlink:
        rows = [_row("link", each) for each in netlink.get_links()]
        rows += [_row("address", each) for each in netlink.get_addr()]
        for family in FAMILIES:
            rows += [_row("route", each) for each in netlink.get_routes(family=family)]
            rows += [_row("rule", each) for each in netlink.get_rules(family=family)]
    return set(rows)


def links(namespace: Namespace) -> set[str]:
    """The names of the links."""
    with namespace.netlink() as netlink:
        return {each.get_attr("IFLA_IFNAME") for each in netlink.get_links()}


def routes(namespace: Namespace, table: int) -> set[str]:
    """The destinations in a routing table; a default route has none."""
    with namespace.netlink() as netlink:
        found = [each for family in FAMILIES for each in netlink.get_routes(family=family, table=table)]
        return {
            f"{each.get_attr('RTA_DST')}/{each['dst_len']}" for each in found if each.get_attr("RTA_TABLE") == table
        }


def rules(namespace: Namespace, table: int) -> int:
    """How many rules lead to a routing table."""
    with namespace.netlink() as netlink:
        found = [each for family in FAMILIES for each in netlink.get_rules(family=family)]
        return sum(each.get_attr("FRA_TABLE") == table for each in found)
