"""What can be set, its default, its bounds, and why it is there."""

from __future__ import annotations

import json
import re
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

SECRETS = ("redis_url", "broker_url", "database_url")
"""Settings that may hold a password: each can be given as the path of a file, ``<name>_file``, instead."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Admission(StrEnum):
    """Who may come in."""

    OPEN = "open"
    """Every device: one that was never seen is created."""
    KNOWN = "known"
    """Only devices that were added before."""


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
    listen: dict[str, str] = Field(
        default_factory=dict, description="Twisted endpoint per protocol, e.g. listen.jt808 = 'tcp:6808'"
    )
    protocols: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="options per protocol, see its page, e.g. protocols.modbus.maps = '/etc/iotgw/modbus'",
    )
    admission: Admission = Field(Admission.OPEN, description="open: unknown devices are created; known: they are refused")

    batch_messages: int = Field(800, ge=1, le=10_000, description="a batch leaves at so many messages")
    batch_bytes: int = Field(1 << 20, ge=1024, le=1 << 26, description="or at so many bytes of bodies, such as photos")
    batch_delay_seconds: Annotated[float, Field(ge=0, le=10)] = Field(0.03, description="or after so long")
    batches_in_flight: int = Field(64, ge=1, le=10_000, description="batches without a receipt before reading pauses")
    receipt_timeout_seconds: Seconds = Field(10, description="a batch without a receipt is published again after so long")
    identify_timeout_seconds: Seconds = Field(30, description="a link that has no session by then is closed")
    idle_timeout_seconds: Seconds = Field(300, description="a link that sends nothing for so long is closed")
    shutdown_timeout_seconds: Seconds = Field(15, description="how long a stopping gateway waits for receipts")
    max_links: int = Field(15_000, ge=1, le=1_000_000, description="links a gateway keeps; more are closed at once")
    devices_per_link: int = Field(
        256, ge=1, le=100_000, description="devices that may share a link; one that claims more is closed"
    )
    malformed_in_a_row: int = Field(10, ge=1, le=10_000, description="a link that sends so many bad frames in a row is closed")
    statistics_seconds: Seconds = Field(60, description="how often a gateway logs its counters")

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

    @field_validator("protocols")
    @classmethod
    def _read_options(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The environment knows text only: a number, true, false or a table is meant as one, as JSON writes it."""
        return {name: {option: _option(given) for option, given in table.items()} for name, table in value.items()}

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
        for protocol, endpoint in self.listen.items():
            if not endpoint.strip():
                raise ValueError(f"listen.{protocol} is empty: give a Twisted endpoint such as tcp:6808, or leave the key out")
        return self

    @property
    def effective_broker_url(self) -> str:
        return self.broker_url or _next_database(self.redis_url)

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.var / 'iotgw.sqlite3').absolute()}"

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
