"""A subscriber to webhooks as a process of its own, to be killed: it writes down which notices came, then answers.

python -m tests.tasks.forward.recorder PORT FILE
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def main() -> None:
    port, path = int(sys.argv[1]), sys.argv[2]
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            notices = json.loads(self.rfile.read(int(self.headers["content-length"])))
            # One write, so that a kill leaves no half of a line.
            os.write(file, "".join(f"{notice['id']} {notice['identity']}\n" for notice in notices).encode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """It would fill the test's output."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
