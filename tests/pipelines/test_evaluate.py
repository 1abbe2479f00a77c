from functools import partial

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from sr_pipeline.datasets.keras_generators import save_keras_model
from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.evaluation.pictures import pictures_of
from sr_pipeline.imaging.matlab import enlarge_as_matlab, reduce_as_matlab
from sr_pipeline.imaging.metrics import PSNR_LIMIT
from sr_pipeline.imaging.resample import crop_to_multiple, downsample, enlarge
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters, LpipsParameters, PerceptualParameters
from sr_pipeline.pipelines.evaluate import nodes
from sr_pipeline.tracking.messages import flatten
from sr_pipeline.tracking.registry import score_of
from tests.conftest import REPOSITORY, enlarged_by_keras

NO_NETWORKS = (LpipsParameters(weights=None), PerceptualParameters(weights="untrained"))
BASIC = EvaluateParameters(metrics=["psnr_y", "ssim_y"], detail_size=48)


@pytest.fixture
def images(tmp_path, photograph):
    rows = []
    for number, (split, status) in enumerate([("val", "ok"), ("train", "ok"), ("val", "excluded"), ("val", "ok")]):
        file = tmp_path / f"photo{number}.png"
        Image.fromarray(photograph[: 120 + number]).save(file)
        row = {"id": 10 - number, "file": str(file), "split": split, "status": status, "sha256": str(number)}
        rows.append(row | {"mode": "RGB", "width": photograph.shape[1], "height": 120 + number})
    return pd.DataFrame(rows)


@pytest.fixture
def listed(images):
    return nodes.list_measured_pictures(images, BASIC, 0)


