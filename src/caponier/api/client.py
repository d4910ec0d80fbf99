"""Talking to a running daemon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from caponier.api import schema
from caponier.errors import CaponierError

DEFAULT_SOCKET = Path("/run/caponier/control.sock")
SECONDS = 10.0  #: for an answer

M = TypeVar("M", bound=BaseModel)


class NotReachable(CaponierError):
    """No daemon answers."""


class Refused(CaponierError):
    """The daemon did not do it; ``problem`` says why."""

    def __init__(self, problem: schema.Problem) -> None:
        super().__init__(problem.message, hint=problem.hint, setting=problem.setting)
        self.problem = problem


class Client:
    """A client of the control API; a context manager.

    Args:
        path: the control socket.
    """

    def __init__(self, path: Path = DEFAULT_SOCKET) -> None:
        self._path = path
        # No TLS on a UNIX socket: reading the authorities of the Web would take longer than all the rest.
        transport = httpx.HTTPTransport(uds=str(path), verify=False)
        self._http = httpx.Client(transport=transport, base_url="http://caponier", timeout=SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def version(self) -> schema.VersionInfo:
        return self._ask(schema.VersionInfo, "GET", "/v1/version")

    def status(self) -> schema.Status:
        return self._ask(schema.Status, "GET", "/v1/status")

    def up(self, connection: str, child: str | None = None, seconds: float = 30.0) -> None:
        """Bring a connection up and wait until it is.

        Raises:
            Refused: why it is not.
        """
        self._order("/v1/up", schema.Request(connection=connection, child=child, seconds=seconds))

    def down(self, connection: str, child: str | None = None, seconds: float = 30.0) -> None:
        """Bring a connection down and wait until the peer has confirmed.

        Raises:
            Refused: why it is not.
        """
        self._order("/v1/down", schema.Request(connection=connection, child=child, seconds=seconds))

    def rekey(self, connection: str, child: str | None = None, seconds: float = 30.0, *, ike: bool = False) -> None:
        """Give the Child SAs of a connection new keys, or its IKE SA, and wait until the old ones are gone.

        Raises:
            Refused: why there are none.
        """
        self._order("/v1/rekey", schema.Request(connection=connection, child=child, seconds=seconds, ike=ike))

    def reload(self) -> list[str]:
        """Let the daemon read its configuration again; what changed."""
        return self._ask(schema.Done, "POST", "/v1/reload").text

    def events(self) -> Iterator[schema.Happening]:
        """What happened and what happens, until the caller stops or the daemon ends."""
        self._require_socket()
        try:
            with self._http.stream("GET", "/v1/events", timeout=None) as answer:
                for line in answer.iter_lines():
                    yield schema.Happening.model_validate_json(line)
        except httpx.RemoteProtocolError:
            return  # the daemon ended
        except (httpx.TransportError, ValidationError) as error:
            raise self._unreachable(error) from None

    def _order(self, path: str, request: schema.Request) -> None:
        self._ask(schema.Done, "POST", path, content=request.model_dump_json(), timeout=request.seconds + 10)

    def _ask(self, kind: type[M], method: str, path: str, **options: Any) -> M:
        self._require_socket()
        try:
            answer = self._http.request(method, path, **options)
            if answer.is_success:
                return kind.model_validate_json(answer.content)
            problem = schema.Problem.model_validate_json(answer.content)
        except (httpx.TransportError, ValidationError) as error:
            raise self._unreachable(error) from None
        raise Refused(problem)

    def _require_socket(self) -> None:
        """Knock: the system's own answer says best why nobody opens."""
        hint = "start one: caponier run -c FILE; if its control socket is elsewhere, name it: --socket PATH"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
                knock.settimeout(SECONDS)
                knock.connect(str(self._path))
        except FileNotFoundError:
            raise NotReachable(f"no daemon is running: there is no {self._path}", hint=hint) from None
        except ConnectionRefusedError:
            told = f"no daemon is running: {self._path} was left behind by one that is no more"
            raise NotReachable(told, hint=hint) from None
        except PermissionError:
            told = f"{self._path} may not be opened: the control socket is its owner's alone"
            raise NotReachable(told, hint="ask as the user who runs the daemon: sudo caponier ...") from None
        except OSError as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> NotReachable:
        if isinstance(error, ValidationError):
            return NotReachable(f"what answers on {self._path} is no Caponier daemon, or one of another version")
        if isinstance(error, httpx.TimeoutException):
            return NotReachable(f"the daemon on {self._path} does not answer in time")
        return NotReachable(
            f"no daemon answers on {self._path}: {error}", hint="is it running, and is this its control socket?"
        )
