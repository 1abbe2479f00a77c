"""Do pipelines, catalog and dvc.yaml say the same?"""

import pytest
import yaml

from sr_pipeline.pipeline_registry import register_pipelines
from tests.conftest import REPOSITORY

STAGES = ["ingest", "materialize", "train", "evaluate", "register"]


@pytest.fixture(scope="module")
def catalog():
    entries = {}
    for file in (REPOSITORY / "conf/base").glob("catalog*.yml"):
        entries |= yaml.safe_load(file.read_text())
    return entries


@pytest.fixture(scope="module")
def stages():
    return yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]


def paths(catalog, names):
    return {entry.get("filepath") or entry.get("path") for name, entry in catalog.items() if name in names}


def covers(listed, path):
    """DVC follows a path that is listed itself or lies below one that is."""
    return any(path == item or path.startswith(f"{item}/") for item in listed)


def outs_of(stage):
    listed = stage.get("outs", []) + stage.get("metrics", [])
    return [next(iter(out)) if isinstance(out, dict) else out for out in listed]


def test_there_is_a_stage_for_each_pipeline(stages):
    pipelines = register_pipelines()
    assert list(stages) == STAGES
    assert set(STAGES) | {"__default__", "postprocess"} == set(pipelines)  # the latter's folders are a user's own
    assert {node.name for node in pipelines["__default__"].nodes} == {
        node.name for name in STAGES for node in pipelines[name].nodes
    }
    for name, stage in stages.items():
        assert stage["cmd"].endswith(f"kedro run --pipelines={name}")


@pytest.mark.parametrize("name", STAGES)
def test_stage_reads_and_writes_what_the_pipeline_does(name, stages, catalog):
    pipeline = register_pipelines()[name]
    outs, deps = outs_of(stages[name]), stages[name]["deps"]
    written, read = paths(catalog, pipeline.all_outputs()), paths(catalog, pipeline.inputs())
    assert all(covers(outs, path) for path in written), written
    assert all(covers(deps, path) for path in read), read
    # Beyond the catalog's, only the sample, which ingest writes to disk itself.
    assert all(any(covers([out], path) for path in written) or out == "data/01_raw/sample" for out in outs)
    assert all((REPOSITORY / dep).exists() for dep in deps if dep.startswith("src/"))


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_the_parameters_the_pipeline_reads(name, stages):
    read = {i.removeprefix("params:") for i in register_pipelines()[name].inputs() if i.startswith("params:")}
    listed = {key for entry in stages[name]["params"] for keys in entry.values() for key in keys}
    assert {"recipes" if key.startswith("recipes.") else key for key in listed} == read


def test_every_dataset_belongs_to_a_pipeline(catalog):
    assert set(catalog) <= {name for pipeline in register_pipelines().values() for name in pipeline.datasets()}
