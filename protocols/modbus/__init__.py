"""Modbus RTU, and MBAP by setting, from DTUs that dial in: the platform asks, by register maps that operators write."""

from protocols.modbus.protocol import ModbusProtocol

MODBUS = ModbusProtocol()

__all__ = ["MODBUS"]
