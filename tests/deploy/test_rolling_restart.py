"""Two gateways on one port of one host, restarted one after the other while devices report."""

from __future__ import annotations

from tests.deploy.gateways import Gateways


def test_nothing_is_lost_when_gateways_that_share_a_port_are_restarted_in_turn(
    start_child, tmp_path, sqlite_url, redis_broker_url, redis_url
):
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_BROKER_URL": redis_broker_url, "IOTGW_REDIS_URL": redis_url}
    gateways = Gateways(start_child, tmp_path, IOTGW_LOG_LEVEL="debug", **urls)
    port = gateways.start("a", "tcp:0:interface=127.0.0.1")
    endpoint = f"tcp:{port}:interface=127.0.0.1"
    assert gateways.start("b", endpoint) == port
    simulator = gateways.simulate(port, devices=40, interval=0.5, duration=12, settle=60)
    gateways.wait_for_acks(simulator, 200)
    devices = gateways.sessions("a") | gateways.sessions("b")
    assert len(devices) == 40
    assert gateways.sessions("a")
    assert gateways.sessions("b")
    for name, other in ("ab", "ba"):
        counted = gateways.stop(name)
        assert counted["messages"] == counted["messages.settled"], "what was read was stored and answered"
        simulator.wait_until(lambda other=other: gateways.sessions(other) == devices, "all devices are on the other one")
        gateways.wait_for_acks(simulator, 100)
        gateways.start(name, endpoint)
    assert gateways.verify(simulator) == f"0 lost, 0 duplicated, {gateways.acked} stored"
    assert gateways.acked > 600
