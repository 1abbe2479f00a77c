import gc
import importlib.util
import sys
import weakref

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.measuring import (
    Protocol,
    build_protocol,
    check_metrics,
    chosen_metrics,
    measure_pictures,
)
from sr_pipeline.evaluation.metrics import METRICS, Networks, by_network, measure
from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.evaluation.pictures import Picture
from sr_pipeline.imaging.metrics import Original
from sr_pipeline.imaging.niqe import niqe
from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.networks.parameters import LpipsParameters, PerceptualParameters

NONE = Networks(LpipsParameters(weights=None), PerceptualParameters(weights="untrained"))
PACKAGED = Networks(LpipsParameters(), PerceptualParameters())
WITHOUT_NETWORKS = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "ssim_daala", "consistency", "ciede2000")
ON_REQUEST = ("vgg_distance", "lpips_vgg", "dists", "flip", "niqe")


def test_metrics_by_default_and_on_demand():
    assert chosen_metrics(EvaluateParameters(), NONE) == WITHOUT_NETWORKS
    assert chosen_metrics(EvaluateParameters(), PACKAGED) == (*WITHOUT_NETWORKS, "lpips")
    assert chosen_metrics(EvaluateParameters(metrics=["lpips", "psnr_y"]), NONE) == ("psnr_y", "lpips")
    assert set(METRICS) == {*WITHOUT_NETWORKS, "lpips", *ON_REQUEST}


def test_an_unknown_metric():
    with pytest.raises(ValidationError, match=f"metrics are {', '.join(METRICS)}"):
        EvaluateParameters(metrics=["psnr"])


def test_what_a_metric_needs_is_checked_before_anything_runs(tmp_path):
    check_metrics(EvaluateParameters(), NONE)
    with pytest.raises(UserError, match=r"asks for lpips, which needs its weights: set lpips\.weights"):
        check_metrics(EvaluateParameters(metrics=["lpips"]), NONE)
    with pytest.raises(UserError, match=r"missing\.npz is missing; set lpips\.weights"):
        check_metrics(
            EvaluateParameters(), Networks(LpipsParameters(weights=str(tmp_path / "missing.npz")), NONE.perceptual)
        )
    with pytest.raises(
        UserError, match="asks for vgg_distance, which needs trained weights of VGG19 up to block5_conv4"
    ):
        check_metrics(EvaluateParameters(metrics=["vgg_distance"]), NONE)
    with pytest.raises(UserError, match="asks for vgg_distance, which needs trained weights"):
        check_metrics(EvaluateParameters(metrics=["vgg_distance"]), Networks(NONE.lpips, PerceptualParameters()))
    check_metrics(EvaluateParameters(), PACKAGED)
    with pytest.raises(UserError, match=r"no\.weights\.h5 is missing; set perceptual\.weights"):
        check_metrics(
            EvaluateParameters(metrics=["vgg_distance"]),
            Networks(NONE.lpips, PerceptualParameters(weights="no.weights.h5")),
        )


@pytest.fixture
def pictures(tmp_path, photograph):
    found = []
    for number in range(5):
        file = tmp_path / f"{number}.png"
        Image.fromarray(photograph[number * 30 : number * 30 + 60, :80]).save(file)
        found.append(Picture("val", str(number), str(file)))
    return found


def bicubic_and_nearest(picture, lr):
    for method in ("bicubic", "nearest"):
        yield method, enlarge(lr, 4, method)


def test_the_table_is_the_same_with_any_number_of_threads(pictures):
    protocol = build_protocol(EvaluateParameters(), NONE)
    one, three = (measure_pictures(pictures, bicubic_and_nearest, protocol, workers) for workers in (1, 3))
    assert one.equals(three)
    assert list(one.columns) == ["set", "image", "method", *WITHOUT_NETWORKS]
    assert list(one["image"]) == [name for name in "01234" for _ in range(2)]
    original = pictures[2].original()
    expected = measure(original, enlarge(original.lr, 4, "bicubic"), WITHOUT_NETWORKS)
    assert (
        one[(one["image"] == "2") & (one["method"] == "bicubic")].iloc[0][list(WITHOUT_NETWORKS)].to_dict() == expected
    )


def test_no_more_pictures_are_in_memory_than_threads(pictures):
    """Nor does memory grow with their number: what a picture needed is gone when others are measured."""
    alive, most = weakref.WeakSet(), []

    class Counted(np.ndarray):
        pass

    def methods(picture, lr):
        image = enlarge(lr, 4, "bicubic").view(Counted)
        alive.add(Handle(image))
        most.append(len(alive))
        yield "bicubic", image

    class Handle:
        def __init__(self, image):
            image.handle = self

    protocol = build_protocol(EvaluateParameters(metrics=["psnr_y"]), NONE)
    measure_pictures(pictures * 20, methods, protocol, workers=2)
    gc.collect()
    assert max(most) <= 2 + 1  # one may be on its way out
    assert len(alive) == 0


