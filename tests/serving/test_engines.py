import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.metrics import Original
from sr_pipeline.serving.folding import fold
from sr_pipeline.serving.upscaler import Upscaler, choose_engine

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def run(program, *arguments):
    """What a new Python prints."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_bfloat16_holds_the_quality_of_float32(trained, shared):
    """At most 0.02 dB PSNR-Y on Set5; a trained network, because random ones round to worse."""
    upscalers = [Upscaler(choose_engine(trained, name)) for name in ("float32", "bfloat16")]
    psnr = []
    for file in sorted((shared / "data/benchmarks/Set5").rglob("*.png")):
        hr = np.asarray(Image.open(file).convert("RGB"))
        original = Original(hr[: hr.shape[0] // 4 * 4, : hr.shape[1] // 4 * 4], 4)
        psnr.append([original.measure(upscale(original.lr), ["psnr_y"])["psnr_y"] for upscale in upscalers])
    exact, rounded = np.mean(psnr, axis=0)
    assert len(psnr) == 5
    assert exact > 25  # bicubic interpolation has 28.4: there is quality that could be lost
    assert abs(rounded - exact) <= 0.02


def test_bfloat16_keeps_colours(trained, photograph):
    """What rounding adds is noise of less than a grey level, and no tint."""
    exact, rounded = (
        Upscaler(choose_engine(trained, name))(photograph[:100, :120]).astype(int) for name in ("float32", "bfloat16")
    )
    assert not np.array_equal(rounded, exact)
    assert np.abs(rounded - exact).mean() < 0.4
    assert np.abs((rounded - exact).mean(axis=(0, 1))).max() < 0.15


def test_onnx_runtime_computes_the_same(random_model, photograph):
    generator = fold(random_model)
    ours, theirs = (
        Upscaler(choose_engine(generator, name))(photograph[:60, :80]).astype(int) for name in ("float32", "onnx")
    )
    assert np.abs(ours - theirs).max() <= 1


def test_the_exported_file_is_the_whole_network(random_model, tmp_path, rng):
    """Alone, for batches and sizes of any kind."""
    from sr_pipeline.serving.onnx_engine import export_onnx

    export_onnx(fold(random_model), tmp_path / "generator.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["generator.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "generator.onnx")
    for shape in ((2, 5, 9, 3), (1, 12, 7, 3)):
        lr = rng.random(shape, np.float32)
        (sr,) = session.run(["sr"], {"lr": lr})
        assert sr.shape == (shape[0], 4 * shape[1], 4 * shape[2], 3)
        assert np.abs(sr - random_model(lr).numpy()).max() <= 1 / 127.5


def test_onnx_runtime_does_without_tensorflow(random_file):
    program = """
import sys, numpy
from sr_pipeline.serving.folding import read_folded
from sr_pipeline.serving.upscaler import Upscaler, choose_engine
engine = choose_engine(read_folded(sys.argv[1]), "auto", pixels=42)
sr = Upscaler(engine)(numpy.zeros((6, 7, 3), numpy.uint8))
print(engine.name, sr.shape, {"tensorflow", "keras"} & set(sys.modules))
"""
    assert run(program, random_file) == "ONNX Runtime, float32 (24, 28, 3) set()"


def test_where_onnx_runtime_is_missing(random_file):
    """TensorFlow takes its place, unless it was asked for."""
    program = """
import sys
sys.modules["onnxruntime"] = None
from sr_pipeline.serving.folding import read_folded
from sr_pipeline.serving.upscaler import choose_engine
print(choose_engine(read_folded(sys.argv[1]), "auto", pixels=42).name)
try:
    choose_engine(read_folded(sys.argv[1]), "onnx")
except Exception as error:
    print(type(error).__name__, error)
"""
    first, second = run(program, random_file).splitlines()
    assert first.startswith("TensorFlow, ")
    assert second.startswith("UserError ONNX needs more packages")
    assert "pip install sr-pipeline" in second


def test_with_tensorflow_at_hand_it_is_faster(random_model):
    """It has started already: these tests import it."""
    assert choose_engine(fold(random_model), "auto", pixels=1).name.startswith("TensorFlow, ")
    assert choose_engine(fold(random_model)).name.startswith("TensorFlow, ")


def test_an_engine_that_does_not_exist(random_model):
    with pytest.raises(UserError, match=r"no engine 'gpu'; choose one of auto, bfloat16, float32, onnx"):
        choose_engine(fold(random_model), "gpu")
