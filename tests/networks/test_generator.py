import keras
import numpy as np
import pytest

from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters
from tests.conftest import NEEDS_BFLOAT16, enlarged_by_keras

SMALL = {"filters": 4, "blocks": 2}
DIRECT = {"upsampling": "direct", "output": "linear", "batch_normalization": False}
REFINED = DIRECT | {"refinement": {"filters": 4, "layers": 2}}


def test_full_generator_has_the_parameters_of_the_design():
    head = 9 * 9 * 3 * 64 + 64 + 64
    block = 2 * (3 * 3 * 64 * 64 + 4 * 64) + 64  # BN makes the biases redundant; it has 4 vectors
    trunk = 3 * 3 * 64 * 64 + 4 * 64
    double = 3 * 3 * 64 * 64 + 64 + 64
    tail = 9 * 9 * 64 * 3 + 3
    assert build_generator(GeneratorParameters()).count_params() == head + 16 * block + trunk + 2 * double + tail


def test_subpixel_upsampling_has_four_times_the_filters():
    nearest = build_generator(GeneratorParameters(**SMALL)).count_params()
    subpixel = build_generator(GeneratorParameters(**SMALL, upsampling="subpixel")).count_params()
    assert subpixel - nearest == 2 * 3 * (3 * 3 * 4 * 4 + 4)


def test_the_papers_generator_has_the_parameters_of_its_figure():
    """Sub-pixel convolutions make four times the channels, which the shuffle takes back."""
    trunk = 9 * 9 * 3 * 64 + 64 + 64 + 16 * (2 * (3 * 3 * 64 * 64 + 4 * 64) + 64) + 3 * 3 * 64 * 64 + 4 * 64
    double = 3 * 3 * 64 * 256 + 256 + 64
    papers = build_generator(GeneratorParameters(padding="zero", upsampling="subpixel"))
    assert papers.count_params() == trunk + 2 * double + 9 * 9 * 64 * 3 + 3


def test_direct_upsampling_ends_with_one_convolution_to_all_positions():
    head, block, trunk = 9 * 9 * 3 * 4 + 8, 2 * (3 * 3 * 4 * 4 + 4) + 4, 3 * 3 * 4 * 4 + 4
    direct = build_generator(GeneratorParameters(**SMALL, batch_normalization=False, upsampling="direct"))
    assert direct.count_params() == head + 2 * block + trunk + 3 * 3 * 4 * 48 + 48


def test_refinement_starts_as_if_it_were_not_there(rng):
    lr = rng.uniform(size=(1, 8, 12, 3)).astype(np.float32)
    refined, plain = (build_generator(GeneratorParameters(**SMALL, **variant)) for variant in (REFINED, DIRECT))
    branch = 3 * 3 * 4 * 16 * 4 + 16 * 4 + 4 + (3 * 3 * 7 * 4 + 4 + 4) + (3 * 3 * 4 * 3 + 3)
    assert refined.count_params() == plain.count_params() + branch
    for layer in plain.layers:
        refined.get_layer(layer.name).set_weights(layer.get_weights())
    assert np.array_equal(refined(lr), plain(lr))


def test_in_training_it_computes_the_same_with_other_layers(rng):
    lr = rng.uniform(size=(2, 8, 12, 3)).astype(np.float32)
    for variant in ({}, {"padding": "zero", "upsampling": "subpixel"}, DIRECT, REFINED):
        parameters = GeneratorParameters(**SMALL, **variant)
        fast, plain = build_generator(parameters, for_training=True), build_generator(parameters)
        assert [w.path for w in fast.weights] == [w.path for w in plain.weights]
        for training in (True, False):
            assert np.allclose(fast(lr, training=training), plain(lr, training=training), atol=1e-5)


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"padding": "zero", "upsampling": "subpixel"},
        {"batch_normalization": False},
        {"upsampling": "direct"},
        REFINED,
    ],
)
@pytest.mark.parametrize("shape", [(5, 5), (24, 24), (7, 31)])
def test_any_size_becomes_four_times_as_large(variant, shape, rng):
    generator = build_generator(GeneratorParameters(**SMALL, **variant))
    sr = generator(rng.uniform(size=(2, *shape, 3)).astype(np.float32)).numpy()
    assert sr.shape == (2, 4 * shape[0], 4 * shape[1], 3)
    assert sr.dtype == np.float32
    assert np.all(np.abs(sr) <= 1)


def test_mixed_precision_keeps_float32_weights_and_output():
    mixed = build_generator(GeneratorParameters(**SMALL), dtype="mixed_bfloat16")
    assert {w.dtype for w in mixed.weights} == {"float32"}
    assert mixed.output.dtype == "float32"


@NEEDS_BFLOAT16
def test_mixed_precision_gives_nearly_the_same(rng):
    mixed = build_generator(GeneratorParameters(**SMALL), dtype="mixed_bfloat16")
    exact = build_generator(GeneratorParameters(**SMALL))
    exact.set_weights(mixed.get_weights())
    lr = rng.uniform(size=(1, 24, 24, 3)).astype(np.float32)
    assert np.allclose(mixed(lr), exact(lr), atol=0.05)


def test_weights_follow_the_seed():
    first, same, other = (build_generator(GeneratorParameters(**SMALL), seed=s).get_weights() for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("variant", [{}, {"upsampling": "direct"}, DIRECT])
def test_interpolating_start_enlarges_smoothly(photograph, variant):
    start = {"batch_normalization": False, "initialization": "interpolating"}
    parameters = GeneratorParameters(filters=8, blocks=2, **start | variant)
    lr = photograph[100:160, 150:210]
    sr = enlarged_by_keras(build_generator(parameters), lr).astype(float)
    nearest = enlarge(lr, 4, "nearest").astype(float)
    assert np.corrcoef(sr.ravel(), enlarge(lr, 4, "bicubic").ravel())[0, 1] > 0.99
    steps_between_columns = [np.abs(np.diff(image, axis=1)).max() for image in (sr, nearest)]
    assert steps_between_columns[0] < 0.5 * steps_between_columns[1]


def test_direct_interpolating_start_is_linear_interpolation(photograph):
    start = GeneratorParameters(filters=4, blocks=1, initialization="interpolating", **DIRECT)
    lr = photograph[100:140, 150:190].astype(np.float32) / 255
    sr = build_generator(start)(lr[np.newaxis])[0].numpy()
    expected = keras.ops.image.resize(lr, (160, 160), interpolation="bilinear").numpy() * 2 - 1
    assert np.allclose(sr[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-5)  # edges are mirrored, not repeated


def test_the_saved_model_opens_in_plain_keras(tmp_path, rng):
    generator = build_generator(GeneratorParameters(**SMALL, upsampling="subpixel"))
    generator.save(tmp_path / "g.keras")
    lr = rng.uniform(size=(1, 8, 8, 3)).astype(np.float32)
    assert np.array_equal(keras.saving.load_model(tmp_path / "g.keras")(lr), generator(lr))
    assert {type(layer).__module__.partition(".")[0] for layer in generator.layers} == {"keras"}