def test_network_distances_compare_all_methods_with_the_original(pictures):
    seen = []

    def distance(reference, images):
        seen.append((reference.shape, images.shape))
        assert -1 <= images.min() <= images.max() <= 1
        return np.abs(images - reference).mean(axis=(1, 2, 3))

    protocol = Protocol({"psnr_y": METRICS["psnr_y"].prepare(NONE), "lpips": by_network(distance)})
    table = measure_pictures(pictures[:1], bicubic_and_nearest, protocol)
    assert seen == [((1, 60, 80, 3), (2, 60, 80, 3))]
    assert table["lpips"].gt(0).all()


def test_lpips_of_the_authors_example(shared):
    """README of PerceptualSimilarity: distances (0.722, 0.138), here of both pictures at once."""
    from sr_pipeline.pictures.photographs import read_rgb

    pair = shared / "data/lpips_pair"
    lpips = LpipsParameters(weights=str(shared / "weights/lpips_alex.npz"))
    protocol = build_protocol(EvaluateParameters(metrics=["lpips"]), Networks(lpips, NONE.perceptual))
    rows = protocol.measure(
        Original(read_rgb(pair / "ex_ref.png"), 4), {name: read_rgb(pair / f"ex_{name}.png") for name in ("p0", "p1")}
    )
    assert [row["lpips"] for row in rows] == pytest.approx([0.722, 0.138], abs=5e-4)


def test_lpips_leaves_out_pictures_too_small_for_it(photograph):
    protocol = Protocol({"lpips": METRICS["lpips"].prepare(PACKAGED)})
    small, large = (protocol.measure(Original(photograph[:n, :n], 4), {"m": photograph[:n, :n]}) for n in (28, 32))
    assert np.isnan(small[0]["lpips"])
    assert large[0]["lpips"] == 0


def test_vgg_distance_is_the_perceptual_loss(photograph):
    import tensorflow as tf

    from sr_pipeline.networks.features import FeatureExtractor, feature_distance
    from sr_pipeline.training.objectives import perceptual_loss

    extractor = FeatureExtractor("untrained", seed=1)
    first = (photograph[np.newaxis, :32, :48] / np.float32(127.5) - 1).astype(np.float32)
    others = np.concatenate([first, first[:, ::-1], first * np.float32(0.5)])
    distances = feature_distance(extractor, first, others)
    expected = [float(perceptual_loss(extractor(first), extractor(tf.constant(o[np.newaxis])), [1.0])) for o in others]
    assert distances == pytest.approx(expected, rel=1e-4)
    assert distances[0] == 0


def test_networks_measure_without_tensor_float_32(pictures):
    """Which GPUs since Ampere use for float32 unless told otherwise; a training's choice comes back afterwards."""
    import tensorflow as tf

    enabled, seen = tf.config.experimental.tensor_float_32_execution_enabled, []

    def distance(reference, images):
        seen.append(enabled())
        return np.zeros(len(images))

    assert enabled()
    measure_pictures(pictures, bicubic_and_nearest, Protocol({"lpips": by_network(distance)}), workers=3)
    assert seen == [False] * 5
    assert enabled()


@pytest.mark.parametrize("name", ["lpips_vgg", "dists"])
def test_metrics_of_vgg16_need_their_file(tmp_path, name):
    with pytest.raises(UserError, match=f"asks for {name}, which needs weights of VGG16, which do not come with"):
        check_metrics(EvaluateParameters(metrics=[name]), NONE)
    with pytest.raises(UserError, match=r"and there is no file .*no\.npz: set evaluate\.vgg16 to the file that"):
        check_metrics(EvaluateParameters(metrics=[name], vgg16=tmp_path / "no.npz"), NONE)


def test_metrics_of_vgg16_measure_with_their_file(vgg16_file, pictures):
    parameters = EvaluateParameters(metrics=["lpips_vgg", "dists"], vgg16=vgg16_file)
    check_metrics(parameters, NONE)
    table = measure_pictures(pictures[:1], bicubic_and_nearest, build_protocol(parameters, NONE))
    assert list(table.columns) == ["set", "image", "method", "lpips_vgg", "dists"]
    assert (table[["lpips_vgg", "dists"]] > 0).all(axis=None)


def test_flip_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"asks for flip, which needs the package flip-evaluator: pip install"):
        check_metrics(EvaluateParameters(metrics=["flip"]), NONE)


def test_flip_is_the_mean_of_its_authors_map(photograph):
    """0 for equal pictures, 1 at most; black and white fields are as different as can be."""
    pytest.importorskip("flip_evaluator")
    black, white = (np.full((40, 48, 3), value, np.uint8) for value in (0, 255))
    assert measure(Original(black, 4), white, ["flip"])["flip"] == pytest.approx(1, abs=0.05)
    hr = photograph[:80, :80]
    assert measure(Original(hr, 4), hr, ["flip"])["flip"] == 0
    original = Original(hr, 4)
    bicubic, nearest = (
        measure(original, enlarge(original.lr, 4, method), ["flip"])["flip"] for method in ("bicubic", "nearest")
    )
    assert 0 < bicubic < nearest < 1


def test_niqe_is_of_the_picture_alone(photograph):
    """The original does not matter: the enlarged picture inside its border is judged."""
    enlarged, other = photograph[:240, :240], photograph[40:280, 40:280]
    measured = [measure(Original(hr, 4), enlarged, ["niqe"])["niqe"] for hr in (enlarged, other)]
    assert measured[0] == measured[1] == niqe(enlarged[4:-4, 4:-4])
