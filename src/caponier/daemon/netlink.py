"""A netlink socket on a thread of its own.

pyroute2's blocking interface runs an event loop of its own, and so cannot live on the thread that runs ours. The requests
are few and take microseconds; waiting for them is simpler than weaving them into the loop, and keeps them in order.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pyroute2 import IPRoute

T = TypeVar("T")


class Netlink:
    """Talks to the kernel, by default about links, addresses, routes and rules.

    Args:
        make: opens the socket.
    """

    def __init__(self, make: Callable[[], Any] = IPRoute) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="netlink")
        self._socket: Any = self._thread.submit(make).result()

    def ask(self, work: Callable[[Any], T]) -> T:
        """Do ``work`` with the :class:`pyroute2.IPRoute`; what it returns must not need the socket any more.

        Raises:
            NetlinkError: the kernel refuses.
        """
        return self._thread.submit(work, self._socket).result()

    def close(self) -> None:
        self._thread.submit(self._socket.close).result()
        self._thread.shutdown()
