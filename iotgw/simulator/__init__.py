"""Simulated devices: real TCP links, believable tracks, and the memory of what was not acked."""

from iotgw.simulator.fleet import Fleet, FleetPlan

__all__ = ["Fleet", "FleetPlan"]
