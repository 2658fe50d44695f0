"""Notices as HTTP POST requests, signed.

    POST <address>                                      a JSON array of notices
    webhook-id: msg_<digest of the body>        ──▶
    webhook-timestamp: <seconds>                        2xx                    taken
    webhook-signature: v1,<base64> v1,<base64>  ◀──     400, 409, 413, 415, 422: refused
                                                        410                    gone
                                                        anything else          tried again

Source: Standard Webhooks 1.0.0. Every secret of the target signs, so that one is replaced without a gap.

The total time-out is a deadline over the whole request, from the name's resolution to the last byte of the answer: a
server that sends a byte a second would pass one that counts from read to read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ssl
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Annotated, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.forward.address import AddressForm
from tasks.forward.credentials import AbsolutePath, secret_lines
from tasks.forward.target import GoneError, Notice, RefusedError, TargetKind, TryAgainError

ADDRESS = AddressForm("URL of HTTP", ("http", "https"), "https://example.com/hooks/iotgw")
SECRET_PREFIX = "whsec_"
LEAST_SECRET_BYTES, MOST_SECRET_BYTES = 24, 64
"""As the standard has them."""
MOST_SECRETS = 8
REFUSED = frozenset({400, 409, 413, 415, 422})
"""Answers about what is sent. 401, 403, 404 and the like are about where it is sent: a path or a proxy that somebody will mend, and
until then everything would be refused."""
GONE = 410
ANSWER_BYTES = 65_536
"""Read of an answer, so that its connection can be used again; one that is longer is cut."""
TOLD_CHARACTERS = 120

Seconds = Annotated[float, Field(gt=0, le=300)]


class WebhookOptions(BaseModel):
    """What may be set for a webhook."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret_file: AbsolutePath | None = None
    """A file of secrets, whsec_ and base64 of 24 to 64 bytes, one on each line."""
    secret_variable: str | None = None
    """The environment variable that holds them instead."""
    ca_file: AbsolutePath | None = None
    """PEM file of authorities; without it the system's."""
    connect_seconds: Seconds = 5.0
    total_seconds: Seconds = 30.0
    batch_notices: Annotated[int, Field(ge=1, le=1_000)] = 200
    batch_bytes: Annotated[int, Field(ge=1_024, le=1 << 24)] = 1 << 20

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if (self.secret_file is None) == (self.secret_variable is None):
            raise ValueError(
                "give secret_file or secret_variable: without a signature anybody could write to the subscriber. "
                'echo "whsec_$(openssl rand -base64 32)" makes a secret'
            )
        return self


def check_address(address: str) -> None:
    """Raises: ValueError"""
    parts = ADDRESS.parts(address)
    if " " in address:
        raise ADDRESS.other(address)
    if parts.username is not None or parts.fragment:
        raise ADDRESS.fault("a user, a password or a fragment does not belong into it, the signature says who sends")


def secrets_of(lines: Iterable[str]) -> list[bytes]:
    """Raises: TryAgainError, which names none of them."""
    found = []
    for number, line in enumerate(lines, 1):
        try:
            secret = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if not LEAST_SECRET_BYTES <= len(secret) <= MOST_SECRET_BYTES:
            raise TryAgainError(
                f"secret {number} is none: {SECRET_PREFIX} and {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes in base64 is one"
            )
        found.append(secret)
    if len(found) > MOST_SECRETS:
        raise TryAgainError(f"{len(found)} secrets, {MOST_SECRETS} is the most")
    return found


def signature(secrets: Iterable[bytes], id: str, timestamp: int, body: bytes) -> str:
    """One for each secret, with blanks between them."""
    signed = f"{id}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


class Answer(BaseModel):
    """What of an answer counts."""

    status: int
    retry_after: str
    text: str


class Webhook:
    """A URL that notices are posted to, one request at a time."""

    def __init__(self, address: str, options: WebhookOptions) -> None:
        self._address = address
        self._options = options
        self._runner: asyncio.Runner | None = None
        self._client: httpx.AsyncClient | None = None
        self.most_notices = options.batch_notices
        self.most_bytes = options.batch_bytes

    def open(self) -> None:
        try:
            context = ssl.create_default_context(cafile=self._options.ca_file)
        except OSError as error:  # an SSLError is one
            raise TryAgainError(f"{self._options.ca_file} cannot be read as PEM ({error.strerror})") from error
        self._runner = asyncio.Runner()
        # Between bytes as long as in all: the deadline over everything is what counts.
        timeout = httpx.Timeout(self._options.total_seconds, connect=self._options.connect_seconds)
        self._client = httpx.AsyncClient(
            verify=context,
            timeout=timeout,
            # Neither a proxy's address nor a password for the host comes from somewhere else than the target's options.
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            headers={"user-agent": f"iotgw/{version('iotgw')}", "content-type": "application/json", "accept-encoding": "identity"},
        )

    def close(self) -> None:
        runner, client, self._runner, self._client = self._runner, self._client, None, None
        if runner is not None and client is not None:
            with runner:
                runner.run(client.aclose())

    def send(self, notices: Sequence[Notice]) -> None:
        assert self._runner is not None
        body = b"[" + b",".join(notice.body for notice in notices) + b"]"
        headers = self._signed(body)
        try:
            answer = self._runner.run(self._post(body, headers))
        except TimeoutError as error:
            raise TryAgainError(f"no whole answer within {self._options.total_seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            raise TryAgainError(_fault(error)) from error
        _judge(answer, [notice.id for notice in notices])

    async def _post(self, body: bytes, headers: dict[str, str]) -> Answer:
        assert self._client is not None
        async with (
            asyncio.timeout(self._options.total_seconds),
            self._client.stream("POST", self._address, content=body, headers=headers) as response,
        ):
            beginning = b""
            async for part in response.aiter_raw():
                beginning += part
                if len(beginning) > ANSWER_BYTES:
                    break
        text = " ".join(beginning[: 4 * TOLD_CHARACTERS].decode("utf-8", "replace").split())
        told = "".join(character if character.isprintable() else "\ufffd" for character in text[:TOLD_CHARACTERS])
        return Answer(status=response.status_code, retry_after=response.headers.get("retry-after", ""), text=told)

    def _signed(self, body: bytes) -> dict[str, str]:
        secrets = secrets_of(secret_lines(self._options.secret_file, self._options.secret_variable))
        id, timestamp = f"msg_{hashlib.sha256(body).hexdigest()[:32]}", int(time.time())
        return {
            "webhook-id": id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secrets, id, timestamp, body),
        }


def _judge(answer: Answer, ids: Sequence[str]) -> None:
    """Raises: TryAgainError, RefusedError, GoneError"""
    if 200 <= answer.status < 300:
        return
    reason = f"answered {answer.status}" + (f": {answer.text}" if answer.text else "")
    if answer.status == GONE:
        raise GoneError(reason)
    if answer.status in REFUSED:
        raise RefusedError(ids, reason)
    if 300 <= answer.status < 400:
        reason = f"answered {answer.status}: redirects are not followed, give the address it leads to"
    raise TryAgainError(reason, _seconds(answer.retry_after))


def _seconds(retry_after: str) -> float:
    """Until then, of a number of seconds or a date; 0 of anything else."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        date = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


def _fault(error: Exception) -> str:
    """In one line. httpx puts what went wrong below it into the cause's text, or nowhere."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:TOLD_CHARACTERS] if text else type(error).__name__


WEBHOOK = TargetKind("webhook", WebhookOptions, check_address, Webhook)
