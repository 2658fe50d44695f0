"""What can be set, its default, its bounds, and why it is there."""

from __future__ import annotations

import json
import re
import socket
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

SECRETS = ("redis_url", "broker_url", "database_url", "control_token")
"""Settings that may hold a password: each can be given as the path of a file, ``<name>_file``, instead."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
SHORTEST_TOKEN = 16


LOOPBACK = ["127.0.0.0/8", "::1/128"]

IDLE_TIMEOUTS = {"gt06": 900.0, "teltonika": 7200.0}
"""Protocols whose devices are silent for longer by design: heartbeats every 3 to 5 minutes, and a parked Teltonika an hour."""


class Admission(StrEnum):
    """Who may come in."""

    OPEN = "open"
    """Every device: one that was never seen is created."""
    KNOWN = "known"
    """Only devices that were added before."""
    CREDENTIAL = "credential"
    """Only those that show the credential which was set for them; where a protocol has none, known ones."""


class AckRule(StrEnum):
    """When the ack of a device that has been let in leaves."""

    COMMIT = "commit"
    """When the message is stored: what is acked is never lost."""
    ACCEPT = "accept"
    """When the broker has it: lost if the broker loses it."""
    RECEIVE = "receive"
    """At once: lost if the gateway ends before the broker or the spool has it."""


class CommandEffect(StrEnum):
    """What a command does to a device."""

    QUERY = "query"
    """It reads."""
    CONFIGURE = "configure"
    ACTUATE = "actuate"
    """It does something in the world."""
    RAW = "raw"
    """An expert's bytes."""


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class Settings(BaseSettings):
    """One set of settings for gateway, worker and commands; each part reads what it needs."""

    model_config = SettingsConfigDict(
        env_prefix="IOTGW_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    var: Path = Field(Path("var"), description="folder of everything that is kept on this machine")
    redis_url: str = Field(
        repr=False, default="redis://127.0.0.1:6379/0", description="Redis of mailboxes: redis://host:port/db or unix:///path?db=0"
    )
    redis_url_file: Path | None = Field(None, description="file that holds redis_url")
    broker_url: str = Field(
        repr=False, default="", description="Celery broker, redis:// or amqp://; empty: redis_url's next database"
    )
    broker_url_file: Path | None = Field(None, description="file that holds broker_url")
    database_url: str = Field(
        repr=False, default="", description="sqlite:///path or postgresql://user:password@host/name; empty: SQLite in var"
    )
    database_url_file: Path | None = Field(None, description="file that holds database_url")

    gateway_id: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="this gateway's name, unique in the fleet",
    )
    listen: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="endpoints per protocol, one or a list, e.g. listen.jt808 = ['tcp:6808', 'tls:6809']",
    )
    trusted_proxies: list[str] = Field(
        LOOPBACK, description="addresses and networks of proxies; on haproxy: endpoints nobody else may connect"
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the certificate of tls: endpoints, with what is between it and its root"
    )
    tls_key: Path | None = Field(None, description="PEM file of its key, without password; empty: in tls_certificate too")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of authorities whose certificates devices may show; empty: they are not asked"
    )
    tls_require_client: bool = Field(False, description="true: a device without such a certificate may not come in")
    tls_minimum: str = Field("1.2", pattern=r"^1\.[23]$", description="oldest version of TLS, 1.2 or 1.3")
    protocols: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="options per protocol, see its page, e.g. protocols.modbus.maps = '/etc/iotgw/modbus'",
    )
    admission: Admission = Field(
        Admission.OPEN,
        description="open: unknown devices are created; known: they are refused; credential: a device must show its own too",
    )
    admissions: dict[str, Admission] = Field(
        default_factory=dict, description="the same per protocol, e.g. admissions.native = 'credential'"
    )

    acks: dict[str, AckRule] = Field(
        default_factory=dict,
        description="when acks leave, per protocol, e.g. acks.jt808 = 'commit'; accept and receive may lose what they ack",
    )

    batch_messages: int = Field(2000, ge=1, le=10_000, description="a batch leaves at so many messages")
    batch_bytes: int = Field(1 << 20, ge=1024, le=1 << 26, description="or at so many bytes of bodies, such as photos")
    batch_delay_seconds: Annotated[float, Field(ge=0, le=10)] = Field(
        0.03, description="or after so long for each batch that is without a receipt"
    )
    batches_in_flight: int = Field(32, ge=1, le=10_000, description="batches without a receipt before more go to the spool")
    spool_bytes: int = Field(
        1 << 30, ge=0, le=1 << 42, description="size of the spool on the disk before reading pauses; 0: no spool, pause at once"
    )
    spool_folder: Path | None = Field(None, description="folder that the spool's folder is made in; empty: var")
    receipt_timeout_seconds: Seconds = Field(10, description="a batch without a receipt is published again after so long")
    identify_timeout_seconds: Seconds = Field(30, description="a link that has no session by then is closed")
    idle_timeout_seconds: Seconds = Field(
        300, description="a link that sends nothing for so long is closed; 6 times later while it waits for an answer"
    )
    idle_timeouts: dict[str, Seconds] = Field(
        IDLE_TIMEOUTS, description="the same per protocol, for devices that are silent for longer, e.g. idle_timeouts.jt808 = 900"
    )
    keep_alive_idle_seconds: int = Field(
        240, ge=0, le=32_767, description="a link that is silent for so long is asked by the kernel whether it is there; 0: never"
    )
    keep_alive_interval_seconds: int = Field(30, ge=1, le=32_767, description="and again after so long")
    keep_alive_probes: int = Field(4, ge=1, le=127, description="so often; without an answer the link is closed")
    shutdown_timeout_seconds: Seconds = Field(15, description="how long a stopping gateway waits for receipts")
    max_links: int = Field(15_000, ge=1, le=1_000_000, description="links a gateway keeps; more are closed at once")
    unlimited_addresses: list[str] = Field(
        LOOPBACK,
        description="addresses and networks without bounds per address, such as a proxy that does not tell whom it brings",
    )
    links_per_address: int = Field(
        10_000, ge=1, le=1_000_000, description="links of one address (IPv6: /64); many devices share one behind a NAT"
    )
    unidentified_per_address: int = Field(2_000, ge=1, le=1_000_000, description="of these, links that have no session")
    links_per_second: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        200, description="new links of one address a second; 0: no bound"
    )
    links_burst: int = Field(2_000, ge=1, le=1_000_000, description="new links of one address at once, after it had few")
    messages_per_second: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        200, description="messages of one device a second; its link is not read from while there are more; 0: no bound"
    )
    messages_burst: int = Field(2_000, ge=1, le=1_000_000, description="messages of one device at once, after it sent few")
    close_strangers: dict[str, bool] = Field(
        default_factory=dict, description="false for a protocol that looks like HTTP or the like, e.g. close_strangers.mine = false"
    )
    ban_offences: int = Field(
        20,
        ge=0,
        le=10_000,
        description="an address without sessions is banned when so many of its links sent no messages; 0: never",
    )
    ban_window_seconds: Seconds = Field(60, description="within so long")
    ban_seconds: Seconds = Field(600, description="for so long")
    max_bans: int = Field(10_000, ge=1, le=1_000_000, description="bans kept, of addresses and of devices each")
    devices_per_link: int = Field(
        256, ge=1, le=100_000, description="devices that may share a link; one that claims more is closed"
    )
    malformed_in_a_row: int = Field(10, ge=1, le=10_000, description="a link that sends so many bad frames in a row is closed")
    statistics_seconds: Seconds = Field(60, description="how often a gateway logs its counters")

    stale_after_seconds: Annotated[float, Field(gt=0, le=31_536_000)] = Field(
        900, description="a device that is online and silent for longer is called stale"
    )

    retention_days: int = Field(
        0, ge=0, le=36_500, description="reports are kept for so many days, on PostgreSQL until their month is so old; 0: for ever"
    )
    quarantine_retention_days: int = Field(0, ge=0, le=36_500, description="the same for messages in quarantine; 0: for ever")
    event_retention_days: int = Field(0, ge=0, le=36_500, description="the same for devices' events; 0: for ever")
    five_minute_retention_days: int = Field(
        90, ge=0, le=36_500, description="channels by five minutes are kept for so many days; 0: for ever"
    )
    hour_retention_days: int = Field(730, ge=0, le=36_500, description="the same for channels by hours; 0: for ever")
    day_retention_days: int = Field(0, ge=0, le=36_500, description="the same for channels of days; 0: for ever")
    command_retention_days: int = Field(
        0, ge=0, le=36_500, description="commands that have ended are kept for so many days; 0: for ever"
    )
    day_timezone: str = Field("UTC", description="time zone whose days are summed up, by its IANA name, e.g. Asia/Shanghai")

    worker_memory_bytes: int = Field(
        1 << 29, ge=0, le=1 << 40, description="a worker's process that holds more after a task is replaced; 0: never"
    )

    control_listen: str = Field(
        "tcp:6880:interface=127.0.0.1", description="endpoint of the control API over HTTP, on loopback; off: none"
    )
    control_token: str = Field(
        repr=False, default="", description="what callers of the control API show, 16 characters at the least; iotgw up makes one"
    )
    control_token_file: Path | None = Field(None, description="file that holds control_token")
    control_tasks: list[str] = Field(["tasks.devices.summary"], description="tasks that may be run over the control API")
    control_commands: list[CommandEffect] = Field(
        [CommandEffect.QUERY, CommandEffect.CONFIGURE],
        description="effects of commands that may be asked for over the control API: query, configure, actuate, raw",
    )

    media_folder: Path | None = Field(None, description="folder of photos and other files of devices; empty: var/media")
    media_file_bytes: int = Field(
        1 << 28, ge=1024, le=1 << 31, description="a longer file of a device is declined, and nothing of it kept"
    )
    media_quota_bytes: int = Field(
        0, ge=0, le=1 << 50, description="size of the media folder; what is above waits in the database; 0: no bound"
    )
    media_spare_bytes: int = Field(
        1 << 30, ge=0, le=1 << 50, description="what the media folder leaves free of its disk; what is above waits in the database"
    )
    media_days: int = Field(0, ge=0, le=36_500, description="files are removed after so many days; 0: never")

    export_rows: int = Field(5_000_000, ge=1, le=1_000_000_000, description="an export of more rows is refused")
    export_bytes: int = Field(
        1 << 31, ge=1 << 20, le=1 << 42, description="one whose file grows larger is ended, and nothing of it kept"
    )
    export_days: int = Field(30, ge=1, le=36_500, description="files of exports are removed after so many days")

    files_cache_bytes: int = Field(
        1 << 26, ge=1 << 20, le=1 << 40, description="of files that go down to devices, what a gateway keeps in memory"
    )

    commands_per_minute: int = Field(30, ge=1, le=10_000, description="commands that may be asked of one device a minute")

    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error")
    log_format: LogFormat = Field(LogFormat.TEXT, description="text for people, json for machines: one object a line")

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, value: str) -> str:
        return _with_scheme(value, ("redis", "rediss", "unix"), "redis://host:6379/0")

    @field_validator("broker_url")
    @classmethod
    def _check_broker(cls, value: str) -> str:
        return value and _with_scheme(value, ("redis", "rediss", "redis+socket", "amqp", "amqps"), "amqp://user:password@host//")

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: str) -> str:
        return value and _with_scheme(value, ("sqlite", "postgresql", "postgres"), "postgresql://user:password@host/name")

    @field_validator("control_token")
    @classmethod
    def _check_token(cls, value: str) -> str:
        if value and (len(value) < SHORTEST_TOKEN or not value.isascii() or not value.isprintable() or " " in value):
            raise ValueError(f"give at least {SHORTEST_TOKEN} letters and digits, such as openssl rand -hex 32 makes")
        return value

    @field_validator("day_timezone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("there is no such time zone: give an IANA name, for example Asia/Shanghai or UTC") from None
        return value

    @field_validator("protocols")
    @classmethod
    def _read_options(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The environment knows text only: a number, true, false or a table is meant as one, as JSON writes it."""
        return {name: {option: _option(given) for option, given in table.items()} for name, table in value.items()}

    @field_validator("idle_timeouts")
    @classmethod
    def _add_idle_timeouts(cls, value: dict[str, float]) -> dict[str, float]:
        return {**IDLE_TIMEOUTS, **value}

    @field_validator("unlimited_addresses", "trusted_proxies")
    @classmethod
    def _check_addresses(cls, value: list[str]) -> list[str]:
        for network in value:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"{error}: give addresses or networks such as 10.0.0.0/8") from error
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: dict[str, object]) -> dict[str, object]:
        for name in SECRETS:
            path = values.get(f"{name}_file")
            if not path:
                continue
            if values.get(name):
                raise ValueError(f"{name} and {name}_file are both set: keep one")
            try:
                values[name] = Path(str(path)).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ValueError(
                    f"{name}_file: {path} cannot be read ({error.strerror}): give a file this user may read"
                ) from error
        return values

    @model_validator(mode="after")
    def _check_listeners(self) -> Self:
        for protocol in self.listen:
            if not all(endpoint.strip() for endpoint in self.endpoints(protocol)) or not self.endpoints(protocol):
                raise ValueError(f"listen.{protocol} is empty: give a Twisted endpoint such as tcp:6808, or leave the key out")
        if self.tls_require_client and self.tls_client_ca is None:
            raise ValueError("tls_require_client needs tls_client_ca: give the file of the authority of your devices' certificates")
        return self

    def admission_of(self, protocol: str) -> Admission:
        return self.admissions.get(protocol, self.admission)

    def endpoints(self, protocol: str) -> list[str]:
        """What is set for a protocol to listen on; nothing if it is left to the protocol."""
        given = self.listen.get(protocol, [])
        return [given] if isinstance(given, str) else given

    @property
    def effective_broker_url(self) -> str:
        return self.broker_url or _next_database(self.redis_url)

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.var / 'iotgw.sqlite3').absolute()}"

    @property
    def effective_media_folder(self) -> Path:
        return (self.media_folder or self.var / "media").absolute()

    @property
    def own_token_file(self) -> Path:
        """Where ``iotgw up`` keeps the control token that it makes."""
        return self.var / "control-token"

    @property
    def effective_spool_folder(self) -> Path:
        """A folder for each gateway: several may share a host, its settings and its disk."""
        return (self.spool_folder or self.var) / f"spool-{self.gateway_id}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))


def _option(given: Any) -> Any:
    if not isinstance(given, str) or not re.fullmatch(r"true|false|-?\d{1,18}|-?\d+\.\d+|\{.*\}|\[.*\]", given.strip(), re.DOTALL):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given


def _with_scheme(url: str, schemes: tuple[str, ...], example: str) -> str:
    scheme, found, _ = url.partition("://")
    if not found or scheme not in schemes:
        raise ValueError(f"must begin with one of {', '.join(name + '://' for name in schemes)}, for example {example}")
    return url


def _next_database(redis_url: str) -> str:
    """The broker's URL on the same Redis: the database after the mailboxes', so that neither sees the other's keys."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        number = int(dict(pair.partition("=")[::2] for pair in parts.query.split("&")).get("db") or 0)
        return f"redis+socket://{parts.path}?virtual_host={number + 1}"
    number = int(parts.path.strip("/") or 0)
    return urlunsplit(parts._replace(path=f"/{number + 1}"))
