import importlib.util
import os
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sr_pipeline.cli.export import export
from sr_pipeline.cli.upscale import upscale
from sr_pipeline.datasets.keras_generators import load_keras_model
from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.metrics import measure
from sr_pipeline.imaging.metrics import Original
from sr_pipeline.inference import engines
from sr_pipeline.inference.engines import ENGINES, choose_engine, fastest_engine
from sr_pipeline.inference.folded_generator import rounded_kernel, to_bfloat16
from sr_pipeline.inference.folding import fold, read_folded
from sr_pipeline.inference.upscaler import Upscaler
from sr_pipeline.packaged import generator_file
from sr_pipeline.processor import computes_bfloat16
from tests.conftest import NEEDS_BFLOAT16

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

needs_openvino = pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="needs the extra openvino")
FLOAT32 = ["float32", "onnx", pytest.param("openvino", marks=needs_openvino)]
BFLOAT16 = [
    pytest.param("bfloat16", marks=NEEDS_BFLOAT16),
    pytest.param("openvino-bfloat16", marks=[NEEDS_BFLOAT16, needs_openvino]),
]


def run(program, *arguments, **environment):
    """What a new Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", BFLOAT16)
def test_bfloat16_holds_the_quality_of_float32(trained, shared, name):
    """At most 0.02 dB PSNR-Y on Set5; a trained network, because random ones round to worse."""
    upscalers = [Upscaler(choose_engine(trained, engine)) for engine in ("float32", name)]
    psnr = []
    for file in sorted((shared / "data/benchmarks/Set5").rglob("*.png")):
        hr = np.asarray(Image.open(file).convert("RGB"))
        original = Original(hr[: hr.shape[0] // 4 * 4, : hr.shape[1] // 4 * 4], 4)
        psnr.append([measure(original, upscale(original.lr), ["psnr_y"])["psnr_y"] for upscale in upscalers])
    exact, rounded = np.mean(psnr, axis=0)
    assert len(psnr) == 5
    assert exact > 25  # bicubic interpolation has 28.4: there is quality that could be lost
    assert abs(rounded - exact) <= 0.02


@pytest.mark.parametrize("name", BFLOAT16)
@pytest.mark.parametrize("network", ["trained", "fidelity", "perceptual"])
def test_bfloat16_keeps_colours(trained, photograph, network, name):
    """What rounding adds is noise of less than a grey level, and no tint."""
    generator = trained if network == "trained" else read_folded(generator_file(network))
    exact, rounded = (
        Upscaler(choose_engine(generator, engine))(photograph[:100, :120]).astype(int) for engine in ("float32", name)
    )
    assert not np.array_equal(rounded, exact)
    assert np.abs(rounded - exact).mean() < 0.4
    assert np.abs((rounded - exact).mean(axis=(0, 1))).max() < 0.15


def test_kernels_rounded_to_bfloat16_keep_their_sums(rng):
    """TensorFlow rounds single values alike; of a kernel's taps it would lose more."""
    import tensorflow as tf

    kernel = rng.normal(0, 0.1, (3, 3, 8, 16)).astype(np.float32)
    plain = tf.cast(tf.cast(kernel, tf.bfloat16), tf.float32).numpy()
    assert np.array_equal(to_bfloat16(kernel), plain)
    rounded = rounded_kernel(kernel)
    assert np.array_equal(to_bfloat16(rounded), rounded)
    off, off_plain = (np.abs((values - kernel).sum(axis=(0, 1))).mean() for values in (rounded, plain))
    assert off < 0.6 * off_plain


@pytest.mark.parametrize("name", FLOAT32[1:])
def test_engines_in_float32_compute_the_same(random_model, photograph, name):
    generator, lr = fold(random_model), photograph[:60, :80] / np.float32(255)
    ours, theirs = (Upscaler(choose_engine(generator, engine))(lr) for engine in ("float32", name))
    assert np.abs(ours - theirs).max() <= 1e-5


@pytest.mark.parametrize("name", FLOAT32 + BFLOAT16)
def test_engines_stay_between_black_and_white(name, rng):
    """As their docstrings say, whoever calls them."""
    engine = choose_engine(read_folded(generator_file("fidelity")), name)
    lr = rng.integers(0, 2, (5, 6, 3)).astype(np.float32).repeat(8, 0).repeat(8, 1)
    sr = engine.enlarge(engine.features(lr), (slice(0, 40), slice(0, 48)))
    assert (sr.min(), sr.max()) == (-1, 1)


