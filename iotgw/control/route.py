"""What a route is: which request it takes, what answers it, and what the description says of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, ValidationError
from twisted.internet.defer import Deferred

from iotgw.control.reach import Reach


class Given(BaseModel):
    """What a caller gives: nothing that is not described is taken."""

    model_config = ConfigDict(extra="forbid")


class Told(BaseModel):
    """What a caller is told."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class ControlError(Exception):
    """A request that gets an error: its status, a code for programs, a sentence for people."""

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.more = more


@dataclass(frozen=True)
class Asked:
    """A request that fits its route."""

    reach: Reach
    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    peer: str = ""
    """The caller's address."""


Answer = BaseModel | str | bytes
"""JSON, plain text, or JSON that is bytes already."""


@dataclass(frozen=True)
class Route:
    """One line of the table that requests are answered by and the OpenAPI document is written from."""

    method: str
    path: str
    summary: str
    answer: Callable[[Asked], Answer | Deferred[Any]]
    told: type[BaseModel] | str
    """The model of what is answered, or the content type of a text."""
    query: type[Given] | None = None
    body: type[Given] | None = None
    status: int = 200
    errors: Mapping[int, str] = field(default_factory=dict)
    """Statuses of its own, beside those that every route has."""
    tells: frozenset[int] = frozenset()
    """Of these, the ones that are answered with ``told`` and not as an error."""
    is_open: bool = False
    """Whether it is answered without token."""
    describe: str = ""
    status_of: Callable[[Any], int] | None = None
    """The status by what is told, where it is not always the same."""

    def match(self, path: str) -> dict[str, str] | None:
        """The values in a request's path, still quoted there; None if it is not this route's."""
        wanted, given = self.path.split("/"), path.split("/")
        if len(wanted) != len(given):
            return None
        values = {}
        for want, part in zip(wanted, given, strict=True):
            if want.startswith("{"):
                values[want[1:-1]] = unquote(part)
            elif want != part:
                return None
        return values if all(values.values()) else None


def read_query(model: type[Given] | None, given: Mapping[str, str]) -> Given | None:
    """Raises: ControlError when it is not as described."""
    if model is None:
        if given:
            raise ControlError(400, "bad_query", f"there is no parameter {sorted(given)[0][:64]!r} here")
        return None
    try:
        return model.model_validate_strings(dict(given))
    except ValidationError as error:
        raise ControlError(400, "bad_query", _sentence("the query", error)) from error


def read_body(model: type[Given] | None, data: bytes) -> Given | None:
    """Raises: ControlError when it is not as described. No body at all is the empty object."""
    if model is None:
        return None
    try:
        return model.model_validate_json(data.strip() or b"{}", strict=True)
    except ValidationError as error:
        raise ControlError(400, "bad_body", _sentence("the body", error)) from error


def _sentence(what: str, error: ValidationError) -> str:
    """The first fault, where it is and what it is; never the value, which may be long or secret."""
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{what} is not as described{f', at {where[:128]}' if where else ''}: {fault['msg']}"
