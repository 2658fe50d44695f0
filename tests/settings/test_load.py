"""Settings: where they come from, and what is said of unusable ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from iotgw.stack import gateway_command
from settings import Admission, SettingsError, load
from settings.model import Settings

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = gateway_command()


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch, tmp_path):
    import os

    for name in list(os.environ):
        if name.startswith("IOTGW_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_a_file_that_cannot_be_read_is_said(monkeypatch):
    monkeypatch.setenv("IOTGW_CONFIG", "/proc/self/mem")
    with pytest.raises(SettingsError, match=r"^/proc/self/mem: cannot be read \(Input/output error\): give a file"):
        load()


def test_defaults_are_usable():
    settings = load()
    assert settings.admission is Admission.OPEN
    assert settings.effective_broker_url == "redis://127.0.0.1:6379/1"
    assert settings.effective_database_url == f"sqlite:///{Path('var/iotgw.sqlite3').absolute()}"


def test_the_environment_goes_before_the_file(monkeypatch, tmp_path):
    (tmp_path / "iotgw.toml").write_text('batch_messages = 5\nadmission = "known"\n[listen]\njt808 = "tcp:1"\n')
    monkeypatch.setenv("IOTGW_BATCH_MESSAGES", "7")
    settings = load()
    assert (settings.batch_messages, settings.admission, settings.listen) == (7, Admission.KNOWN, {"jt808": "tcp:1"})


def test_another_file_can_be_named(monkeypatch, tmp_path):
    (tmp_path / "other.toml").write_text("batch_messages = 5\n")
    monkeypatch.setenv("IOTGW_CONFIG", str(tmp_path / "other.toml"))
    assert load().batch_messages == 5


def test_a_listener_can_be_set_by_the_environment(monkeypatch):
    monkeypatch.setenv("IOTGW_LISTEN__JT808", "tcp:7000")
    assert load().listen == {"jt808": "tcp:7000"}


def test_a_protocol_may_have_several_listeners(monkeypatch, tmp_path):
    (tmp_path / "iotgw.toml").write_text('[listen]\njt808 = ["tcp:1", "tls:2"]\ngt06 = "tcp:3"\n')
    settings = load()
    assert [settings.endpoints(name) for name in ("jt808", "gt06", "modbus")] == [["tcp:1", "tls:2"], ["tcp:3"], []]
    monkeypatch.setenv("IOTGW_LISTEN__JT808", '["tcp:4", "haproxy:tcp:5"]')
    assert load().endpoints("jt808") == ["tcp:4", "haproxy:tcp:5"]


@pytest.mark.parametrize(
    ("redis_url", "broker_url"),
    [
        ("redis://h:1/3", "redis://h:1/4"),
        ("redis://:secret@h", "redis://:secret@h/1"),
        ("unix:///run/r.sock?db=2", "redis+socket:///run/r.sock?virtual_host=3"),
        ("unix:///run/r.sock", "redis+socket:///run/r.sock?virtual_host=1"),
    ],
)
def test_the_broker_is_redis_next_database_unless_set(redis_url, broker_url):
    assert load(redis_url=redis_url).effective_broker_url == broker_url
    assert load(redis_url=redis_url, broker_url="amqp://b//").effective_broker_url == "amqp://b//"


def test_a_secret_can_stand_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("postgresql://u:p@h/d\n")
    monkeypatch.setenv("IOTGW_DATABASE_URL_FILE", str(tmp_path / "secret"))
    assert load().effective_database_url == "postgresql://u:p@h/d"


def test_secrets_are_not_shown():
    settings = Settings(redis_url="redis://:hush@h/0", broker_url="amqp://u:hush@h//", database_url="postgresql://u:hush@h/d")
    assert "hush" not in repr(settings)
    with pytest.raises(SettingsError) as caught:
        load(database_url="mysql://u:hush@h/d")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("IOTGW_BATCH_MESSAGES", "many", "batch_messages: input should be a valid integer"),
        ("IOTGW_BATCH_MESSAGES", "0", "batch_messages: input should be greater than or equal to 1"),
        ("IOTGW_RECEIPT_TIMEOUT_SECONDS", "-1", "receipt_timeout_seconds: input should be greater than 0"),
        ("IOTGW_ADMISSION", "all", "admission: input should be 'open', 'known' or 'credential'"),
        ("IOTGW_REDIS_URL", "localhost", "redis_url: must begin with one of redis://"),
        ("IOTGW_BROKER_URL", "kafka://x", "broker_url: must begin with one of redis://"),
        ("IOTGW_DATABASE_URL", "mysql://x", "database_url: must begin with one of sqlite://"),
        ("IOTGW_DATABASE_URL_FILE", "nowhere", "database_url_file: nowhere cannot be read (No such file or directory)"),
        ("IOTGW_BATCHMESSAGES", "1", "IOTGW_BATCHMESSAGES: there is no such setting: did you mean IOTGW_BATCH_MESSAGES?"),
        ("IOTGW_CONFIG", "nowhere.toml", "IOTGW_CONFIG: there is no file nowhere.toml"),
        ("IOTGW_LISTEN__JT808", " ", "listen.jt808 is empty"),
        ("IOTGW_LISTEN__JT808", "[]", "listen.jt808 is empty"),
        ("IOTGW_LISTEN__JT808", '["tcp:1", ""]', "listen.jt808 is empty"),
        ("IOTGW_TRUSTED_PROXIES", '["10.0.0.1/8"]', "trusted_proxies: 10.0.0.1/8 has host bits set: give addresses or networks"),
        ("IOTGW_TLS_MINIMUM", "1.1", "tls_minimum: string should match pattern"),
        ("IOTGW_TLS_REQUIRE_CLIENT", "true", "tls_require_client needs tls_client_ca"),
        ("IOTGW_GATEWAY_ID", "a b", "gateway_id: string should match pattern"),
    ],
)
def test_an_unusable_setting_is_one_line_with_its_key(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_misspelt_key_in_the_file_is_named(tmp_path):
    (tmp_path / "iotgw.toml").write_text("batch_mesages = 5\n")
    with pytest.raises(SettingsError, match=r"^batch_mesages: there is no such setting: did you mean batch_messages\?$"):
        load()


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "iotgw.toml").write_text("batch_messages = \n")
    with pytest.raises(SettingsError, match=r"iotgw\.toml: not valid TOML"):
        load()


def test_a_secret_and_its_file_together_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="redis_url and redis_url_file are both set"):
        load(redis_url="redis://h/0", redis_url_file=tmp_path / "secret")


@pytest.mark.parametrize(
    "command",
    [
        GATEWAY,
        [sys.executable, "-m", "iotgw", "up"],
        [sys.executable, "-m", "iotgw", "reports"],
        [sys.executable, "-m", "celery", "-A", "tasks", "worker"],
    ],
    ids=["gateway", "up", "reports", "worker"],
)
def test_every_part_ends_with_status_2_and_one_line(command, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "IOTGW_BATCH_MESSAGES": "many"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    fault = "input should be a valid integer, unable to parse string as an integer"
    assert done.stderr == f"iotgw: batch_messages: {fault} (a batch leaves at so many messages)\n"


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ({"IOTGW_LISTEN__JT809": "tcp:1"}, "iotgw: listen.jt809: there is no such protocol: use one of "),
        ({"IOTGW_PROTOCOLS__JT809__X": "1"}, "iotgw: protocols.jt809: there is no such protocol: use one of "),
        ({"IOTGW_PROTOCOLS__JT808__COLOUR": "red"}, "iotgw: protocols.jt808.colour: JT/T 808 has no such option\n"),
        ({"IOTGW_LISTEN__JT808": "carrier-pigeon:1"}, "iotgw: listen.jt808: 'carrier-pigeon:1' is no Twisted endpoint"),
    ],
)
def test_an_unusable_listener_or_option_ends_the_gateway_with_status_2(listen, said, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **listen}
    done = subprocess.run(GATEWAY, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("16", 16),
        ("false", False),
        ("0.5", 0.5),
        ("+08:00", "+08:00"),
        ('{"35": "fmb"}', {"35": "fmb"}),
        ("{no table}", "{no table}"),
        ("/etc/iotgw/modbus", "/etc/iotgw/modbus"),
        ("007", "007"),
    ],
)
def test_options_of_protocols_come_from_the_environment_as_what_they_mean(monkeypatch, given, meant):
    monkeypatch.setenv("IOTGW_PROTOCOLS__GT06__ZONE", given)
    found = load().protocols["gt06"]["zone"]
    assert (found, type(found)) == (meant, type(meant))
