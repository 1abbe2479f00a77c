"""Evaluation of benchmarks, of other models, and comparing runs, as a user does it."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import TINY, Project, digests
from tests.e2e.test_bad_input import error_of


@pytest.fixture(scope="module")
def evaluated(finished, tmp_path_factory):
    """A copy of the finished project, so that it may be changed."""
    return finished.copy(tmp_path_factory.mktemp("evaluated") / "project")


@pytest.fixture(scope="module")
def bench(evaluated, tmp_path_factory):
    """A folder of a colour, a gray, a tiny and a broken picture."""
    import skimage.data

    folder = evaluated.path("bench")
    folder.mkdir()
    colour = skimage.data.astronaut()[:64, :96]
    Image.fromarray(colour).save(folder / "colour.png")
    Image.fromarray(colour[..., 0]).save(folder / "gray.png")
    Image.fromarray(colour[:10, :10]).save(folder / "tiny.png")
    (folder / "broken.png").write_bytes((folder / "colour.png").read_bytes()[:100])
    return "bench"


def test_evaluate_alone_measures_the_present_generator_again(evaluated):
    before = digests(evaluated, "data/08_reporting/*.*")
    done = evaluated.kedro("run", "--pipeline=evaluate")
    assert "measure_methods" in done.stderr
    assert "train_generators" not in done.stderr
    assert digests(evaluated, "data/08_reporting/*.*") == before
    client = mlflow.MlflowClient(f"sqlite:///{evaluated.folder}/mlflow.db")
    newest = client.search_runs([client.get_experiment_by_name("sr-pipeline").experiment_id], max_results=1)[0]
    assert newest.info.run_name == "sample evaluate"
    assert newest.info.status == "FINISHED"
    assert "val/srgan/psnr_y" in newest.data.metrics


def metrics_of(project):
    return json.loads(project.path("data/08_reporting/metrics.json").read_text())


def test_a_benchmark_beside_the_held_out_photographs(evaluated, bench):
    before = metrics_of(evaluated)
    done = evaluated.kedro(
        "run", "--pipeline=evaluate", f"--params=evaluate.benchmarks.small={bench},evaluate.gray=raw"
    )
    assert "bench/tiny.png of small is left out: smaller than 20 pixels" in done.stderr
    assert "broken.png of small is left out: truncated" in done.stderr
    metrics = metrics_of(evaluated)
    assert list(metrics) == ["val", "small"]
    assert metrics["val"] == before["val"]
    assert list(metrics["small"]) == ["nearest", "bicubic", "srresnet", "srresnet_matched", "srgan", "srgan_matched"]
    per_image = pd.read_csv(evaluated.path("data/08_reporting/per_image.csv"))
    gray = per_image[(per_image["image"] == "gray") & (per_image["method"] == "bicubic")].iloc[0]
    assert gray["psnr_y"] == pytest.approx(gray["psnr_rgb"], abs=1e-6)
    evaluation = evaluation_of(evaluated)
    assert evaluation["sets"]["small"]["pictures"] == 2
    assert sorted(evaluation["sets"]["small"]["left_out"]) == ["broken", "tiny"]
    assert evaluation["protocol"]["gray"] == "raw"
    statistics = json.loads(evaluated.path("data/08_reporting/statistics.json").read_text())
    gain = statistics["small"]["differences"]["srgan - bicubic"]["psnr_y"]
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert evaluated.path("data/08_reporting/evaluate/small/comparison.png").is_file()
    page = evaluated.path("data/08_reporting/report.html").read_text()
    assert 'id="small"' in page
    assert len(page) < 15e6


def evaluation_of(project):
    return json.loads(project.path("data/08_reporting/evaluation.json").read_text())


def test_a_registered_model_is_measured_without_any_training(evaluated):
    """It is the trained generator, so it measures the same."""
    metrics, evaluation = metrics_of(evaluated)["val"], evaluation_of(evaluated)
    evaluated.path("data/06_models").rename(evaluated.path("data/away"))
    try:
        evaluated.kedro("run", "--pipelines=evaluate", "--params=evaluate.model=models:/sr-generator@champion")
    finally:
        evaluated.path("data/away").rename(evaluated.path("data/06_models"))
    assert "srresnet" not in metrics_of(evaluated)["val"]
    assert metrics_of(evaluated)["val"]["srgan"] == pytest.approx(metrics["srgan"])
    model = evaluation_of(evaluated)["model"]
    assert model["source"] == "models:/sr-generator@champion"
    assert model["weights"]["srgan"] == evaluation["model"]["weights"]["srgan"]
    assert model["training"]["recipe.pretraining.steps"] == "12"


def test_figures_of_another_model_are_never_registered(evaluated):
    from sr_pipeline.datasets.keras_generators import save_keras_model
    from sr_pipeline.networks.generator import build_generator
    from sr_pipeline.networks.parameters import GeneratorParameters

    save_keras_model(build_generator(GeneratorParameters(filters=4, blocks=1)), evaluated.path("other.keras"))
    evaluated.kedro("run", "--pipelines=evaluate", "--params=evaluate.model=other.keras")
    assert evaluation_of(evaluated)["model"]["source"] == "other.keras"
    error = error_of(evaluated.kedro("run", "--pipelines=register", check=False))
    assert "the last evaluation measured another generator (other.keras) than the trained one" in error
    both = evaluated.kedro("run", "--pipelines=evaluate,register", "--params=evaluate.model=other.keras", check=False)
    assert "evaluate.model names another generator than the trained one" in error_of(both)


def test_runs_side_by_side(evaluated):
    done = evaluated.run("sr-pipeline", "compare", "sample evaluate", "sample", "-o", "out/side.png")
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["status", "FINISHED"] for line in lines)
    expected = f"{metrics_of(evaluated)['val']['bicubic']['psnr_y']:.4f}"
    bicubic = next(line for line in lines if "bicubic" in line.split())  # PSNR-Y comes first
    assert bicubic.split()[-2:] == [expected, expected]
    assert np.asarray(Image.open(evaluated.path("out/side.png"))).std() > 20
    again = evaluated.run("sr-pipeline", "compare", "sample", "-o", "out/side.png", check=False)
    assert "out/side.png exists already; name another file with -o, or add --overwrite" in error_of(again)
    unknown = evaluated.run("sr-pipeline", "compare", "nobody", check=False)
    assert "there is no run nobody; the newest are: " in error_of(unknown)


def test_comparing_without_a_store(tmp_path):
    project = Project(tmp_path / "project", TINY)
    error = error_of(project.run("sr-pipeline", "compare", "sample", check=False))
    assert "there is no MLflow store in" in error
    assert not project.path("mlflow.db").exists()


def test_a_folder_of_pictures_is_postprocessed(evaluated):
    pictures, inputs = "data/07_model_output/super_resolved/val/srgan", evaluated.path("inputs")
    inputs.mkdir()
    for file in evaluated.path(pictures).iterdir():
        picture = Image.open(file)
        picture.resize((picture.width // 4, picture.height // 4)).save(inputs / file.name)
    folders = f"postprocess.pictures={pictures},postprocess.inputs=inputs"
    evaluated.kedro("run", "--pipelines=postprocess", f"--params={folders},postprocess.matching.space=ycbcr")
    written = {file.name for file in evaluated.path("data/07_model_output/postprocessed").iterdir()}
    assert written == {"chelsea.png", "china.png"}
