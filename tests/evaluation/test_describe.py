import pandas as pd
import pytest
from PIL import Image

from sr_pipeline.evaluation.describe import describe_protocol
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
    "resamples": 100,
    "detail_size": 32,
    "shown": 1,
    "matching": {"space": "ycbcr"},
}
CHANGE_FIGURES = {"gray", "matching"}
# Sums are taken in another order, so a pixel may be rounded to the next value.
MAY_CHANGE_FIGURES = {"tile", "engine"}
# Others measure something else: the hashes of weights and pictures say so.
OF_OTHER_THINGS = {"model", "benchmarks"}


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


def test_every_parameter_has_its_place():
    assert set(OTHERS) | OF_OTHER_THINGS == set(EvaluateParameters.model_fields)


@pytest.mark.parametrize("name", OTHERS)
def test_the_protocol_has_what_changes_a_figure_and_nothing_else(evaluate, name):
    """Or a generator would become a challenger because another picture of it was drawn."""
    change = {name: OTHERS[name]}
    before, after = evaluate({}), evaluate(change)
    figures_change = not before["psnr_y"].equals(after["psnr_y"])
    protocols_differ = describe_protocol(EvaluateParameters()) != describe_protocol(EvaluateParameters(**change))
    assert figures_change == (name in CHANGE_FIGURES) or name in MAY_CHANGE_FIGURES
    assert protocols_differ == (name in CHANGE_FIGURES | MAY_CHANGE_FIGURES)


@pytest.mark.parametrize("name", sorted(OF_OTHER_THINGS))
def test_other_generators_and_pictures_are_measured_by_the_same_protocol(name):
    value = {"model": "models:/x@champion", "benchmarks": {"set5": "somewhere"}}[name]
    assert describe_protocol(EvaluateParameters(**{name: value})) == describe_protocol(EvaluateParameters())
