"""Mistakes a user makes: one clear line, exit code 1, no traceback."""

import ctypes
import json
import subprocess
import sys

import pytest
import yaml

from tests.conftest import TINY, Project

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def error_of(done):
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    assert done.stderr.rstrip().endswith(errors[0])
    return errors[0]


# Arguments of `kedro run`, and what the one line says.
MISTAKES = {
    "--params=recipe=smaple": "recipe 'smaple' is unknown; did you mean 'sample'?",
    "--params=train.precison=float32": "parameter 'train.precison' is unknown; did you mean 'train.precision'?",
    "--pipeline=trian": "pipeline 'trian' is unknown; did you mean 'train'?",
    "--pipelines=ingest,trian": "pipeline 'trian' is unknown; did you mean 'train'?",
    "--env=coco2041": "configuration environment 'coco2041' is unknown; ",
    "--params=ingest.source=coco": "the folder of train images is missing: data/01_raw/coco/train2014",
    "--env=coco2014": "the folder of train images is missing: data/01_raw/coco/train2014",
    "--params=perceptual.weights=vgg.weights.h5": "the VGG19 weights file vgg.weights.h5 is missing; set perceptual",
    "--params=evaluate.metrics=[lpips],lpips.weights=null": "evaluate.metrics asks for lpips, which needs its weights",
    "--params=evaluate.benchmarks.set5=none": "evaluate.benchmarks.set5: there is no folder none",
    "--params=evaluate.matching.space=lab": "parameter 'evaluate.matching.space' is 'lab': input should be",
    "--pipelines=postprocess": "postprocess.pictures is not set; give the folder with --params",
    "--pipelines=materialize": "images.parquet is missing; make it first with kedro run --pipelines=ingest",
    "--pipelines=train": "crops/train is missing; make it first with kedro run --pipelines=materialize",
    "--nodes=train_generators": "chosen_recipe is not kept in a file; choose the nodes that make it as well: choose",
    "--from-nodes=super_resolve": "measured_pictures is not kept in a file; choose the nodes that make it as well: lis",
    "--nodes=train_generator": "Pipeline does not contain nodes named ['train_generator']",
    "--runner=Sequential": "runner 'Sequential' is unknown; choose SequentialRunner, ThreadRunner or ParallelRunner",
    "--tags=evaluation": "Pipeline contains no nodes after applying all provided filters",
    "--params=register.model_name=team/sr": "'register.model_name' is 'team/sr': MLflow allows neither '/' nor ':'",
    "--params=register.metric=psnr_y": "register.metric 'psnr_y' is not set/method/metric, as val/srgan/psnr_y",
    "--params=register.metric=val/srgan/lips": "register.metric 'val/srgan/lips': metric 'lips' will not be measured;",
    "--params=register.metric=set5/srgan/psnr_y": "set 'set5' will not be measured; choose one of: val",
    "--params=lpips.weights=pyproject.toml": "pyproject.toml does not hold the weights of LPIPS-Alex (",
    "--params=perceptual.weights=pyproject.toml": "pyproject.toml does not hold the weights of VGG19 without top (",
}

# Starting Kedro takes seconds: all mistakes are made in one process, which reports as JSON what each command said.
IN_ONE_PROCESS = """
import contextlib, io, json, sys
from kedro.framework.cli.cli import main

said = {}
for argument in json.loads(sys.argv[1]):
    sys.argv = ["kedro", "run", argument]
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
    said[argument] = (code, out.getvalue(), error.getvalue())
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What `kedro run` says to each mistake, as a finished process."""
    project = Project(tmp_path_factory.mktemp("mistakes") / "project", TINY)
    done = project.run("python", "-c", IN_ONE_PROCESS, json.dumps(list(MISTAKES)))
    assert not project.path("data/02_intermediate/images.parquet").exists()
    return {
        argument: subprocess.CompletedProcess(argument, *outcome)
        for argument, outcome in json.loads(done.stdout.splitlines()[-1]).items()
    }


@pytest.mark.parametrize("argument", MISTAKES)
def test_mistakes_on_the_command_line(said, argument):
    assert MISTAKES[argument] in error_of(said[argument])


def test_no_generator_to_evaluate(project):
    project.kedro("run", "--pipelines=ingest")
    error = error_of(project.kedro("run", "--pipelines=evaluate", check=False))
    assert "data/06_models is missing; make it first with kedro run --pipelines=train" in error


def test_broken_configuration(project):
    project.path("conf/local/parameters.yml").write_text("train: {precision: [")
    assert "parameters.yml" in error_of(project.kedro("run", check=False))


def test_a_file_where_a_folder_should_be(project):
    for entry in project.path("data").iterdir():
        (entry / ".gitkeep").unlink(missing_ok=True)
        entry.rmdir()
    project.path("data").rmdir()
    project.path("data").write_text("")
    assert "cannot write into" in error_of(project.kedro("run", check=False))


@pytest.mark.skipif(sys.platform != "linux", reason="drops a Linux capability, so that root obeys file permissions too")
def test_a_folder_that_cannot_be_written(project):
    def obey_permissions():
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE)

    folder = project.path("data/02_intermediate")
    folder.chmod(0o555)
    done = project.kedro("run", "--pipelines=ingest", check=False, preexec_fn=obey_permissions)
    assert f"cannot write into {folder} (Permission denied); make it writable" in error_of(done)


def test_an_annotation_file_that_is_none(project):
    coco = project.path("coco")
    (coco / "images").mkdir(parents=True)
    (coco / "bad.json").write_text('{"images": [')
    split = {"images": "coco/images", "annotations": "coco/bad.json"}
    local = {"ingest": {"source": "coco", "coco": {"train": split, "val": split}}}
    project.path("conf/local/parameters.yml").write_text(yaml.safe_dump(local))
    error = error_of(project.kedro("run", "--pipelines=ingest", check=False))
    assert "coco/bad.json is not a COCO annotation file" in error
