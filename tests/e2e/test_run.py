"""The whole chain on the embedded sample, with a tiny recipe, run as a user runs it."""

import io
import json
import subprocess

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sr_pipeline.processor import processor_kind
from tests.conftest import PATIENCE, RESULTS, TINY, Project, digests

METHODS = ["nearest", "bicubic", "srresnet", "srresnet_matched", "srgan", "srgan_matched"]


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
    assert run.data.params["recipe.pretraining.steps"] == "12"
    assert run.data.params["seed"] == "0"
    tags = run.data.tags
    assert tags["recipe"] == "sample"
    assert tags["perceptual_weights"] == "packaged"
    assert tags["processor"] == processor_kind()
    assert tags["precision"] in ("float32", "bfloat16")
    assert tags["device"]
    assert tags["source"] == "sample"
    crops = json.loads(finished.path("data/06_models/mlflow_run.json").read_text())["training"]["crops_sha256"]
    assert tags["crops_sha256"] == crops["train"]
    identity = json.loads(finished.path("data/06_models/mlflow_run.json").read_text())["training_id"]
    assert tags["training_id"] == identity
    metrics = json.loads(finished.path("data/08_reporting/metrics.json").read_text())
    assert run.data.metrics["val/srgan/psnr_y"] == pytest.approx(metrics["val"]["srgan"]["psnr_y"])
    losses = client.get_metric_history(run.info.run_id, "train/pixel_loss")
    assert [point.step for point in losses] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert [p.step for p in client.get_metric_history(run.info.run_id, "train/generator_loss")] == [14, 16, 18, 20]
    attached = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    sheets = {f"val_{name}.png" for name in ("best_and_worst", "comparison", "errors", "gains")}
    reports = {"report.html", "metrics.json", "statistics.json", "per_image.csv", "ingest_report.json", "history.csv"}
    assert attached >= {"contact_sheet.png", "samples.png", *sheets, *reports}
    assert client.list_artifacts(run.info.run_id, "images"), "the series of validation pictures"


def test_the_generator_is_registered_and_works(finished, client, run):
    version = client.get_model_version_by_alias("sr-generator", "champion")
    assert int(version.version) == 1
    assert version.tags["alias_reason"] == "champion: there was no champion"
    for part in ("recipe `sample`", "packaged", "**Measured on val** (2 pictures", "SRGAN", "not for evidence"):
        assert part.lower() in version.description.lower()
    mlflow.set_tracking_uri(f"sqlite:///{finished.folder}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/sr-generator@champion")
    assert model.metadata.signature.inputs.input_names() == ["image"]
    answer = model.predict(model.input_example)
    assert Image.open(io.BytesIO(answer["image"][0])).size == (96, 96)
    # What was measured is known of the model, with the pictures it was measured on.
    logged = client.get_logged_model(model.metadata.model_id)
    measured = {(metric.key, metric.dataset_name) for metric in logged.metrics}
    assert measured >= {("val/srgan/psnr_y", "val"), ("val/bicubic/ssim_y", "val")}
    evaluation = json.loads(finished.path("data/08_reporting/evaluation.json").read_text())
    digests = {data.dataset.name: data.dataset.digest for data in run.inputs.dataset_inputs}
    assert evaluation["sets"]["val"]["sha256"].startswith(digests["val"])
    assert {metric.dataset_digest for metric in logged.metrics if metric.dataset_name} == {digests["val"]}
    assert set(digests) == {"crops train", "crops val", "val"}


@pytest.mark.slow
def test_a_second_fresh_run_gives_the_same_bytes(finished, tmp_path):
    second = Project(tmp_path / "elsewhere" / "project", TINY)
    second.kedro("run", "--pipelines=ingest,materialize,train,evaluate", cold=True)
    for pattern in RESULTS:
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
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
