"""Webhooks: what goes over the wire, and what each answer means."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from tasks.forward.registry import KindError, checked_options
from tasks.forward.target import GoneError, Notice, RefusedError, TryAgainError
from tasks.forward.webhook import WEBHOOK, Webhook, WebhookOptions, signature
from tests.certificates import Authority
from tests.tasks.forward.hooks import Hook, Reply, Request

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLDER = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
NOTICES = [Notice(f"reports-{number}", "reports", "fake", "7", "location", b'{"id":"reports-%d"}' % number) for number in (1, 2)]


@pytest.fixture
def hooks() -> Iterator[Callable[..., Hook]]:
    made: list[Hook] = []

    def make(*words: Any, **named: Any) -> Hook:
        made.append(Hook(*words, **named))
        return made[-1]

    yield make
    for hook in made:
        hook.close()


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Callable[..., Webhook]]:
    made: list[Webhook] = []
    (tmp_path / "secret").write_text(f"{SECRET}\n{OLDER}\n")

    def make(url: str, **options: Any) -> Webhook:
        target = Webhook(url, WebhookOptions(**{"secret_file": tmp_path / "secret", **options}))
        made.append(target)
        target.open()
        return target

    yield make
    for target in made:
        target.close()


def test_notices_come_as_one_array_signed_with_every_secret(hooks: Callable[..., Hook], webhook: Callable[..., Webhook]) -> None:
    hook = hooks()
    target = webhook(hook.url)
    target.send(NOTICES)
    target.send(NOTICES)
    first, second = hook.requests
    assert json.loads(first.body) == [{"id": "reports-1"}, {"id": "reports-2"}]
    assert first.headers["content-type"] == "application/json"
    for secret in (SECRET, OLDER):
        Verifier(secret).verify(first.body, first.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(OLDER).verify(first.body.replace(b"1", b"3"), first.headers)
    assert first.headers["webhook-id"] == second.headers["webhook-id"], "what is sent again has its id again"
    assert first.connection == second.connection


def test_our_signature_is_the_library_s() -> None:
    at, body = datetime(2026, 3, 1, 12, tzinfo=UTC), b'[{"text":"\xe7\x94\xb2"}]'
    ours = signature([bytes(range(32))], "msg_1", int(at.timestamp()), body)
    assert ours == Verifier(SECRET).sign("msg_1", at, body.decode())


def test_a_new_secret_is_taken_without_a_restart(
    hooks: Callable[..., Hook], webhook: Callable[..., Webhook], tmp_path: Path
) -> None:
    hook = hooks()
    target = webhook(hook.url)
    (tmp_path / "secret").write_text(OLDER)
    target.send(NOTICES)
    Verifier(OLDER).verify(hook.requests[0].body, hook.requests[0].headers)
    assert len(hook.requests[0].headers["webhook-signature"].split()) == 1


@pytest.mark.parametrize("text", ["", "whsec_short", "whsec_***", f"{SECRET}\n" * 9])
def test_a_secret_that_is_none_is_said_and_not_shown(
    hooks: Callable[..., Hook], webhook: Callable[..., Webhook], tmp_path: Path, text: str
) -> None:
    hook = hooks()
    target = webhook(hook.url)
    (tmp_path / "secret").write_text(text)
    with pytest.raises(TryAgainError, match="secret") as raised:
        target.send(NOTICES)
    assert not hook.requests
    assert not any(line in str(raised.value) for line in text.splitlines())


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_an_answer_about_what_is_sent_refuses_it(hooks: Callable[..., Hook], webhook: Callable[..., Webhook], status: int) -> None:
    hook = hooks(Reply(status, body=b"no such\n\x1b[31m field " + b"x" * 10_000))
    with pytest.raises(RefusedError, match=f"answered {status}: no such \ufffd\\[31m field x") as raised:
        webhook(hook.url).send(NOTICES)
    assert raised.value.ids == {"reports-1", "reports-2"}
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("status", [401, 403, 404, 405, 408, 425, 429, 500, 502, 503, 504])
def test_any_other_answer_is_tried_again(hooks: Callable[..., Hook], webhook: Callable[..., Webhook], status: int) -> None:
    with pytest.raises(TryAgainError, match=f"answered {status}"):
        webhook(hooks(Reply(status)).url).send(NOTICES)


def test_410_says_that_it_is_gone(hooks: Callable[..., Hook], webhook: Callable[..., Webhook]) -> None:
    with pytest.raises(GoneError, match="answered 410"):
        webhook(hooks(Reply(410)).url).send(NOTICES)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("120", 120), ("9" * 400, 999_999_999), ("soon", 0), ("-5", 0)],
    ids=["seconds", "too long", "a word", "less than none"],
)
def test_retry_after_is_understood(hooks: Callable[..., Hook], webhook: Callable[..., Webhook], asked: str, seconds: int) -> None:
    with pytest.raises(TryAgainError) as raised:
        webhook(hooks(Reply(429, {"Retry-After": asked})).url).send(NOTICES)
    assert raised.value.after_seconds == seconds


def test_a_date_to_retry_after_is_understood(hooks: Callable[..., Hook], webhook: Callable[..., Webhook]) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with pytest.raises(TryAgainError) as raised:
        webhook(hooks(Reply(429, {"Retry-After": date})).url).send(NOTICES)
    assert 3_000 <= raised.value.after_seconds <= 3_600


def test_a_redirect_is_not_followed(hooks: Callable[..., Hook], webhook: Callable[..., Webhook]) -> None:
    elsewhere = hooks()
    hook = hooks(Reply(307, {"Location": elsewhere.url}))
    with pytest.raises(TryAgainError, match="redirects are not followed"):
        webhook(hook.url).send(NOTICES)
    assert not elsewhere.requests


def test_one_that_hangs_is_left_after_the_total_time(hooks: Callable[..., Hook], webhook: Callable[..., Webhook]) -> None:
    hook = hooks()
    hook.reply = lambda request, connection: hook.release.wait() and None
    began = time.monotonic()
    with pytest.raises(TryAgainError, match=r"no whole answer within 0\.3 s"):
        webhook(hook.url, total_seconds=0.3).send(NOTICES)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"])
def test_one_that_drips_is_left_after_the_total_time(
    hooks: Callable[..., Hook], webhook: Callable[..., Webhook], beginning: bytes
) -> None:
    """In its headers, or in its body: a time-out from read to read would never end."""
    hook = hooks()

    def drip(request: Request, connection: socket.socket) -> None:
        connection.sendall(beginning)
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000:
            if hook.release.wait(0.02):
                return
            connection.sendall(bytes([byte]))

    hook.reply = drip
    began = time.monotonic()
    with pytest.raises(TryAgainError, match=r"no whole answer within 0\.5 s"):
        webhook(hook.url, total_seconds=0.5).send(NOTICES)
    assert time.monotonic() - began < 5


def test_an_answer_without_end_is_cut(hooks: Callable[..., Hook], webhook: Callable[..., Webhook]) -> None:
    hook, sent = hooks(), []

    def flood(request: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while not hook.release.is_set():
            connection.sendall(bytes(1 << 16))
            sent.append(1 << 16)

    hook.reply = flood
    target = webhook(hook.url)
    target.send(NOTICES)
    hook.reply = Reply()
    target.send(NOTICES)
    assert sum(sent) < 64 << 20
    assert len(hook.requests) == 2


def test_nobody_there_is_tried_again(webhook: Callable[..., Webhook]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TryAgainError, match="ConnectError"):
            webhook(f"http://127.0.0.1:{taken.getsockname()[1]}/").send(NOTICES)


def test_a_certificate_is_verified(hooks: Callable[..., Hook], webhook: Callable[..., Webhook], tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    hook = hooks(certificate=authority.sign("hook"))
    with pytest.raises(TryAgainError, match="CERTIFICATE_VERIFY_FAILED"):
        webhook(hook.url).send(NOTICES)
    with pytest.raises(TryAgainError, match="CERTIFICATE_VERIFY_FAILED"):
        webhook(hook.url, ca_file=other.path).send(NOTICES)
    assert not hook.requests
    webhook(hook.url, ca_file=authority.path).send(NOTICES)
    assert len(hook.requests) == 1


def test_proxies_and_passwords_of_the_environment_are_not_asked(
    hooks: Callable[..., Hook], webhook: Callable[..., Webhook], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hook, proxy = hooks(), hooks()
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ana password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    webhook(hook.url).send(NOTICES)
    assert "authorization" not in hook.requests[0].headers
    assert not proxy.requests


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("ftp://example.com/", "no URL of HTTP"),
        ("https://", "no URL of HTTP"),
        ("https://example.com:0/", "no URL of HTTP"),
        ("https://example.com:70000/", "give one such as"),
        ("https://exa mple.com/", "no URL of HTTP"),
        ("https://ana:s3cret@example.com/", "a user, a password"),
    ],
)
def test_an_address_that_will_not_do_is_said(address: str, fault: str) -> None:
    with pytest.raises(KindError, match=fault):
        checked_options(WEBHOOK, address, {"secret_variable": "X"})


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "give secret_file or secret_variable"),
        ({"secret_variable": "X", "secret_file": "/y"}, "give secret_file or secret_variable"),
        ({"secret_file": "hub.secret"}, "secret_file: give the whole path"),
        ({"secret_variable": "X", "secret": "whsec_"}, "secret: there is no such option"),
        ({"secret_variable": "X", "batch_notices": 100_000}, "batch_notices: input should be less than or equal to 1000"),
        ({"secret_variable": "X", "total_seconds": 0}, "total_seconds: input should be greater than 0"),
    ],
)
def test_options_that_will_not_do_are_said(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(KindError, match=fault):
        checked_options(WEBHOOK, "https://example.com/", options)


def test_no_thread_is_left(hooks: Callable[..., Hook], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    hook = hooks()
    before = set(threading.enumerate())
    target = Webhook(hook.url, WebhookOptions(secret_file=tmp_path / "secret"))
    target.open()
    target.send(NOTICES)
    target.close()
    assert not [thread for thread in set(threading.enumerate()) - before if "process_request" not in thread.name]
