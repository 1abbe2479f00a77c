"""DVC in real repositories: `dvc repro` with changed parameters, clones, `kedro run`, experiments and signals."""

import hashlib
import json
import os
import re
import shutil
import signal

import mlflow
import pytest
import yaml

from sr_pipeline.sources.sample import write_sample
from sr_pipeline.tracking.messages import flatten
from tests.conftest import PATIENCE, REPOSITORY, SHALLOW, TINY, Project, made_once

RECIPES = "conf/base/parameters_recipes.yml"
OTHER_RECIPE = {
    "generator": {"filters": 4, "blocks": 1},
    "discriminator": {"filters": 4, "dense": 4},
    "batch_size": 4,
    "adversarial": {"steps": 3, "features": SHALLOW},
}
STAGES = ["ingest", "materialize", "train", "evaluate", "register"]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A repository in which `dvc repro` has run once, tiny, and its remote; the same for all processes of the tests.

    Tests must not change it.
    """

    def make(folder):
        project = Project(folder / "project")
        make_tiny(project)
        project.git("init", "-q", "-b", "main")
        project.run("dvc", "remote", "add", "-d", "store", str(folder / "store"))
        project.git("add", "-A")
        project.git("commit", "-qm", "start")
        project.git("tag", "start")
        (folder / "log").write_text(project.run("dvc", "repro").stdout)
        project.git("add", "-A")
        project.git("commit", "-qm", "results")
        project.run("dvc", "push", "--run-cache")

    folder = made_once(tmp_path_factory, "dvc", make)
    project = Project.at(folder / "project")
    project.log = (folder / "log").read_text()
    return project


def make_tiny(project):
    """Write the tiny parameters where DVC sees them, and a second recipe."""
    for file in project.path("conf/base").glob("parameters*.yml"):
        file.write_text(yaml.safe_dump(merge(yaml.safe_load(file.read_text()), TINY)))
    change(project, RECIPES, {"recipes": {"seed": OTHER_RECIPE}})
    recipes = yaml.safe_load(project.path(RECIPES).read_text())
    recipes["recipes"]["sample"]["adversarial"]["features"] = SHALLOW
    project.path(RECIPES).write_text(yaml.safe_dump(recipes))


def merge(base, changes):
    """``base`` with those of ``changes`` that have a place in it, at any depth."""
    merged = {}
    for key, value in base.items():
        change = changes.get(key, value)
        merged[key] = merge(value, change) if isinstance(value, dict) and isinstance(change, dict) else change
    return merged if base else changes


def change(project, file, changes):
    """Change values in a file of parameters."""
    path = project.path(file)
    path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), changes)))


def clone(project, folder, revision="main"):
    project.git("clone", "-q", "-b", revision, str(project.folder), str(folder))
    return Project.at(folder)


def clone_with_data(project, folder):
    cloned = clone(project, folder)
    cloned.run("dvc", "pull", "--run-cache")
    return cloned


def lock(project):
    return project.path("dvc.lock").read_text()


def hashes(project):
    """Hash of every out of every stage."""
    stages = yaml.safe_load(lock(project))["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def stages_run(output):
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def changed_stages(project):
    return list(json.loads(project.run("dvc", "status", "--json").stdout))


def runs(project):
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    return client.search_runs([client.get_experiment_by_name("sr-pipeline").experiment_id])


def assert_logged(parameters, run):
    """All of DVC's ``parameters`` are the run's, which are text, and whose types the project has checked: 0 is 0.0."""
    unused = tuple(f"ingest.{source}." for source in ("coco", "folder") if source != run.data.tags["source"])
    named = {  # MLflow has those of the recipe under one name, whichever it is
        re.sub(r"^recipes\.\w+\.", "recipe.", name): value
        for name, value in parameters.items()
        if not name.startswith(unused)
    }
    assert len(named) > 40
    logged = {name: yaml.safe_load(run.data.params[name]) for name in named}
    assert logged == {name: yaml.safe_load(str(value)) for name, value in named.items()}


@pytest.mark.slow
def test_repro_runs_once_and_leaves_git_clean(reproduced):
    assert stages_run(reproduced.log) == STAGES
    results = reproduced.git("show", "--name-only", "--format=", "HEAD").split()
    assert results == ["dvc.lock"]

    again = reproduced.run("dvc", "repro").stdout
    assert stages_run(again) == []
    assert "Data and pipelines are up to date." in again
    assert reproduced.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_metrics_and_plots_are_shown(reproduced):
    shown = reproduced.run("dvc", "metrics", "show", "--json").stdout
    metrics = json.loads(reproduced.path("data/08_reporting/metrics.json").read_text())
    assert next(iter(json.loads(shown)[""]["data"].values()))["data"] == metrics
    reproduced.run("dvc", "plots", "show")
    page = reproduced.path("dvc_plots/index.html").read_text()
    assert "Pretraining loss" in page
    assert "datum['pixel_loss'] !== ''" in page  # empty cells would be drawn as zeros
    assert reproduced.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_the_stages_of_one_repro_are_one_mlflow_run(reproduced):
    (run,) = runs(reproduced)
    assert {"train/pixel_loss", "val/srgan/psnr_y"} <= set(run.data.metrics)


@pytest.mark.slow
def test_metrics_are_compared_between_commits(reproduced, tmp_path):
    cloned = clone_with_data(reproduced, tmp_path / "clone")
    change(cloned, "conf/base/parameters_evaluate.yml", {"evaluate": {"matching": {"strength": 0.5}}})
    cloned.run("dvc", "repro", "evaluate")
    shown = json.loads(cloned.run("dvc", "metrics", "diff", "--json").stdout)
    (changes,) = shown.values()
    assert {name.split(".")[1] for name in changes} == {"srresnet_matched", "srgan_matched"}
    assert all(change["old"] != change["new"] for change in changes.values())


def test_the_committed_lock_is_that_of_this_code(tmp_path):
    """Its code, its parameters, and what each stage takes from the one before; whatever runs here have written.

    In a clone, which has no data, the data is all that DVC misses. Which bytes the training and what follows write
    depends on the kind of processor.
    """
    project = Project(tmp_path / "project")
    shutil.copy(REPOSITORY / "dvc.lock", project.path("dvc.lock"))
    project.git("init", "-q")
    status = json.loads(project.run("dvc", "status", "--json").stdout)
    assert list(status) == STAGES
    untrue = [
        (stage, path, state)
        for stage, changes in status.items()
        for change in changes
        for path, state in (flatten(change).items() if isinstance(change, dict) else [("", change)])
        if not path.startswith(("changed deps.data/", "changed outs.data/")) or state not in ("deleted", "not in cache")
    ]
    assert not untrue, "run `dvc repro` and commit dvc.lock"
    stages = yaml.safe_load(lock(project))["stages"]
    made = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    for stage in STAGES:
        taken = {dep["path"]: dep["md5"] for dep in stages[stage]["deps"] if dep["path"].startswith("data/")}
        assert taken.items() <= made.items(), stage


@pytest.mark.slow
def test_a_clone_pulls_and_evaluates_without_training(reproduced, tmp_path):
    cloned = clone(reproduced, tmp_path / "clone")
    cloned.run("dvc", "pull")
    assert changed_stages(cloned) == []
    change(cloned, RECIPES, {"recipes": {"seed": {"batch_size": 5}}})
    assert changed_stages(cloned) == [], "another recipe is nobody's input"
    change(cloned, "conf/base/parameters_evaluate.yml", {"evaluate": {"confidence": 0.9}})
    assert changed_stages(cloned) == ["evaluate"]
    assert stages_run(cloned.run("dvc", "repro", "evaluate").stdout) == ["evaluate"]
    now, before = hashes(cloned), hashes(reproduced)
    differing = {path for path in now if now[path] != before[path]}
    assert differing == {f"data/08_reporting/{name}" for name in ("evaluation.json", "report.html", "statistics.json")}


@pytest.mark.slow
def test_kedro_run_does_not_write_through_links_into_the_cache(reproduced, tmp_path):
    """And what it wrote, DVC sees, and puts back what belongs to the lock."""
    cloned = clone_with_data(reproduced, tmp_path / "clone")
    before = lock(cloned)
    cloned.run("dvc", "config", "--local", "cache.type", "symlink")
    cloned.run("dvc", "checkout", "--relink")
    cloned.run("dvc", "config", "--local", "cache.type", "hardlink")
    cloned.run("dvc", "checkout", "--relink", "data/08_reporting/ingest_report.json")
    assert cloned.path("data/02_intermediate/images.parquet").is_symlink()
    assert cloned.path("data/08_reporting/ingest_report.json").stat().st_nlink == 2

    cloned.kedro("run", "--pipelines=ingest", "--params=ingest.max_images=1")
    assert json.loads(cloned.path("data/08_reporting/ingest_report.json").read_text())["total"] == 2
    cached = [file for file in cloned.path(".dvc/cache/files/md5").rglob("*") if file.is_file()]
    assert len(cached) > 30
    for file in cached:
        content = hashlib.md5(file.read_bytes()).hexdigest()
        assert content == file.parent.name + file.name.removesuffix(".dir"), file

    assert changed_stages(cloned) == ["ingest", "materialize", "evaluate", "register"]
    assert stages_run(cloned.run("dvc", "repro").stdout) == []
    assert json.loads(cloned.path("data/08_reporting/ingest_report.json").read_text())["total"] == 8
    assert lock(cloned) == before
    assert cloned.git("status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.slowest
def test_clones_with_other_paths_and_workers_write_the_same_hashes(reproduced, tmp_path):
    cloned = clone(reproduced, tmp_path / "some where/else", revision="start")
    change(cloned, "conf/base/parameters_ingest.yml", {"ingest": {"workers": 1}})
    change(cloned, "conf/base/parameters_materialize.yml", {"materialize": {"workers": 2}})
    change(cloned, "conf/base/parameters_evaluate.yml", {"evaluate": {"workers": 3}})
    assert stages_run(cloned.run("dvc", "repro").stdout) == STAGES
    assert hashes(cloned) == hashes(reproduced)
    assert len(hashes(cloned)) == 17

    # With `workers: null` they follow the processors. The training's threads are kept: it adds up by thread.
    same_parameters = clone(reproduced, tmp_path / "one processor", revision="start")
    processors = os.sched_getaffinity(0)
    same_parameters.run(
        "env",
        f"TF_NUM_INTRAOP_THREADS={len(processors)}",
        "dvc",
        "repro",
        "train",
        preexec_fn=lambda: os.sched_setaffinity(0, {min(processors)}),
    )
    stages = yaml.safe_load(lock(reproduced))["stages"]
    assert yaml.safe_load(lock(same_parameters))["stages"] == {name: stages[name] for name in STAGES[:3]}


@pytest.mark.slow
@pytest.mark.slowest
def test_a_changed_parameter_reruns_what_depends_on_it(reproduced, tmp_path):
    cloned = clone_with_data(reproduced, tmp_path / "clone")
    change(cloned, "conf/base/parameters_register.yml", {"register": {"metric": "val/srgan/ssim_y"}})
    assert stages_run(cloned.run("dvc", "repro").stdout) == ["register"]
    # More rows in the history, the same generators: what comes after need not run.
    change(cloned, "conf/base/parameters_train.yml", {"train": {"log_every": 1}})
    assert stages_run(cloned.run("dvc", "repro").stdout) == ["train"]
    change(cloned, RECIPES, {"recipes": {"sample": {"adversarial": {"steps": 4}}}})
    assert stages_run(cloned.run("dvc", "repro").stdout) == ["train", "evaluate", "register"]
    change(cloned, RECIPES, {"seed": 1})
    assert changed_stages(cloned) == ["ingest", "materialize", "train", "evaluate"]


@pytest.mark.slow
@pytest.mark.slowest
def test_kedro_run_and_dvc_repro_mixed(reproduced, tmp_path):
    # kedro run first: what it made is of no lock yet, so all stages run, with the same result.
    first = clone(reproduced, tmp_path / "first", revision="start")
    first.kedro("run", "--pipelines=ingest,materialize,train")
    assert stages_run(first.run("dvc", "repro", "train").stdout) == ["ingest", "materialize", "train"]
    assert hashes(first).items() <= hashes(reproduced).items()

    # The same data made by kedro run is what the lock says.
    before = lock(first)
    first.kedro("run", "--pipelines=ingest,materialize")
    assert stages_run(first.run("dvc", "repro", "train").stdout) == []

    # Another recipe, which has no pretraining: DVC sees it, and puts back what the lock says.
    first.kedro("run", "--pipelines=train", "--params=recipe=seed")
    assert not first.path("data/06_models/srresnet.keras").exists()
    assert "train" in changed_stages(first)
    assert stages_run(first.run("dvc", "repro", "train").stdout) == []
    assert first.path("data/06_models/srresnet.keras").exists()
    assert lock(first) == before

    # Without a cache all is made again.
    first.kedro("run", "--pipelines=train", "--params=recipe=seed")
    shutil.rmtree(first.path(".dvc/cache"))
    assert stages_run(first.run("dvc", "repro", "train").stdout) == ["ingest", "materialize", "train"]
    assert lock(first) == before

    # What DVC does not see has no say in its stages.
    first.path("conf/local").mkdir(exist_ok=True)
    first.path("conf/local/parameters.yml").write_text("ingest: {max_images: 1}\n")
    first.run("env", "KEDRO_ENV=coco2014", "dvc", "repro", "--force", "ingest")
    assert lock(first) == before


@pytest.mark.slow
@pytest.mark.slowest
def test_experiments_agree_with_mlflow(reproduced, tmp_path):
    cloned = clone_with_data(reproduced, tmp_path / "clone")
    cloned.run("git", "config", "user.name", "tester")
    cloned.run("git", "config", "user.email", "tester@example.invalid")
    cloned.run("dvc", "exp", "run", "-n", "first", "-S", f"{RECIPES}:recipe=seed")
    # In a folder that is gone afterwards.
    cloned.run(
        "dvc", "exp", "run", "--temp", "-n", "second", "-S", f"{RECIPES}:recipe=sample",
        "-S", f"{RECIPES}:recipes.sample.adversarial.steps=4",
    )  # fmt: skip
    tracked = {run.data.tags["dvc_experiment"]: run for run in runs(cloned)}
    shown = json.loads(cloned.run("dvc", "exp", "show", "--json").stdout)
    experiments = {
        experiment["name"]: experiment["revs"][0]["data"]
        for baseline in shown
        for experiment in baseline["experiments"] or []
    }
    assert set(experiments) == set(tracked) == {"first", "second"}
    assert len(runs(cloned)) == 2
    for name, experiment in experiments.items():
        run = tracked[name]
        assert run.info.status == "FINISHED"
        assert "train/generator_loss" in run.data.metrics
        (metrics,) = (flatten(file["data"], separator="/") for file in experiment["metrics"].values())
        assert metrics == {key: value for key, value in run.data.metrics.items() if key.startswith("val/")}
        parameters = {}
        for file in experiment["params"].values():
            parameters |= flatten(file["data"])
        assert_logged(parameters, run)
    assert tracked["first"].data.params["recipe"] == "seed"
    assert tracked["second"].data.params["recipe.adversarial.steps"] == "4"
    assert cloned.path("mlartifacts").is_dir()


@pytest.mark.slow
@pytest.mark.slowest
def test_an_interrupted_repro_goes_on_and_ends_the_same(reproduced, tmp_path):
    interrupted = clone_with_data(reproduced, tmp_path / "interrupted")
    other = clone_with_data(reproduced, tmp_path / "uninterrupted")
    for project in (interrupted, other):
        change(project, RECIPES, {"recipes": {"sample": {"pretraining": {"steps": 20}, "adversarial": {"steps": 8}}}})
        change(project, "conf/base/parameters_train.yml", {"train": {"checkpoint_every": 4}})
    other.run("dvc", "repro", "evaluate")

    end_at(interrupted, "pretraining 10/20", signal.SIGINT)
    assert changed_stages(interrupted)[0] == "train"
    assert runs(interrupted)[0].info.status == "KILLED"
    log = end_at(interrupted, "adversarial 4/8", signal.SIGKILL)
    assert "going on from the checkpoint of step" in log
    assert changed_stages(interrupted)[0] == "train"
    done = interrupted.run("dvc", "repro", "evaluate")
    assert "going on from the checkpoint of step" in done.stderr
    assert stages_run(done.stdout) == ["train", "evaluate"]
    assert lock(interrupted) == lock(other)
    (run,) = runs(interrupted)
    assert run.info.status == "FINISHED"


def end_at(project, text, number):
    """Start `dvc repro`, and send a signal to it and all it has started, as a terminal does, once it says ``text``."""
    with project.started("dvc", "repro", "evaluate") as run:
        run.wait_for(text)
        os.killpg(run.process.pid, number)
        assert run.process.wait(timeout=PATIENCE) != 0
    return run.log.read_text()


@pytest.mark.slow
def test_the_committed_lock_has_the_hashes_of_the_data(tmp_path):
    """Those of the training are the same only on processors alike: docs/dvc.md."""
    project = Project(tmp_path / "project")
    shutil.copy(REPOSITORY / "dvc.lock", project.path("dvc.lock"))
    project.git("init", "-q")
    before = hashes(project)
    assert stages_run(project.run("dvc", "repro", "materialize").stdout) == ["ingest", "materialize"]
    assert hashes(project) == before


@pytest.fixture
def coco(tmp_path):
    """A repository that has switched to the stages of conf/coco2014, with a COCO data set of eight photographs."""
    project = Project(tmp_path / "project")
    make_tiny(project)
    overlay = {
        "recipe": "sample",
        "materialize": TINY["materialize"],
        "perceptual": {"weights": "untrained"},
        "evaluate": {"max_images": 1},
    }
    change(project, "conf/coco2014/parameters.yml", overlay)
    split = write_sample(tmp_path / "sample")
    root = project.path("data/01_raw/coco")
    for name, paths in (("train2014", split.train), ("val2014", split.val)):
        shutil.copytree(paths.images, root / name)
        (root / "annotations").mkdir(exist_ok=True)
        shutil.copy(paths.annotations, root / f"annotations/instances_{name}.json")
    shutil.copy(project.path("conf/coco2014/dvc.yml"), project.path("dvc.yaml"))
    project.git("init", "-q")
    project.git("add", "-A")
    project.git("commit", "-qm", "start")
    return project


def test_the_coco_stages_follow_the_photographs(coco):
    assert stages_run(coco.run("dvc", "repro", "ingest").stdout) == ["ingest"]
    assert "ingest" not in changed_stages(coco)
    photograph = coco.path("data/01_raw/coco/train2014/coffee.png")
    photograph.write_bytes(photograph.read_bytes() + b"0")
    assert "ingest" in changed_stages(coco)


@pytest.mark.slow
@pytest.mark.slowest
def test_the_whole_coco_chain_by_repro(coco):
    assert stages_run(coco.run("dvc", "repro").stdout) == STAGES
    assert coco.git("status", "--porcelain").split() == ["??", "dvc.lock"]
    assert stages_run(coco.run("dvc", "repro").stdout) == []
    (run,) = runs(coco)
    assert run.data.tags["source"] == "coco"
    # What the lock says of parameters is what the run had.
    locked = {}
    for stage in yaml.safe_load(lock(coco))["stages"].values():
        for file in sorted(stage["params"]):  # conf/base, then conf/coco2014 over it
            locked |= flatten(stage["params"][file])
    assert_logged(locked, run)
    assert locked["perceptual.weights"] == "untrained"
    assert locked["evaluate.max_images"] == 1

    change(coco, "conf/coco2014/parameters.yml", {"evaluate": {"max_images": 2}})
    assert stages_run(coco.run("dvc", "repro").stdout) == ["evaluate", "register"]
    change(coco, "conf/coco2014/parameters.yml", {"recipe": "seed"})
    assert changed_stages(coco) == ["train"]
