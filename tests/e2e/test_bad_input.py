"""Mistakes a user makes: one clear line, exit code 1, no traceback."""

import ctypes
import sys

import pytest
import yaml

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def error_of(done):
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    assert done.stderr.rstrip().endswith(errors[0])
    return errors[0]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--params=recipe=smaple", "recipe 'smaple' is unknown; did you mean 'sample'?"),
        ("--params=train.precison=float32", "parameter 'train.precison' is unknown; did you mean 'train.precision'?"),
        ("--pipeline=trian", "pipeline 'trian' is unknown; did you mean 'train'?"),
        ("--pipelines=ingest,trian", "pipeline 'trian' is unknown; did you mean 'train'?"),
        ("--env=coco2041", "configuration environment 'coco2041' is unknown; "),
        ("--params=ingest.source=coco", "the folder of train images is missing: data/01_raw/coco/train2014"),
        ("--env=coco2014", "the folder of train images is missing: data/01_raw/coco/train2014"),
        (
            "--params=perceptual.weights=vgg.weights.h5",
            "the VGG19 weights file vgg.weights.h5 is missing; set perceptual",
        ),
        (
            "--params=evaluate.metrics=[lpips],lpips.weights=null",
            "evaluate.metrics asks for lpips, which needs its weights",
        ),
        ("--params=evaluate.benchmarks.set5=none", "evaluate.benchmarks.set5: there is no folder none"),
        ("--params=evaluate.matching.space=lab", "parameter 'evaluate.matching.space' is 'lab': input should be"),
        ("--pipelines=postprocess", "postprocess.pictures is not set; give the folder with --params"),
        ("--pipelines=materialize", "images.parquet is missing; make it first with kedro run --pipelines=ingest"),
        ("--pipelines=train", "crops/train is missing; make it first with kedro run --pipelines=materialize"),
    ],
)
def test_mistakes_on_the_command_line(project, argument, message):
    assert message in error_of(project.kedro("run", argument, check=False))
    assert not project.path("data/02_intermediate/images.parquet").exists()


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
    assert "coco/bad.json is no COCO annotation file" in error