@pytest.mark.parametrize("name", FLOAT32 + BFLOAT16)
def test_a_picture_has_the_same_bytes_whatever_was_enlarged_before(photograph, name):
    pictures = [photograph[:60, :80], photograph[:33, :200], photograph[:7, :5]]
    used = Upscaler(choose_engine(read_folded(generator_file("fidelity")), name))
    first = [used(picture) for picture in pictures]
    for before, picture in zip(first, pictures, strict=True):
        fresh = Upscaler(choose_engine(read_folded(generator_file("fidelity")), name))
        assert np.array_equal(used(picture), before)
        assert np.array_equal(fresh(picture), before)


def test_a_picture_has_the_same_bytes_alone_and_in_a_folder(photograph, tmp_path):
    """On the command line with engine `auto`; the folder is large enough for the start of a large library to pay."""
    (tmp_path / "folder").mkdir()
    Image.fromarray(photograph[:30, :40]).save(tmp_path / "folder/cat.png")
    for number in range(5):
        Image.fromarray(np.roll(photograph, 10 * number, axis=1)).save(tmp_path / f"folder/other{number}.png")
    program = "import sys\nfrom sr_pipeline.cli.main import main\nsys.argv[0] = 'sr-pipeline'\nmain()"
    run(program, "upscale", "--model", "fidelity", tmp_path / "folder", "-o", tmp_path / "all")
    run(program, "upscale", "--model", "fidelity", tmp_path / "folder/cat.png", "-o", tmp_path / "alone.png")
    assert len(list((tmp_path / "all").iterdir())) == 6
    assert (tmp_path / "alone.png").read_bytes() == (tmp_path / "all/cat.png").read_bytes()


@pytest.mark.parametrize("name", [*FLOAT32, *BFLOAT16])
def test_threads_may_share_an_engine(random_file, name):
    """As requests to a served model do."""
    program = """
import sys, numpy
from concurrent.futures import ThreadPoolExecutor
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.upscaler import Upscaler
upscale = Upscaler(choose_engine(read_folded(sys.argv[1]), sys.argv[2]))
pictures = [numpy.random.default_rng(n).integers(0, 256, (20 + n, 30, 3), numpy.uint8) for n in range(12)]
with ThreadPoolExecutor(4) as threads:
    print(all(numpy.array_equal(a, upscale(b)) for a, b in zip(threads.map(upscale, pictures), pictures)))
"""
    assert run(program, random_file, name) == "True"


def test_the_exported_file_is_the_whole_network(random_model, tmp_path, rng):
    """Alone, for batches and sizes of any kind."""
    from sr_pipeline.inference.engines.onnx_graph import export_onnx

    export_onnx(fold(random_model), tmp_path / "generator.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["generator.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "generator.onnx")
    for shape in ((2, 5, 9, 3), (1, 12, 7, 3)):
        lr = rng.random(shape, np.float32)
        (sr,) = session.run(["sr"], {"lr": lr})
        assert sr.shape == (shape[0], 4 * shape[1], 4 * shape[2], 3)
        assert np.abs(sr - np.clip(random_model(lr).numpy(), -1, 1)).max() <= 1 / 127.5


@pytest.mark.parametrize("network", ["perceptual", "fidelity"])
def test_the_exported_file_stays_between_black_and_white(network, tmp_path, rng):
    """On areas of pure colours, at whose edges the packaged generators go beyond both; the rest is as in Keras."""
    result = CliRunner().invoke(export, [str(tmp_path / "generator.onnx"), "--model", network])
    assert result.exit_code == 0, result.output
    lr = rng.integers(0, 2, (1, 5, 6, 3)).astype(np.float32).repeat(8, 1).repeat(8, 2)
    (sr,) = onnxruntime.InferenceSession(tmp_path / "generator.onnx").run(["sr"], {"lr": lr})
    plain = load_keras_model(generator_file(network))(lr).numpy()
    assert plain.min() < -1.2
    assert plain.max() > 1.2
    assert sr.min() == -1
    assert sr.max() == 1
    assert np.abs(sr - np.clip(plain, -1, 1)).max() < 1e-4


@pytest.mark.parametrize("name", FLOAT32[1:])
def test_others_do_without_tensorflow(random_file, name):
    program = """
import sys, numpy
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.upscaler import Upscaler
engine = choose_engine(read_folded(sys.argv[1]), sys.argv[2])
sr = Upscaler(engine)(numpy.zeros((6, 7, 3), numpy.uint8))
print(engine.name, sr.shape, {"tensorflow", "keras"} & set(sys.modules))
"""
    full_name = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}[name]
    assert run(program, random_file, name) == f"{full_name}, float32 (24, 28, 3) set()"


