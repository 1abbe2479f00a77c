"""What MLflow says of runs that did not go through."""

import contextlib
import random
import shutil
import signal
import subprocess
import time
from dataclasses import replace

import mlflow
import pytest

from sr_pipeline.training.checkpoint import Checkpoints
from tests.conftest import PATIENCE, PRECISIONS, RESULTS, TINY, Project, digests

LONG = "--params=recipes.sample.pretraining.steps=100000"


def newest_run(project):
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sr-pipeline")
    return client.search_runs([experiment.experiment_id], max_results=1)[0]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGKILL))]
)
def test_an_interrupted_run_is_killed(prepared, number):
    """Of SIGKILL nobody can tell the store before the next start."""
    with prepared.started("kedro", "run", "--pipelines=train", LONG) as training:
        training.wait_for("pretraining 10/")  # training really runs
        training.process.send_signal(number)
        assert training.process.wait(timeout=PATIENCE) != 0
    run = newest_run(prepared)
    if number == signal.SIGKILL:
        assert run.info.status == "RUNNING"
        prepared.kedro("run", "--pipelines=ingest")
        assert newest_run(prepared).info.status == "FINISHED"
        run = mlflow.MlflowClient(f"sqlite:///{prepared.folder}/mlflow.db").get_run(run.info.run_id)
        assert run.data.tags["error"] == "killed without warning; seen at the next start"
    assert run.info.status == "KILLED"
    assert run.data.metrics["train/pixel_loss"] > 0
    assert not prepared.path("data/06_models/generator.keras").exists()


def kill_at(project, text, *arguments):
    """Start ``kedro run``, and kill it without warning once its log holds ``text``."""
    with project.started("kedro", "run", *arguments) as run:
        run.wait_for(text)
        run.process.kill()


def assert_each_step_is_logged_once(project, run, steps):
    """Although those after a checkpoint were computed twice; a metric of one phase alone has a part of them."""
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    for name in (name for name in run.data.metrics if name.startswith("train/")):
        logged = [point.step for point in client.get_metric_history(run.info.run_id, name)]
        assert sorted(logged) == sorted(set(logged) & set(steps)), name
    logged = [point.step for point in client.get_metric_history(run.info.run_id, "train/learning_rate")]
    assert sorted(logged) == list(steps)
    names = [file.path.partition("+timestamp")[0] for file in client.list_artifacts(run.info.run_id, "images")]
    assert sorted(names) == sorted(2 * [f"images/validation+step+{step}" for step in steps]), "each with its preview"


@pytest.mark.slow
def test_a_run_killed_twice_goes_on_and_gives_the_bytes_of_another_that_was_not(project, finished):
    arguments = ("--pipelines=ingest,materialize,train,evaluate", "--params=train.checkpoint_every=4")
    kill_at(project, "pretraining 6/12", *arguments)
    killed = newest_run(project)
    assert killed.info.status == "RUNNING", "nobody could say otherwise"
    kill_at(project, "adversarial 4/8", *arguments)
    log = project.kedro("run", *arguments).stderr
    assert "going on from the checkpoint of step" in log
    run = newest_run(project)
    assert (run.info.run_id, run.info.status) == (killed.info.run_id, "FINISHED")
    assert_each_step_is_logged_once(project, run, range(2, 21, 2))
    for pattern in RESULTS:
        assert digests(project, pattern) == digests(finished, pattern), pattern
        assert digests(project, pattern), pattern
    assert not project.path("data/.scratch/unfinished_run").exists()


def by_other_code(project):
    """Make the checkpoints of a training those of other code, and say which one is the newest."""
    (folder,) = project.path("data/.scratch/checkpoints").glob("*/*")
    checkpoint = Checkpoints(folder, keep=1).newest(100_000)
    shutil.rmtree(folder)
    Checkpoints(folder.with_name("other-code"), keep=1).save(replace(checkpoint, codes=["other-code"]))
    return f"{folder.parent.name} step {checkpoint.step}"


@pytest.mark.slow
def test_a_training_of_other_code_goes_on_only_if_asked_to(prepared):
    arguments = ("--pipelines=train", "--params=train.checkpoint_every=4")
    kill_at(prepared, "pretraining 6/12", *arguments)
    started = newest_run(prepared)
    checkpoint = by_other_code(prepared)
    refused = prepared.kedro("run", *arguments, check=False)
    assert refused.returncode == 1
    assert "code or libraries have changed since; train.resume=any goes on" in refused.stderr.splitlines()[-1]
    assert newest_run(prepared).info.status == "FAILED"
    log = prepared.kedro("run", arguments[0], f"{arguments[1]},train.resume=any").stderr
    assert ", computed by other code or libraries (other-code)" in log
    run = newest_run(prepared)
    assert (run.info.run_id, run.info.status) == (started.info.run_id, "FINISHED")
    assert run.data.tags["resumed_from"] == f"{checkpoint}, computed by other code or libraries (other-code)"


@pytest.mark.slow
@pytest.mark.slowest
@pytest.mark.parametrize("precision", PRECISIONS)
def test_killed_at_ten_random_moments_it_ends_the_same(tmp_path, precision):
    """Moments are spread over the whole life of the process, its start included."""
    steps = "recipes.sample.pretraining.steps=300,recipes.sample.adversarial.steps=100,train.checkpoint_every=10"
    arguments = ("--pipelines=train", f"--params=train.precision={precision},{steps}")
    killed, uninterrupted = Project(tmp_path / "killed", TINY), Project(tmp_path / "uninterrupted", TINY)
    for each in (killed, uninterrupted):
        each.kedro("run", "--pipelines=ingest,materialize")
    started = time.monotonic()
    uninterrupted.kedro("run", *arguments)
    lifetime = time.monotonic() - started
    moments = random.Random(precision)
    kills = 0
    while kills < 10:
        process = subprocess.Popen(
            killed.command("kedro", "run", *arguments),
            cwd=killed.folder,
            env=killed.environment(),
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(0.2, 1.0) * lifetime)
        if process.poll() is None:
            process.kill()
            process.wait()
            kills += 1
        else:  # it was through before: begin anew, so that ten kills are ten interruptions
            assert process.returncode == 0
            shutil.rmtree(killed.path("data/.scratch/checkpoints"))
    killed.kedro("run", *arguments)
    for name in ("06_models/generator.keras", "06_models/generator_best.keras", "06_models/srresnet.keras"):
        assert killed.path(f"data/{name}").read_bytes() == uninterrupted.path(f"data/{name}").read_bytes(), name
    history = "data/08_reporting/train/history.csv"
    assert killed.path(history).read_bytes() == uninterrupted.path(history).read_bytes()


def test_a_failed_run_says_why(prepared):
    shard = next(prepared.path("data/05_model_input/crops/train").glob("*.array_record"))
    shard.unlink()
    done = prepared.kedro("run", "--pipelines=train", check=False)
    assert done.returncode == 1
    assert "is missing; make it again with kedro run --pipelines=materialize" in done.stderr.splitlines()[-1]
    run = newest_run(prepared)
    assert run.info.status == "FAILED"
    assert shard.name in run.data.tags["error"]
