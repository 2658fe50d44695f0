from functools import reduce
from operator import xor as xor_of_two

from hypothesis import given
from hypothesis import strategies as st

from protocols.checksum import crc16_arc, crc16_modbus, crc16_x25, xor


@given(st.binary(max_size=1100))
def test_xor_is_that_of_all_bytes_one_by_one(data: bytes) -> None:
    assert xor(data) == reduce(xor_of_two, data, 0)


def test_crcs_have_the_check_values_of_the_catalogue() -> None:
    data = b"123456789"
    assert (crc16_x25(data), crc16_arc(data), crc16_modbus(data)) == (0x906E, 0xBB3D, 0x4B37)
