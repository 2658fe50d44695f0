"""HTTP/1.1 under the routes: tokens, bounds, time-outs, and errors that are JSON."""

# ruff: noqa: N802 (Twisted calls these, by these names)

from __future__ import annotations

import hmac
import json
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

import structlog
from pydantic import BaseModel
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ThrottlingFactory, ThrottlingProtocol
from twisted.python.failure import Failure
from twisted.web.http import HTTPFactory, Request

from iotgw.control.openapi import document
from iotgw.control.page import CONTENT_TYPE, page
from iotgw.control.reach import Reach
from iotgw.control.route import Answer, Asked, ControlError, Route, read_body, read_query
from iotgw.control.routes import ROUTES

log = structlog.get_logger(__name__)

MOST_CONNECTIONS = 64
"""Scrapers, probes and a few people. More are closed at once, so that links keep their descriptors."""
MOST_BODY_BYTES = 64 * 1024
IDLE_SECONDS = 30
"""A connection that asks nothing, or does not go on asking, is closed after so long."""
JSON = "application/json"
NO_TOKEN = (
    "no control_token is set, so that nobody may ask for this: set IOTGW_CONTROL_TOKEN_FILE to a file with one "
    "(openssl rand -hex 32) and restart the gateway"
)


class ControlSite(HTTPFactory):
    """Makes a channel of each connection, whose requests the routes answer."""

    noisy = False

    def __init__(self, reach: Reach, reactor: Any) -> None:
        super().__init__(timeout=IDLE_SECONDS, reactor=reactor)
        self.reach = reach
        self.routes = (
            Route("GET", "/", "What there is, as a page", lambda _: self.page, CONTENT_TYPE, is_open=True),
            *ROUTES,
            Route("GET", "/openapi.json", "The same as a document for programs", lambda _: self.document, JSON, is_open=True),
        )
        described = document(self.routes)
        self.document, self.page = json.dumps(described).encode(), page(described)
        self.token = reach.settings.control_token.encode()

    def buildProtocol(self, addr: Any) -> Any:
        channel: Any = super().buildProtocol(addr)
        channel.requestFactory = lambda *arguments: ControlRequest(self, *arguments)
        return channel

    def log(self, request: Any) -> None:
        """Nothing for each request: the counters know."""


