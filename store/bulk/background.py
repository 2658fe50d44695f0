"""Statements that PostgreSQL is at while this process goes on.

psycopg waits for each statement's answer, and so would worker and server take turns. libpq does not have to wait; nor does the
server need to be told twice, since a simple query may hold several statements of which one is a COPY.
Source: PostgreSQL's manual, "Asynchronous Command Processing" and "Functions Associated with the COPY Command".
"""

from __future__ import annotations

import select
from typing import Any, NoReturn

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

_BYTES_A_WRITE = 1 << 15
"""libpq takes longer data over and over again while it does not fit its buffer (psycopg, issue 255)."""
_FAULTS = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)


class Background:
    """At most one query at a time on a connection, which is taken until :meth:`wait` returns."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._pgconn = connection.pgconn
        self._encoding = connection.info.encoding
        self._is_running = False

    def copy(self, query: bytes, rows: bytes) -> None:
        """Begin a query of which the first statement is a COPY of ``rows``. It is sent when this returns, and not answered.

        Raises: psycopg.Error
        """
        pgconn = self._pgconn
        pgconn.send_query(query)
        self._is_running = True
        self._until_answered()
        begun = pgconn.get_result()
        if begun is None or begun.status != ExecStatus.COPY_IN:
            self._drain()
            self._refuse(begun)
        for start in range(0, len(rows), _BYTES_A_WRITE):
            while not pgconn.put_copy_data(rows[start : start + _BYTES_A_WRITE]):
                self._until_sent()
        while not pgconn.put_copy_end():
            self._until_sent()
        self._until_sent()

    def wait(self) -> None:
        """Until all of the query is done.

        Raises: psycopg.Error, of the class that psycopg has for what the server says; the connection can be used then.
        """
        if self._is_running and (fault := self._drain()):
            self._refuse(fault)

    def _drain(self) -> PGresult | None:
        """Take all answers that there will be; the first of them that is a fault."""
        fault = None
        while True:
            self._until_answered()
            result = self._pgconn.get_result()
            if result is None:
                self._is_running = False
                return fault
            if result.status in _FAULTS:
                fault = fault or result

    def _until_answered(self) -> None:
        """Wait in Python, where a signal is heard of, and not in libpq."""
        poll = self._poll(select.POLLIN)
        while self._pgconn.is_busy():
            poll.poll()
            self._pgconn.consume_input()

    def _until_sent(self) -> None:
        """What the server says meanwhile is taken in: one that cannot tell may not listen."""
        poll = self._poll(select.POLLIN | select.POLLOUT)
        while self._pgconn.flush():
            if any(event & ~select.POLLOUT for _, event in poll.poll()):
                self._pgconn.consume_input()

    def _poll(self, events: int) -> select.poll:
        poll = select.poll()
        poll.register(self._pgconn.socket, events)
        return poll

    def _refuse(self, result: PGresult | None) -> NoReturn:
        state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode() if result else ""
        text = result.get_error_message(self._encoding) if result else self._pgconn.get_error_message(self._encoding)
        try:
            kind = psycopg.errors.lookup(state)
        except KeyError:
            kind = psycopg.OperationalError
        raise kind(text)
