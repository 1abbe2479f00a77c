import numpy as np

from sr_pipeline.imaging.ranges import to_minus_one_one, to_uint8


def test_rounding_to_8_bits():
    assert to_uint8(np.array([-2, -1, 0, 0.999, 1, 2])).tolist() == [0, 0, 128, 255, 255, 255]


def test_every_8_bit_value_comes_back():
    values = np.arange(256, dtype=np.uint8)
    converted = to_minus_one_one(values)
    assert converted.dtype == np.float32
    assert (converted.min(), converted.max()) == (-1, 1)
    assert to_uint8(converted).tolist() == values.tolist()