@pytest.fixture
def super_resolved(listed):
    """A generator that is perfect on one photograph and dark on the other."""
    first, second = pictures_of(listed)
    return {
        f"val/srgan/{first.image}": lambda: Image.fromarray(first.original().hr),
        f"val/srgan/{second.image}": lambda: Image.fromarray(second.original().hr // 2),
    }


def measured(listed, super_resolved, parameters=BASIC):
    matched = nodes.match_histograms(listed, super_resolved, parameters)
    return matched, nodes.measure_methods(listed, super_resolved, matched, parameters, *NO_NETWORKS)


def test_methods_are_measured_against_the_original(listed, super_resolved):
    matched, per_image = measured(listed, super_resolved)
    assert sorted(matched) == ["val/srgan_matched/photo0", "val/srgan_matched/photo3"]
    assert list(per_image.columns) == ["set", "image", "method", "psnr_y", "ssim_y"]
    psnr = per_image.set_index(["image", "method"])["psnr_y"]
    assert psnr["photo3", "srgan"] == PSNR_LIMIT
    assert psnr["photo0", "srgan"] < 15
    assert psnr["photo0", "srgan_matched"] > psnr["photo0", "srgan"] + 10
    assert psnr["photo0", "bicubic"] > psnr["photo0", "nearest"]


def test_the_reference_of_matching_is_the_input(listed, super_resolved):
    lr = pictures_of(listed)[1].low_resolution()
    matched = np.asarray(nodes.match_histograms(listed, super_resolved, BASIC)["val/srgan_matched/photo0"]())
    assert matched.min() >= lr.min()
    assert matched.max() <= lr.max()
    to_enlarged = EvaluateParameters(matching={"reference": "enlarged"})
    other = np.asarray(nodes.match_histograms(listed, super_resolved, to_enlarged)["val/srgan_matched/photo0"]())
    assert not np.array_equal(matched, other)
    bicubic = enlarge(lr, 4, "bicubic")
    assert other.min() >= bicubic.min()
    assert other.max() <= bicubic.max()


def test_means_by_set_and_method():
    rows = [("a", "bicubic", 20.0), ("a", "srgan", 30.0), ("b", "bicubic", 30.0), ("b", "srgan", np.nan)]
    per_image = pd.DataFrame([{"set": "val", "image": i, "method": m, "lpips": v, "ssim_y": 0.5} for i, m, v in rows])
    per_image["never"] = np.nan
    assert nodes.average_metrics(per_image) == {
        "val": {"bicubic": {"lpips": 25.0, "ssim_y": 0.5}, "srgan": {"lpips": 30.0, "ssim_y": 0.5}}
    }


def test_the_log_states_the_number_of_pictures(caplog):
    rows = [("a", 0.1), ("b", np.nan)]
    per_image = pd.DataFrame(
        [{"set": "val", "image": i, "method": "srgan", "psnr_y": 20.0, "lpips": v} for i, v in rows]
    )
    with caplog.at_level("INFO"):
        nodes.average_metrics(per_image)
    assert "val, mean of 2 images, lpips of 1:" in caplog.text


def test_a_flat_picture_keeps_every_method_in_the_tables(tmp_path, photograph):
    """All methods reproduce it exactly: the best by PSNR is still the one that is best on the other picture."""
    Image.fromarray(np.full((60, 60, 3), 90, np.uint8)).save(tmp_path / "flat.png")
    Image.fromarray(photograph[:60, :60]).save(tmp_path / "photo.png")
    parameters = EvaluateParameters(metrics=["psnr_y", "psnr_rgb", "consistency"], benchmarks={"b": tmp_path})
    none = pd.DataFrame(columns=["id", "file", "split", "status", "sha256", "mode", "width", "height"])
    listed = nodes.list_measured_pictures(none, parameters, 0)
    saved = {f"b/srgan/{picture.image}": partial(enlarged_bicubically, picture) for picture in pictures_of(listed)}
    _, per_image = measured(listed, saved, parameters)
    assert np.isfinite(per_image[["psnr_y", "psnr_rgb", "consistency"]].to_numpy()).all()
    means = nodes.average_metrics(per_image)["b"]
    assert set(means) == {"nearest", "bicubic", "srgan", "srgan_matched"}
    assert means["bicubic"]["psnr_y"] == means["srgan"]["psnr_y"] > means["nearest"]["psnr_y"]
    evaluation = nodes.describe_evaluation(listed, {}, parameters)
    score = score_of("b/srgan/psnr_y", flatten({"b": means}, separator="/"), evaluation)
    assert score.value == means["srgan"]["psnr_y"], "and it can be registered by that metric"
    statistics = nodes.summarize_metrics(per_image, parameters)["b"]["methods"]
    assert statistics["srgan"]["psnr_y"]["mean"] == pytest.approx(means["srgan"]["psnr_y"])
    assert statistics["srgan"]["psnr_y"]["n"] == 2


def enlarged_bicubically(picture):
    return Image.fromarray(enlarge(picture.low_resolution(), 4, "bicubic"))


def test_a_perfect_picture_breaks_no_sheet_and_no_report(listed, super_resolved):
    matched, per_image = measured(listed, super_resolved)
    sheets = nodes.draw_pictures(listed, super_resolved, matched, per_image, BASIC)
    assert set(sheets) == {f"val/{name}" for name in ("comparison", "errors", "gains", "best_and_worst")}
    assert np.asarray(sheets["val/comparison"]()).std() > 20
    bare = nodes.draw_pictures(listed, super_resolved, {}, per_image, BASIC)
    assert sheets["val/comparison"]().width > bare["val/comparison"]().width, "matched pictures are shown as well"
    statistics = nodes.summarize_metrics(per_image, BASIC)
    assert np.isfinite(statistics["val"]["methods"]["srgan"]["psnr_y"]["mean"])
    evaluation = nodes.describe_evaluation(listed, {"source": "x", "weights": {"srgan": "1"}}, BASIC)
    page = nodes.write_report(listed, super_resolved, matched, per_image, statistics, evaluation, sheets)
    assert "Best and worst cases" in page
    without = nodes.write_report(listed, super_resolved, {}, per_image, statistics, evaluation, sheets)
    assert page.count("data:image") > without.count("data:image")


def test_interpolations_start_from_the_low_resolution_image(listed):
    picture = pictures_of(listed)[0]
    original = picture.original()
    assert original.hr.shape == (120, 448, 3)
    assert np.array_equal(picture.low_resolution(), downsample(crop_to_multiple(original.hr, 4), 4))


def test_reduction_by_matlab_is_that_of_all_nodes(images):
    """Generators get that input, and the method bicubic is MATLAB's too, as in published tables."""
    parameters = EvaluateParameters(metrics=["psnr_y"], reduction="matlab")
    picture = pictures_of(nodes.list_measured_pictures(images, parameters, 0))[0]
    lr = reduce_as_matlab(picture.original().hr, 4)
    assert np.array_equal(picture.low_resolution(), lr)
    by_method = dict(nodes._by_method(picture, lr, {}))
    assert np.array_equal(by_method["bicubic"], enlarge_as_matlab(lr, 4))


def test_what_is_measured_of_the_present_training():
    generators = {"srgan": build_generator(GeneratorParameters(filters=4, blocks=1))}
    run = {"training_id": "abc", "training": {"seed": 0}}
    chosen, facts = nodes.choose_generators(generators, run, EvaluateParameters())
    assert chosen == generators
    assert (facts["source"], facts["training_id"], list(facts["weights"])) == ("present training", "abc", ["srgan"])


def test_a_file_is_measured_in_its_place(tmp_path):
    model = build_generator(GeneratorParameters(filters=4, blocks=1), seed=1)
    save_keras_model(model, tmp_path / "g.keras")
    chosen, facts = nodes.choose_generators({}, {}, EvaluateParameters(model=str(tmp_path / "g.keras")))
    for one, other in zip(chosen["srgan"].get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(one, other)
    _, same = nodes.choose_generators({"srgan": model}, {}, EvaluateParameters())
    assert facts["weights"] == same["weights"], "a hash of weights, not of files"


def test_no_model_file(tmp_path):
    (tmp_path / "bad.keras").write_text("no model")
    with pytest.raises(UserError, match=r"bad\.keras is not a Keras model"):
        nodes.choose_generators({}, {}, EvaluateParameters(model=str(tmp_path / "bad.keras")))
    with pytest.raises(UserError, match=r"there is no model file .*none\.keras"):
        nodes.choose_generators({}, {}, EvaluateParameters(model=str(tmp_path / "none.keras")))


@pytest.fixture(scope="module")
def generator():
    start = {"batch_normalization": False, "initialization": "interpolating"}
    return build_generator(GeneratorParameters(filters=8, blocks=2, **start), seed=2)


@pytest.mark.parametrize("engine", ["float32", "onnx"])
def test_super_resolution_is_of_the_reduced_picture_by_the_generator(listed, generator, engine):
    """By Keras itself, as a whole: to one level in single values, and to 0.001 dB in all figures."""
    parameters = EvaluateParameters(tile=32, engine=engine, metrics=["psnr_y", "ssim_y", "psnr_rgb"])
    saved = nodes.super_resolve_pictures(listed, {"srgan": generator}, parameters)
    plain = {}
    for picture in pictures_of(listed):
        expected = enlarged_by_keras(generator, picture.low_resolution())
        plain[f"val/srgan/{picture.image}"] = partial(Image.fromarray, expected)
        assert np.abs(np.asarray(saved[f"val/srgan/{picture.image}"]()).astype(int) - expected).max() <= 1
    figures, expected = (
        measured(listed, pictures, parameters)[1].set_index(["image", "method"]) for pictures in (saved, plain)
    )
    assert set(figures.index.get_level_values("method")) >= {"srgan", "srgan_matched"}
    pd.testing.assert_frame_equal(figures.drop(columns="set"), expected.drop(columns="set"), rtol=0, atol=0.001)


def test_generators_that_cannot_be_measured(listed, generator):
    inputs = keras.Input((None, None, 3))
    others = [
        keras.Model(inputs, keras.layers.UpSampling2D(4)(inputs)),
        keras.Sequential([inputs, keras.layers.UpSampling2D(4)]),
        Subclassed(),
    ]
    for other in others:
        with pytest.raises(
            UserError, match=r"this model is not a generator of this software .*; name one that it trained"
        ) as e:
            nodes.super_resolve_pictures(listed, {"srgan": other}, EvaluateParameters())
        assert "\n" not in str(e.value)
    with pytest.raises(UserError, match=r"evaluate\.tile=16 is too small for a generator that sees 12 .* at least 25"):
        nodes.super_resolve_pictures(listed, {"srgan": generator}, EvaluateParameters(tile=16))


class Subclassed(keras.Model):
    """Enlarges by 4 in a way that nothing describes."""

    def __init__(self):
        super().__init__()
        self.enlarge = keras.layers.UpSampling2D(4)

    def call(self, pixels):
        return self.enlarge(pixels)


def test_the_engine_is_part_of_the_protocol(listed):
    def protocol(engine):
        return nodes.describe_evaluation(listed, {}, EvaluateParameters(engine=engine))["protocol"]

    assert protocol("float32")["engine"] == "float32"
    assert protocol("auto")["engine"] in {"openvino", "openvino-bfloat16", "onnx", "float32", "bfloat16"}
    assert "onnxruntime" in protocol("onnx")["libraries"].keys() - protocol("float32")["libraries"].keys()


def test_names_of_pictures_stay_names_on_disk(tmp_path):
    """COCO 2017 calls its pictures 000000000139."""
    from kedro.io import AbstractDataset

    catalog = yaml.safe_load((REPOSITORY / "conf/base/catalog_evaluate.yml").read_text())
    dataset = AbstractDataset.from_config("per_image", catalog["per_image"] | {"filepath": str(tmp_path / "table.csv")})
    table = pd.DataFrame(
        {
            "set": ["14", "14"],
            "image": ["000000000139", "NA"],
            "method": "srgan",
            "lpips": [0.5, np.nan],
            "psnr_y": np.inf,
        }
    )
    dataset.save(table)
    pd.testing.assert_frame_equal(dataset.load(), table)