class CountedProtocol(ThrottlingProtocol):
    """A connection that counts, and is freed when it ends."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        # Twisted's stays tied in a circle with its channel. For a prober that connects anew each time, the garbage
        # collector would untie thousands of them in one go, for 10 ms in which nobody is served.
        self.producer = None


def make_site(reach: Reach, reactor: Any) -> Any:
    """What listens on ``control_listen``."""
    counting = ThrottlingFactory(ControlSite(reach, reactor), maxConnectionCount=MOST_CONNECTIONS)
    counting.protocol = CountedProtocol  # type: ignore[assignment]
    return counting


class ControlRequest(Request):
    """One request: found, allowed, read, answered; each with an error of its own when it is not so."""

    def __init__(self, site: ControlSite, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._site = site
        self._statistics = site.reach.gateway.statistics
        self._body = bytearray()
        self._body_bytes = 0
        self._waits: Deferred[Any] | None = None

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()  # where Twisted looks for forms, which nobody sends here
        self._count_body(length or 0)

    def handleContentChunk(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes <= MOST_BODY_BYTES:
            self._body += data

    def process(self) -> None:
        self._statistics.count("control.requests")
        self.notifyFinish().addErrback(self._hung_up)
        waits = self._waits = maybeDeferred(self._answer)
        waits.addCallback(self._send_answer)
        waits.addErrback(self._send_failure)
        waits.addErrback(lambda failure: log.error("control request failed", cause=failure.getErrorMessage()))

    def _answer(self) -> Answer | Deferred[Any]:
        route, path = self._route()
        self.route = route
        if not route.is_open:
            self._check_token()
        if self._body_bytes > MOST_BODY_BYTES:
            raise ControlError(413, "body_too_long", f"the body is longer than {MOST_BODY_BYTES} bytes")
        query = dict(parse_qsl(self.uri.partition(b"?")[2].decode("latin-1"), keep_blank_values=True))
        given = read_query(route.query, query), read_body(route.body, bytes(self._body))
        peer = getattr(self.getClientAddress(), "host", "")  # type: ignore[no-untyped-call]
        return route.answer(Asked(self._site.reach, path, *given, peer))

    def _route(self) -> tuple[Route, dict[str, str]]:
        """Raises: ControlError when nothing is there, or it takes no such method."""
        path, method = self.path.decode("latin-1"), self.method.decode("latin-1")
        found = [(route, values) for route in self._site.routes if (values := route.match(path)) is not None]
        if not found:
            raise ControlError(404, "unknown_path", "there is nothing here: /openapi.json says what there is")
        for route, values in found:
            if route.method == method or (route.method, method) == ("GET", "HEAD"):
                return route, values
        allowed = ", ".join(route.method for route, _ in found)
        self._set_header(b"Allow", allowed.encode())
        raise ControlError(405, "wrong_method", f"this path takes {allowed} and nothing else")

    def _check_token(self) -> None:
        """Raises: ControlError when there is no token, or another one."""
        if not self._site.token:
            raise ControlError(403, "token_not_set", NO_TOKEN)
        scheme, _, token = (self.getHeader(b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            self._set_header(b"WWW-Authenticate", b"Bearer")
            raise ControlError(401, "no_token", "send the control token in a header: Authorization: Bearer <token>")
        if not hmac.compare_digest(token.strip(), self._site.token):
            self._set_header(b"WWW-Authenticate", b'Bearer error="invalid_token"')
            raise ControlError(401, "wrong_token", "this is not the gateway's control token")

    def _send_answer(self, answer: Answer) -> None:
        route = self.route
        status = route.status if route.status_of is None else route.status_of(answer)
        if isinstance(answer, BaseModel):
            self._send(status, JSON, answer.model_dump_json().encode())
        elif isinstance(answer, bytes):
            self._send(status, JSON, answer)
        else:
            self._send(status, str(route.told), answer.encode())

    def _send_failure(self, failure: Failure) -> None:
        if failure.check(CancelledError) and self._disconnected:
            return
        error = failure.value
        if not isinstance(error, ControlError):
            log.error("control request failed", path=self.path, exc_info=error)
            error = ControlError(500, "fault", "a fault of the gateway's; its log says more")
        self._statistics.count(f"control.errors.{error.code}")
        body = {"error": {"code": error.code, "message": str(error), **error.more}}
        self._send(error.status, JSON, json.dumps(body).encode())

    def _send(self, status: int, kind: str, data: bytes) -> None:
        if self._disconnected:
            return
        self.setResponseCode(status)
        self._set_header(b"Content-Type", kind.encode())
        self._set_header(b"Content-Length", str(len(data)).encode())
        self._set_header(b"Cache-Control", b"no-store")
        # The page has a style and nothing else; what a device calls itself, in JSON, must not become one.
        self._set_header(b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
        self._set_header(b"X-Content-Type-Options", b"nosniff")
        self.write(data)  # type: ignore[no-untyped-call]
        self.finish()  # type: ignore[no-untyped-call]

    def _set_header(self, name: bytes, value: bytes) -> None:
        self.setHeader(name, value)  # type: ignore[no-untyped-call]

    def _hung_up(self, _: Failure) -> None:
        """The caller is gone, and whatever it waited for is not wanted."""
        if self._waits is not None:
            self._waits.cancel()

    def _count_body(self, length: int) -> None:
        """A length that is told and too long is known before the body comes: nobody waits for its end."""
        if length > MOST_BODY_BYTES:
            self._statistics.count("control.requests")
            self._statistics.count("control.errors.body_too_long")
            text = {"error": {"code": "body_too_long", "message": f"the body is longer than {MOST_BODY_BYTES} bytes"}}
            data = json.dumps(text).encode()
            lines = ["HTTP/1.1 413 Content Too Large", f"Content-Type: {JSON}", f"Content-Length: {len(data)}", "Connection: close"]
            channel: Any = self.channel
            channel.transport.write("\r\n".join([*lines, "", ""]).encode() + data)
            channel.loseConnection()
