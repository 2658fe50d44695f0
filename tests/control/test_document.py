"""The OpenAPI document and the metrics say what there is."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from iotgw.control.routes import ROUTES
from tests.control.desk import Desk

OPEN = ("/", "/healthz", "/openapi.json")
"""What tells nothing of the gateway but that it is there, and what it could be asked."""


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_document_is_valid(desk: Desk):
    validate(desk.get("/openapi.json").json)


def test_it_describes_what_is_served_and_nothing_else(desk: Desk):
    paths = desk.get("/openapi.json").json["paths"]
    described = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert described == {(route.method, route.path) for route in ROUTES} | {("GET", "/openapi.json"), ("GET", "/")}
    for method, path in described:
        values = re.sub(r"{(\w+)}", "none", path)
        asking = desk.begin(method, values, b"?")
        if not asking.is_answered:
            # It waits for a worker.
            desk.house.pass_time(10)
        answered = asking.answer()
        assert str(answered.status) in paths[path][method.lower()]["responses"], (method, path, answered)
        assert desk.ask(method, values, token=None).status == (200 if path in OPEN else 401)


def test_the_page_has_every_operation_and_nothing_from_elsewhere(desk: Desk):
    answered = desk.get("/", token=None)
    assert answered.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answered.headers["content-security-policy"]
    told = HTMLParser()
    sources: list[tuple[str, str | None]] = []
    told.handle_starttag = lambda tag, attributes: sources.extend(pair for pair in attributes if pair[0] in ("src", "href"))  # type: ignore[method-assign]
    told.feed(answered.text)
    assert sources == [("href", "/openapi.json")]
    for path, operations in desk.get("/openapi.json").json["paths"].items():
        for method, operation in operations.items():
            assert f"<b>{method.upper()}</b> {path}<" in answered.text
            assert html.escape(operation["summary"]) in answered.text


def test_names_of_operations_are_their_own(desk: Desk):
    operations = [operation for path in desk.get("/openapi.json").json["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] for operation in operations)


def metrics(desk: Desk) -> dict[tuple[str, ...], float]:
    answered = desk.get("/metrics")
    assert answered.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answered.text))
    assert len({family.name for family in families}) == len(families)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_metrics_tell_what_happened(desk: Desk):
    link, _ = desk.house.connect()
    desk.house.say(link, "7 1 hello", "8 1 there")
    desk.house.say(link, "nonsense")
    in_flight = metrics(desk)
    desk.house.commit()
    told = metrics(desk)
    assert in_flight["iotgw_batches_in_flight",] == 1
    assert told["iotgw_batches_in_flight",] == 0
    assert told["iotgw_links",] == told["iotgw_links_opened_total",] == 1
    assert told["iotgw_sessions",] == 2
    assert told["iotgw_messages_total",] == told["iotgw_acks_total",] == 2
    assert told["iotgw_frames_total",] == 3
    assert told["iotgw_malformed_total", "line"] == 1
    assert told["iotgw_received_bytes_total",] == len("7 1 hello\n8 1 there\nnonsense\n")
    assert told["iotgw_sent_bytes_total",] == len("7:1 STORED\n8:2 STORED\n")
    assert told["iotgw_ack_latency_seconds_count",] == told["iotgw_ack_latency_seconds_bucket", "+Inf"] == 2
    assert told["iotgw_queue_depth", "ingest"] == 3
    assert told["iotgw_queue_unacked",] == 2
    assert told["iotgw_spool_state", "off"] == 1
    assert told["iotgw_batches_total", "published"] == 1
    assert told["process_resident_memory_bytes",] > 0


def test_ages_are_of_what_waits(desk: Desk):
    desk.house.clock.advance(10)
    link, _ = desk.house.connect()
    desk.house.say(link, "7 1 hello")
    desk.begin("POST", "/v1/tasks/tasks.devices.summary")
    desk.house.clock.advance(3)
    told = metrics(desk)
    assert (told["iotgw_queue_age_seconds", "ingest"], told["iotgw_queue_age_seconds", "default"]) == (3, 3)
    desk.house.commit()
    assert metrics(desk)["iotgw_queue_age_seconds", "ingest"] == 0


def test_every_counter_comes_out_once(desk: Desk):
    names = [
        "links.closed.peer",
        "links.refused.all",
        "malformed.x",
        "commands.launched",
        "routes.claims",
        "reading.paused",
        "acks.too_late",
        "receipts",
    ]
    for name in names:
        desk.house.statistics.count(name, 5)
    told = metrics(desk)
    assert sorted(key for key, value in told.items() if value == 5) == [
        ("iotgw_commands_total", "launched"),
        ("iotgw_events_total", "acks.too_late"),
        ("iotgw_events_total", "reading.paused"),
        ("iotgw_events_total", "routes.claims"),
        ("iotgw_frames_total",),
        ("iotgw_links_closed_total", "peer"),
        ("iotgw_links_refused_total", "all"),
        ("iotgw_malformed_total", "x"),
        ("iotgw_receipts_total",),
    ]


def test_lag_is_how_late_the_loop_came(desk: Desk):
    desk.reach.lag.start()
    desk.house.clock.advance(0.25)
    assert desk.reach.lag.latest == 0
    desk.house.clock.advance(0.75)
    assert desk.reach.lag.latest == 0.5
    told = metrics(desk)
    assert told["iotgw_reactor_lag_seconds_count",] == 2
    assert told["iotgw_reactor_lag_seconds_bucket", "0.001"] == 1
    assert told["iotgw_reactor_lag_seconds_sum",] == 0.5
    desk.reach.lag.stop()
