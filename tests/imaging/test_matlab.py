import numpy as np
import pytest

from sr_pipeline.evaluation.metrics import measure
from sr_pipeline.imaging.matlab import enlarge_as_matlab, reduce_as_matlab, resize_axis
from sr_pipeline.imaging.metrics import Original
from sr_pipeline.imaging.resample import crop_to_multiple, downsample, enlarge
from sr_pipeline.pictures.photographs import read_rgb


def test_the_example_of_another_implementation():
    """bicubic_pytorch (S. Son, version 1.0), whose values are MATLAB's: 0 to 15 as 4x4, reduced to 3x3."""
    values = np.arange(16.0).reshape(4, 4)
    found = resize_axis(resize_axis(values, 3, 3 / 4, 0), 3, 3 / 4, 1)
    expected = [[0.7506, 2.1004, 3.4503], [6.1505, 7.5000, 8.8499], [11.5497, 12.8996, 14.2494]]
    assert found == pytest.approx(np.array(expected), abs=4.1e-4)  # it computes in 32 bits, and printed before rounding


def reduced_loop_by_loop(row, scale):
    """One row of imresize, from its description: kernel widened by the scale, the picture mirrored at its edges."""
    found = []
    for number in range(len(row) // scale):
        centre = (number + 0.5) * scale - 0.5
        total = weights = 0.0
        for position in range(int(centre) - 3 * scale, int(centre) + 3 * scale):
            x = abs(centre - position) / scale
            weight = 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0
            mirrored = (
                -position - 1 if position < 0 else 2 * len(row) - 1 - position if position >= len(row) else position
            )
            total += weight * row[mirrored]
            weights += weight
        found.append(total / weights)
    return found


def test_one_pass_follows_its_definition(rng):
    row = rng.uniform(0, 255, 36)
    assert resize_axis(row, 9, 1 / 4, 0) == pytest.approx(reduced_loop_by_loop(row, 4), rel=1e-12)


def test_both_passes_round_to_8_bits(rng):
    """As imresize does with pictures of 8 bits: rows first."""
    image = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    rows = np.clip(np.floor(np.apply_along_axis(reduced_loop_by_loop, 0, image.astype(float), 4) + 0.5), 0, 255)
    both = np.clip(np.floor(np.apply_along_axis(reduced_loop_by_loop, 1, rows, 4) + 0.5), 0, 255)
    assert np.array_equal(reduce_as_matlab(image, 4), both)


def test_sizes_are_rounded_up(photograph):
    assert reduce_as_matlab(photograph[:41, :43], 4).shape == (11, 11, 3)
    assert enlarge_as_matlab(photograph[:5, :7], 4).shape == (20, 28, 3)


def test_flat_pictures_stay_flat():
    for value in (0, 7, 255):
        flat = np.full((20, 24, 3), value, np.uint8)
        assert (reduce_as_matlab(flat, 4) == value).all()
        assert (enlarge_as_matlab(flat, 4) == value).all()


def test_pillow_differs_at_the_borders_alone(photograph):
    """Within one level inside, by several at the edge: where it cuts the kernel and MATLAB mirrors."""
    image = crop_to_multiple(photograph, 4)
    difference = np.abs(reduce_as_matlab(image, 4).astype(int) - downsample(image, 4))
    assert difference[2:-2, 2:-2].max() <= 1
    assert difference.max() > 1


@pytest.mark.parametrize(("name", "published"), [("Set5", 28.42), ("Set14", 26.00)])
def test_bicubic_has_the_figures_published_with_matlab(shared, name, published):
    """Dong et al. 2016 (SRCNN, arXiv:1501.00092), table 4, row bicubic x4; and Pillow's means within 0.01 dB."""
    from PIL import Image

    means = []
    for reduction, enlargement in (
        (reduce_as_matlab, enlarge_as_matlab),
        (downsample, lambda image, scale: enlarge(image, scale, "bicubic")),
    ):
        found = []
        for file in sorted((shared / "data/benchmarks" / name).glob("*.png")):
            raw = Image.open(file).mode == "L"
            original = Original(crop_to_multiple(read_rgb(file), 4), 4, raw_gray=raw, reduction=reduction)
            found.append(measure(original, enlargement(original.lr, 4), ["psnr_y"])["psnr_y"])
        means.append(np.mean(found))
    assert means[0] == pytest.approx(published, abs=0.011)
    assert means[1] == pytest.approx(means[0], abs=0.01)
