import dataclasses
import io
import itertools
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from sr_pipeline.datasets.keras_generators import load_keras_model, save_keras_model
from sr_pipeline.errors import UserError
from sr_pipeline.inference.engines.tensorflow_engine import TensorFlowEngine
from sr_pipeline.inference.folded_generator import Convolution, load_folded
from sr_pipeline.inference.folding import fold, read_folded
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters
from tests.inference.conftest import VARIANTS, build_random

WHOLE = (slice(None), slice(None))


def arrays(generator):
    layers = [
        generator.head,
        *itertools.chain(*generator.blocks),
        generator.trunk,
        *generator.upsampling_blocks,
        generator.tail,
        *generator.refinement,
    ]
    return [array for layer in layers for array in dataclasses.astuple(layer) if array is not None]


@pytest.mark.parametrize("normalization", [True, False])
@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("output", [pytest.param("tanh", marks=pytest.mark.slow), "linear"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_folded_computes_the_same(normalization, padding, output, variant, rng):
    """But for rounding of float32, which a dozen layers of values around 1 carry on, and for clipping."""
    chosen = {"batch_normalization": normalization, "padding": padding, "output": output}
    model = build_random(**VARIANTS[variant] | chosen)
    lr = rng.random((9, 14, 3), np.float32)
    expected = np.clip(model(lr[np.newaxis]).numpy()[0], -1, 1)
    engine = TensorFlowEngine(fold(model), "float32")
    assert expected.std() > 0.05
    assert np.allclose(engine.enlarge(engine.features(lr), WHOLE), expected, atol=1e-5)


def test_slopes_above_one(rng):
    model = build_random()
    model.get_layer("head_prelu").set_weights([np.full((1, 1, 4), 1.5)])
    lr = rng.random((9, 14, 3), np.float32)
    engine = TensorFlowEngine(fold(model), "float32")
    assert np.allclose(engine.enlarge(engine.features(lr), WHOLE), model(lr[np.newaxis])[0], atol=1e-5)


def test_a_file_is_read_as_keras_loads_it(random_model, tmp_path):
    save_keras_model(random_model, tmp_path / "generator.keras")
    read, folded = read_folded(tmp_path / "generator.keras"), fold(load_keras_model(tmp_path / "generator.keras"))
    assert (read.padding, read.upsampling) == (folded.padding, folded.upsampling)
    assert all(np.array_equal(a, b) for a, b in zip(arrays(read), arrays(folded), strict=True))


def test_the_generator_of_a_run_is_read(finished):
    generator = read_folded(finished.path("data/06_models/generator.keras"))
    assert (generator.filters, len(generator.blocks), generator.padding) == (4, 1, "reflect")


def test_reading_imports_neither_tensorflow_nor_keras(random_file):
    program = (
        "import sys; from sr_pipeline.inference.folding import read_folded; read_folded(sys.argv[1]); "
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program, random_file], check=True)


def test_multiplications_of_the_full_network():
    """33 convolutions 3x3 per pixel in the trunk, 16 and 64 of 2x2 in the upsampling blocks, not 36 and 144 of 1x1."""
    generator = fold(build_generator(GeneratorParameters()))
    assert generator.features_macs == 9 * 9 * 3 * 64 + 33 * 9 * 64 * 64
    assert generator.enlarging_macs == (16 + 64) * 64 * 64 + 16 * 9 * 9 * 64 * 3
    assert generator.features_reach == 4 + 32 + 1


def test_multiplications_of_direct_upsampling():
    generator = fold(build_generator(GeneratorParameters(upsampling="direct", blocks=8)))
    assert generator.enlarging_macs == 9 * 64 * 48
    assert (generator.features_reach, generator.enlarging_reach) == (4 + 16 + 1, 1)


def test_multiplications_of_a_refinement():
    parameters = {"upsampling": "direct", "blocks": 8, "refinement": {"filters": 16, "layers": 2}}
    generator = fold(build_generator(GeneratorParameters(**parameters)))
    assert generator.enlarging_macs == 9 * 64 * 16 * (3 + 16) + 16 * 9 * ((3 + 16) * 16 + 16 * 3)
    assert generator.enlarging_reach == 2


CHANGES = ["another activation", "a layer more", "other inputs", "another kernel", "another order"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_differs_in_anything_is_refused(change):
    model = build_random(**VARIANTS["refined"] if change == "another order" else {})
    config = model.get_config()
    layers = {layer["name"]: layer for layer in config["layers"]}
    if change == "another activation":
        layers["super_resolved"]["config"]["activation"] = "sigmoid"
    elif change == "another kernel":
        layers["block2_conv1"]["config"]["kernel_size"] = (1, 1)
        layers["block2_conv1_pad"]["config"]["pad_width"] = ((0, 0), (0, 0), (0, 0), (0, 0))
    elif change == "other inputs":
        text = json.dumps(layers["block2_add"]["inbound_nodes"])
        layers["block2_add"]["inbound_nodes"] = json.loads(text.replace('"block1_add"', '"head_prelu"'))
    elif change == "another order":
        (joined,) = layers["refinement_concat"]["inbound_nodes"]
        joined["args"] = (joined["args"][0][::-1],)
    other = keras.Model.from_config(config)
    if change == "a layer more":
        other = keras.Model(other.input, keras.layers.Rescaling(1.0)(other.output))
    with pytest.raises(UserError, match="is not a generator of this software"):
        fold(other)


def test_files_that_are_no_generator(tmp_path):
    with pytest.raises(UserError, match="there is no model file"):
        read_folded(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("no zip")
    with pytest.raises(UserError, match=r"text\.keras is not a Keras model"):
        read_folded(tmp_path / "text.keras")
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(UserError, match=r"zip\.keras is not a Keras model"):
        read_folded(tmp_path / "zip.keras")
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.UpSampling2D(4)(inputs)).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match=r"other\.keras is not a generator of this software"):
        read_folded(tmp_path / "other.keras")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("float16", 2**-11)])
def test_saving(dtype, tolerance, random_model, tmp_path):
    generator = fold(random_model)
    digest = generator.save(tmp_path / "a.npz", dtype)
    assert generator.save(tmp_path / "b.npz", dtype) == digest
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = load_folded(io.BytesIO((tmp_path / "a.npz").read_bytes()))
    for attribute in ("padding", "upsampling", "output"):
        assert getattr(loaded, attribute) == getattr(generator, attribute)
    for a, b in zip(arrays(loaded), arrays(generator), strict=True):
        assert a.dtype == np.float32
        assert np.allclose(a, b, rtol=tolerance, atol=2**-24 * bool(tolerance))


def test_other_npz_files_are_refused(tmp_path):
    np.savez(tmp_path / "pickled.npz", padding=np.array("zero"), head=np.array([Convolution], dtype=object))
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "text.npz").write_text("no zip")
    for file in tmp_path.iterdir():
        with pytest.raises(UserError, match="is not a file of a folded generator"):
            load_folded(file)


def test_the_reach_is_what_the_generator_sees(random_model):
    """A changed pixel changes the enlargement nearly as far as the reach, and no further."""
    lr = np.random.default_rng(2).uniform(size=(1, 41, 41, 3)).astype(np.float32)
    changed = lr.copy()
    changed[0, 20, 20] = 1 - changed[0, 20, 20]
    before, after = (random_model(pixels).numpy()[0] for pixels in (lr, changed))
    rows = np.flatnonzero(np.abs(after - before).max(axis=(1, 2)) > 1e-6) // 4
    seen = max(20 - rows.min(), rows.max() - 20)
    assert fold(random_model).reach - 2 <= seen <= fold(random_model).reach