@pytest.mark.parametrize("name", FLOAT32[1:])
def test_nothing_is_reported_to_the_makers_of_engines(random_file, tmp_path, monkeypatch, name):
    """ONNX Runtime and OpenVINO would do so; both begin with a file in the home folder that identifies the machine."""
    for variable in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI"):
        monkeypatch.delenv(variable, raising=False)
    program = """
import sys, numpy
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.upscaler import Upscaler
Upscaler(choose_engine(read_folded(sys.argv[1]), sys.argv[2]))(numpy.zeros((6, 7, 3), numpy.uint8))
print({name.partition(".")[0] for name in sys.modules} & {"openvino_telemetry"})
"""
    assert run(program, random_file, name, HOME=str(tmp_path)) == "set()"
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("machine", "gpu", "missing", "bfloat16", "expected"),
    [
        ("x86_64", False, [], True, "openvino-bfloat16"),
        ("AMD64", False, [], False, "openvino"),
        ("x86_64", False, ["openvino"], True, "onnx"),
        ("x86_64", False, ["openvino", "tensorflow"], False, "onnx"),
        ("x86_64", False, ["openvino", "onnxruntime"], False, "tensorflow"),
        ("arm64", False, [], False, "onnx"),
        ("x86_64", True, [], True, "tensorflow"),
        ("x86_64", True, ["tensorflow"], False, "openvino"),
    ],
)
def test_machine_and_installation_decide(monkeypatch, machine, gpu, missing, bfloat16, expected):
    monkeypatch.setattr(engines.platform, "machine", lambda: machine)
    monkeypatch.setattr(engines.Path, "exists", lambda path: gpu)
    monkeypatch.setattr(engines, "computes_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None if name in missing else name)
    assert fastest_engine() == expected


@pytest.mark.parametrize("prepare", ["", "import tensorflow", "import onnxruntime"])
def test_what_is_imported_does_not_matter(prepare):
    program = f"{prepare}\nfrom sr_pipeline.inference.engines import fastest_engine\nprint(fastest_engine())"
    assert run(program) == fastest_engine()


def test_auto_is_the_fastest(random_file):
    program = """
import sys
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.engines import choose_engine, fastest_engine
generator = read_folded(sys.argv[1])
print(choose_engine(generator).name == choose_engine(generator, fastest_engine()).name)
"""
    assert run(program, random_file) == "True"


def test_where_only_tensorflow_is_installed(random_file):
    """It takes the others' place, unless they were asked for."""
    program = """
import sys
sys.modules["onnxruntime"] = sys.modules["openvino"] = None
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.engines import choose_engine
print(choose_engine(read_folded(sys.argv[1])).name)
for name in ("onnx", "openvino"):
    try:
        choose_engine(read_folded(sys.argv[1]), name)
    except Exception as error:
        print(type(error).__name__, error)
"""
    first, onnx, openvino = run(program, random_file).splitlines()
    assert first == f"TensorFlow, {'bfloat16' if computes_bfloat16() else 'float32'}"
    assert onnx.startswith("UserError ONNX needs more packages")
    assert "pip install sr-pipeline" in onnx
    assert openvino.startswith("UserError OpenVINO is missing (")
    assert openvino.endswith('): pip install "sr-pipeline[openvino]"')


def test_where_tensorflow_is_missing(random_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match=r'float32 needs TensorFlow: pip install "sr-pipeline\[pipeline\]"'):
        choose_engine(fold(random_model), "float32")


@pytest.mark.parametrize("name", ["bfloat16", pytest.param("openvino-bfloat16", marks=needs_openvino)])
def test_bfloat16_is_not_emulated(random_file, name):
    program = """
import sys
from sr_pipeline.errors import UserError
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.engines import choose_engine
try:
    choose_engine(read_folded(sys.argv[1]), sys.argv[2])
except UserError as error:
    print(error)
"""
    said = run(program, random_file, name, ONEDNN_MAX_CPU_ISA="AVX2", CUDA_VISIBLE_DEVICES="-1")
    assert said.startswith(f"engine {name} needs a processor or GPU that computes in bfloat16, and this is ")


def test_an_engine_that_does_not_exist(random_model):
    with pytest.raises(UserError, match=rf"no engine 'gpu'; choose one of {', '.join(ENGINES)}"):
        choose_engine(fold(random_model), "gpu")


def test_the_command_line_offers_all():
    (option,) = (parameter for parameter in upscale.params if parameter.name == "engine")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == ENGINES
