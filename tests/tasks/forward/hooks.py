"""A subscriber to webhooks, in this process: what it was sent, and whatever answer a test wants."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Request(NamedTuple):
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes
    connection: int

    @property
    def ids(self) -> list[str]:
        return [notice["id"] for notice in json.loads(self.body)]


class Reply(NamedTuple):
    status: int = 204
    headers: dict[str, str] = {}  # noqa: RUF012
    body: bytes = b""


class Hook:
    """An HTTP server that answers as ``reply`` says; one that returns None leaves the connection to the test."""

    def __init__(
        self, reply: Callable[[Request, socket.socket], Reply | None] | Reply | None = None, certificate: Path | None = None
    ) -> None:
        self.requests: list[Request] = []
        self.reply = Reply() if reply is None else reply
        self.release = threading.Event()
        """Set when the test is over, for replies that wait."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                request = Request({name.lower(): value for name, value in self.headers.items()}, body, id(self.connection))
                hook.requests.append(request)
                reply = hook.reply if isinstance(hook.reply, Reply) else hook.reply(request, self.connection)
                if reply is None:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            def do_GET(self) -> None:
                hook.requests.append(Request({"got": self.path}, b"[]", 0))

            def log_message(self, *_: Any) -> None:
                """The test says what is of interest."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Clients hang up; tests are about that."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def ids(self) -> list[str]:
        """Of all notices that came, in their order, copies among them."""
        return [id for request in list(self.requests) for id in request.ids]

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
