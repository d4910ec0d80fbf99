"""Talking to a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from caponier.api import schema
from caponier.errors import CaponierError

DEFAULT_SOCKET = Path("/run/caponier/control.sock")

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
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://caponier", timeout=10.0, trust_env=False
        )

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
        if not self._path.exists():
            raise NotReachable(
                f"no daemon is running: there is no {self._path}",
                hint="start one: caponier run -c FILE; if its control socket is elsewhere, name it: --socket PATH",
            )

    def _unreachable(self, error: Exception) -> NotReachable:
        if isinstance(error, ValidationError):
            return NotReachable(f"what answers on {self._path} is no Caponier daemon, or one of another version")
        if isinstance(error, httpx.TimeoutException):
            return NotReachable(f"the daemon on {self._path} does not answer in time")
        return NotReachable(
            f"no daemon answers on {self._path}: {error}",
            hint="is it running, and may you open its socket? Try it as root",
        )
