import pandas as pd
import pytest
from PIL import Image

from sr_pipeline.evaluation.describe import describe_protocol, protocol_of
from sr_pipeline.evaluation.metrics import Networks
from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters, LpipsParameters, PerceptualParameters
from sr_pipeline.pipelines.evaluate import nodes

PLAIN = {"metrics": ["psnr_y", "ciede2000"], "tile": 40}
# Every parameter of an evaluation with another value.
OTHERS = {
    "metrics": ["psnr_y"],
    "max_images": 1,
    "gray": "raw",
    "tile": 41,
    "engine": "onnx",
    "workers": 1,
    "confidence": 0.5,
    "reduction": "matlab",
    "detail_size": 32,
    "shown": 1,
    "matching": {"space": "ycbcr"},
}
CHANGE_FIGURES = {"gray", "matching", "reduction"}
# Sums are taken in another order, so a pixel may be rounded to the next value.
MAY_CHANGE_FIGURES = {"tile", "engine"}
# Others measure something else: the hashes of weights and pictures say so.
OF_OTHER_THINGS = {"model", "benchmarks", "vgg16"}


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    """Evaluate an untrained generator on a small gray photograph: the figures of every method."""
    import skimage.data

    file = tmp_path_factory.mktemp("pictures") / "1.png"
    Image.fromarray(skimage.data.camera()[:200, :240]).save(file)
    row = {"id": 1, "file": str(file), "split": "val", "status": "ok", "sha256": "1", "mode": "L"}
    images = pd.DataFrame([row | {"width": 240, "height": 200}])
    generator = {"srgan": build_generator(GeneratorParameters(filters=4, blocks=1), seed=1)}

    def figures(changes):
        parameters = EvaluateParameters(**PLAIN | changes)
        listed = nodes.list_measured_pictures(images, parameters, 0)
        saved = nodes.super_resolve_pictures(listed, generator, parameters)
        matched = nodes.match_histograms(listed, saved, parameters)
        networks = LpipsParameters(weights=None), PerceptualParameters()
        return nodes.measure_methods(listed, saved, matched, parameters, *networks)

    return figures


def protocol_of_psnr(**changes):
    return protocol_of("psnr_y", describe_protocol(EvaluateParameters(**changes)))


def test_every_parameter_has_its_place():
    assert set(OTHERS) | OF_OTHER_THINGS == set(EvaluateParameters.model_fields)


@pytest.mark.parametrize("name", OTHERS)
def test_the_protocol_has_what_changes_a_figure_and_nothing_else(evaluate, name):
    """Or a generator would become a challenger because another picture of it was drawn."""
    change = {name: OTHERS[name]}
    before, after = evaluate({}), evaluate(change)
    figures_change = not before["psnr_y"].equals(after["psnr_y"])
    protocols_differ = protocol_of_psnr() != protocol_of_psnr(**change)
    assert figures_change == (name in CHANGE_FIGURES) or name in MAY_CHANGE_FIGURES
    assert protocols_differ == (name in CHANGE_FIGURES | MAY_CHANGE_FIGURES)


@pytest.mark.parametrize("name", sorted(OF_OTHER_THINGS))
def test_other_generators_and_pictures_are_measured_by_the_same_protocol(name):
    value = {"model": "models:/x@champion", "benchmarks": {"set5": "somewhere"}, "vgg16": "some.npz"}[name]
    assert describe_protocol(EvaluateParameters(**{name: value})) == describe_protocol(EvaluateParameters())


def test_the_protocol_of_a_metric_has_its_weights(tmp_path):
    """Other LPIPS weights make other figures of LPIPS, and of nothing else."""
    for name in ("one.npz", "other.npz"):
        (tmp_path / name).write_text(name)
    vgg = PerceptualParameters(weights=str(tmp_path / "one.npz"))
    asked = EvaluateParameters(metrics=["psnr_y", "lpips", "vgg_distance"])

    def protocols(lpips, perceptual=vgg):
        whole = describe_protocol(asked, Networks(LpipsParameters(weights=lpips), perceptual))
        return {metric: protocol_of(metric, whole) for metric in asked.metrics}

    one, other, packaged = (
        protocols(str(tmp_path / "one.npz")),
        protocols(str(tmp_path / "other.npz")),
        protocols("packaged"),
    )
    assert one["psnr_y"] == other["psnr_y"] == packaged["psnr_y"] == protocol_of_psnr()
    assert one["lpips"] != other["lpips"] != packaged["lpips"] != one["lpips"]
    assert one["vgg_distance"] == other["vgg_distance"]
    retrained = protocols("packaged", PerceptualParameters(weights=str(tmp_path / "other.npz")))
    assert retrained["vgg_distance"] != packaged["vgg_distance"]
    (tmp_path / "renamed.npz").write_bytes((tmp_path / "one.npz").read_bytes())
    assert protocols(str(tmp_path / "renamed.npz")) == one, "content counts, not the name"


def test_figures_of_earlier_versions_still_compare():
    """By metrics whose figures are as they were: the protocol has the fields it had, of which a hash is kept."""
    assert sorted(protocol_of_psnr()) == [
        *("border", "engine", "gray", "libraries", "luma", "matching", "reduction", "scale", "tile")
    ]
    assert "measure" in protocol_of("consistency", describe_protocol(EvaluateParameters()))
