"""The whole chain on the embedded sample, with a tiny recipe, run as a user runs it."""

import hashlib
import json
import subprocess

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import TINY, Project

METHODS = ["nearest", "bicubic", "srresnet", "srresnet_matched", "srgan", "srgan_matched"]


def digests(project, pattern):
    files = sorted(project.folder.glob(pattern))
    return {
        str(f.relative_to(project.folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()
    }


@pytest.fixture(scope="module")
def client(finished):
    return mlflow.MlflowClient(f"sqlite:///{finished.folder}/mlflow.db")


@pytest.fixture(scope="module")
def run(client):
    experiment = client.get_experiment_by_name("sr-pipeline")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1
    return runs[0]


def test_metrics_of_every_method(finished):
    metrics = json.loads(finished.path("data/08_reporting/metrics.json").read_text())
    assert list(metrics) == ["val"]
    assert list(metrics["val"]) == METHODS
    bicubic = metrics["val"]["bicubic"]
    assert bicubic["psnr_y"] == pytest.approx((31.4718 + 22.4250) / 2, abs=1e-3)
    assert metrics["val"]["nearest"]["psnr_y"] < bicubic["psnr_y"]
    per_image = pd.read_csv(finished.path("data/08_reporting/per_image.csv"))
    assert len(per_image) == 2 * len(METHODS)
    assert set(per_image["image"]) == {"chelsea", "china"}
    means = per_image.groupby("method")["ssim_y"].mean()
    assert all(means[m] == pytest.approx(metrics["val"][m]["ssim_y"]) for m in METHODS)


def test_the_table_is_in_the_log(finished):
    assert "val, mean of 2 images" in finished.log
    assert "srgan_matched" in finished.log
    assert "VGG19 features are untrained" in finished.log


def test_pictures(finished):
    sizes = {"chelsea": (448, 300), "china": (640, 424)}
    for name, size in sizes.items():
        for method in ("srresnet", "srgan"):
            assert (
                Image.open(finished.path(f"data/07_model_output/super_resolved/val/{method}/{name}.png")).size == size
            )
            matched = finished.path(f"data/07_model_output/matched/val/{method}_matched/{name}.png")
            assert Image.open(matched).size == size
    for picture in ("evaluate/val/comparison.png", "evaluate/val/errors.png", "train/samples.png"):
        assert np.asarray(Image.open(finished.path(f"data/08_reporting/{picture}"))).std() > 20


def test_the_run_is_tracked(run, client, finished):
    assert run.info.status == "FINISHED"
    assert run.data.params["recipes.sample.pretraining.steps"] == "4"
    assert run.data.params["seed"] == "0"
    tags = run.data.tags
    assert tags["recipe"] == "sample"
    assert tags["perceptual_weights"] == "untrained"
    assert tags["precision"] in ("float32", "bfloat16")
    identity = json.loads(finished.path("data/06_models/mlflow_run.json").read_text())["training_id"]
    assert tags["training_id"] == identity
    metrics = json.loads(finished.path("data/08_reporting/metrics.json").read_text())
    assert run.data.metrics["val/srgan/psnr_y"] == pytest.approx(metrics["val"]["srgan"]["psnr_y"])
    losses = client.get_metric_history(run.info.run_id, "train/pixel_loss")
    assert [point.step for point in losses] == [2, 4]
    assert [p.step for p in client.get_metric_history(run.info.run_id, "train/generator_loss")] == [6, 7]
    pictures = {artifact.path for artifact in client.list_artifacts(run.info.run_id, "pictures")}
    assert pictures == {"pictures/contact_sheet.png", "pictures/samples.png", "pictures/val"}
    sheets = {artifact.path for artifact in client.list_artifacts(run.info.run_id, "pictures/val")}
    assert sheets == {f"pictures/val/{name}.png" for name in ("best_and_worst", "comparison", "errors", "gains")}
    reports = {artifact.path for artifact in client.list_artifacts(run.info.run_id, "reports")}
    assert {f"reports/{name}" for name in ("metrics.json", "statistics.json", "report.html")} <= reports


def test_the_generator_is_registered_and_works(finished, client):
    version = client.get_model_version_by_alias("sr-generator", "champion")
    assert int(version.version) == 1
    mlflow.set_tracking_uri(f"sqlite:///{finished.folder}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/sr-generator@champion")
    tensor = model.metadata.signature.inputs.inputs[0]
    assert tensor.shape == (-1, -1, -1, 3)
    assert model.input_example.shape == (1, 24, 24, 3)
    sr = model.predict(model.input_example)
    assert sr.shape == (1, 96, 96, 3)
    logged = client.get_logged_model(model.metadata.model_id)
    assert {m.key for m in logged.metrics} >= {"val/srgan/psnr_y", "val/bicubic/ssim_y"}


def test_evaluate_alone_measures_the_present_generator_again(finished, client):
    before = digests(finished, "data/08_reporting/*.*")
    done = finished.kedro("run", "--pipeline=evaluate")
    assert "measure_methods" in done.stderr
    assert "train_generators" not in done.stderr
    assert digests(finished, "data/08_reporting/*.*") == before
    newest = client.search_runs([client.get_experiment_by_name("sr-pipeline").experiment_id], max_results=1)[0]
    assert newest.info.run_name == "sample evaluate"
    assert newest.info.status == "FINISHED"
    assert "val/srgan/psnr_y" in newest.data.metrics


def test_a_second_fresh_run_gives_the_same_bytes(finished, tmp_path):
    second = Project(tmp_path / "elsewhere" / "project", TINY)
    second.kedro("run", "--pipelines=ingest,materialize,train,evaluate")
    for pattern in (
        "data/01_raw/**/*",
        "data/02_intermediate/*",
        "data/05_model_input/crops/**/*",
        "data/06_models/*",
        "data/07_model_output/**/*",
        "data/08_reporting/**/*",
    ):
        assert digests(second, pattern) == digests(finished, pattern), pattern
        assert digests(second, pattern), pattern


def test_listing_and_ingest_do_without_tensorflow(project):
    code = (
        "import sys\nfrom kedro.framework.cli.cli import main\nsys.argv = ['kedro', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "loaded = {'tensorflow', 'keras'} & set(sys.modules)\nassert not loaded, loaded\n"
    )
    for arguments in (["registry", "list"], ["run", "--pipelines=ingest,materialize"]):
        done = subprocess.run(
            [*project.command("python"), "-c", code, *arguments],
            cwd=project.folder,
            env=project.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
