"""`dvc repro` in a real repository."""

import json

import mlflow
import yaml

from tests.conftest import TINY, Project


def test_repro_runs_once_and_leaves_git_clean(tmp_path):
    project = Project(tmp_path / "project")
    for file in project.path("conf/base").glob("parameters*.yml"):
        file.write_text(yaml.safe_dump(merge(yaml.safe_load(file.read_text()), TINY)))
    project.git("init", "-q")
    project.git("add", "-A")
    project.git("commit", "-qm", "start")

    assert "Running stage 'register'" in project.run("dvc", "repro").stdout
    project.git("add", "-A")
    assert project.git("diff", "--cached", "--name-only").split() == ["data/08_reporting/metrics.json", "dvc.lock"]
    project.git("commit", "-qm", "results")

    again = project.run("dvc", "repro").stdout
    assert "Running stage" not in again
    assert "Data and pipelines are up to date." in again
    assert project.git("status", "--porcelain") == ""

    shown = project.run("dvc", "metrics", "show", "--json").stdout
    metrics = json.loads(project.path("data/08_reporting/metrics.json").read_text())
    assert next(iter(json.loads(shown)[""]["data"].values()))["data"] == metrics
    project.run("dvc", "plots", "show")
    page = project.path("dvc_plots/index.html").read_text()
    assert "Pretraining loss" in page
    assert "datum['pixel_loss'] !== ''" in page  # empty cells would be drawn as zeros
    assert project.git("status", "--porcelain") == ""

    # The stages of one `dvc repro` are one MLflow run.
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("sr-pipeline").experiment_id])
    assert len(runs) == 1
    assert {"train/pixel_loss", "val/srgan/psnr_y"} <= set(runs[0].data.metrics)

    # The same data made by `kedro run` is what the lock says.
    project.kedro("run", "--pipelines=ingest,materialize")
    assert "Running stage" not in project.run("dvc", "repro").stdout


def merge(base, changes):
    """``base`` with those of ``changes`` that have a place in it, at any depth."""
    merged = {}
    for key, value in base.items():
        change = changes.get(key, value)
        merged[key] = merge(value, change) if isinstance(value, dict) and isinstance(change, dict) else change
    return merged
