from functools import reduce
from operator import xor as xor_of_two

from hypothesis import given
from hypothesis import strategies as st

from protocols.checksum import xor


@given(st.binary(max_size=1100))
def test_xor_is_that_of_all_bytes_one_by_one(data: bytes) -> None:
    assert xor(data) == reduce(xor_of_two, data, 0)
