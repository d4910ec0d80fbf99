"""What the control API says: JSON, and the types of it. Times are UTC, durations seconds, counts whole numbers."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class VersionInfo(Model):
    """What is running."""

    caponier: str
    plane: str
    python: str
    cryptography: str
    system: str


class Problem(Model):
    """An error, in words that help.

    Attributes:
        kind: the error's name: ``NoProposalChosen``.
        message: what happened and why.
        hint: how to mend it.
        offered: what the peer offered, or what we offered to a peer that refused.
        accepted: what we accept.
        setting: the configuration key, relative to its connection.
        file: the configuration file.
        line: the line to look at, counted from 1.
    """

    kind: str
    message: str
    hint: str | None = None
    offered: str | None = None
    accepted: str | None = None
    setting: str | None = None
    file: str | None = None
    line: int | None = None


class Trouble(Model):
    """Why something did not come to be, or is no more."""

    when: datetime
    connection: str | None
    child: str | None
    peer: str
    problem: Problem


class Traffic(Model):
    """One direction of a Child SA: inner packets, their octets, and drops by reason."""

    packets: int
    octets: int
    dropped: dict[str, int]


class ChildSa(Model):
    """A Child SA."""

    name: str
    protocol: str
    mode: str
    spi_in: int
    spi_out: int
    suite: str
    local: list[str]
    remote: list[str]
    encapsulated: bool
    weak: list[str] = []  #: of its algorithms those that RFC 8221 or RFC 8247 advises against
    quantum_safe: list[str] = []  #: by what its keys withstand a quantum computer; empty: they do not
    seconds: float  #: since its installation
    inbound: Traffic | None
    outbound: Traffic | None


class IkeSa(Model):
    """An IKE SA."""

    spi_i: str
    spi_r: str
    connection: str
    role: str
    phase: str
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    suite: str
    local_id: str
    remote_id: str
    local_auth: str
    remote_auth: str
    nat_here: bool
    nat_there: bool
    movable: bool = False  #: whether both ends may change their addresses (MOBIKE)
    peer_addresses: list[str] = []  #: the peer's further ones, as it tells
    weak: list[str] = []  #: of its algorithms those that RFC 8221 or RFC 8247 advises against
    quantum_safe: list[str] = []  #: by what the keys of its own messages withstand a quantum computer
    fragment_size: int | None = None  #: octets of the longest IP datagram with an IKE message; null: any
    seconds: float  #: since its establishment
    silent_seconds: float  #: since the peer was last heard
    transmissions: int = 0  #: of our request that is out
    assigned: list[str] = []  #: internal addresses that the peer gave us
    lent: list[str] = []  #: internal addresses that we gave the peer
    children: list[ChildSa]


class Pool(Model):
    """Internal addresses for peers."""

    name: str
    first: str
    last: str
    held: int  #: addresses that peers have now
    dns: list[str]
    subnets: list[str]


class ConfiguredChild(Model):
    """A Child SA that is configured."""

    name: str
    protocol: str
    mode: str
    local: list[str]
    remote: list[str]
    proposals: list[str]


class ConfiguredConnection(Model):
    """A connection that is configured."""

    name: str
    start: str
    local_id: str
    remote_id: str
    remote_addresses: list[str]
    interface: str | None  #: of its own
    proposals: list[str]
    children: list[ConfiguredChild]


class ConfiguredPolicy(Model):
    """A policy that is asked before all connections."""

    name: str
    action: str
    local: list[str]
    remote: list[str]


class Retransmission(Model):
    """When a request that nobody answers is sent again."""

    first: float  #: seconds
    factor: float
    attempts: int
    patience: float  #: seconds until the peer counts as gone


class Status(Model):
    """Everything that is."""

    since: datetime
    file: str
    interface: str
    policies: list[ConfiguredPolicy]
    pools: list[Pool] = []
    connections: list[ConfiguredConnection]
    ike_sas: list[IkeSa]
    troubles: list[Trouble]
    retransmission: Retransmission
    half_open: int
    drops: dict[str, int]  #: IKE datagrams, by reason
    plane_drops: dict[str, int]  #: packets outside of any SA, by reason
    warnings: list[str]


class Happening(Model):
    """Something that happened."""

    when: datetime
    kind: str
    connection: str | None
    text: str
    problem: Problem | None = None


class RegistryEntry(Model):
    """A row of a registry of the DOI."""

    registry: str
    number: int
    name: str
    keyword: str | None
    source: str
    guidance: str | None
    implemented: bool


class Finding(Model):
    """A mistake in a configuration file."""

    file: str
    line: int | None
    key: str
    message: str
    hint: str | None


class Check(Model):
    """What reading a configuration file gave: findings, or the connections that it configures."""

    file: str
    valid: bool
    findings: list[Finding] = []
    policies: list[ConfiguredPolicy] = []
    connections: list[ConfiguredConnection] = []


class Request(Model):
    """What ``up``, ``down`` and ``rekey`` are asked with."""

    connection: str
    child: str | None = None
    seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    ike: bool = Field(default=False, description="the IKE SA instead of its Child SAs")


class Done(Model):
    """It was done."""

    text: list[str] = []
