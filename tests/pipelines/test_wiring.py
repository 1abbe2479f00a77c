"""Do pipelines, catalog and dvc.yaml say the same?"""

import subprocess
import sys

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


# Each file of stages, and the environment it is for.
@pytest.fixture(scope="module", params=[("dvc.yaml", "base"), ("conf/coco2014/dvc.yml", "coco2014")])
def pipeline_file(request):
    return request.param


@pytest.fixture(scope="module")
def environment(pipeline_file):
    return pipeline_file[1]


@pytest.fixture(scope="module")
def stages(pipeline_file):
    return yaml.safe_load((REPOSITORY / pipeline_file[0]).read_text())["stages"]


def paths(catalog, names):
    kept = {name: entry for name, entry in catalog.items() if entry["type"] != "MemoryDataset"}
    return {entry.get("filepath") or entry.get("path") for name, entry in kept.items() if name in names}


def covers(listed, path):
    """DVC follows a path that is listed itself or lies below one that is."""
    return any(path == item or path.startswith(f"{item}/") for item in listed)


def outs_of(stage):
    listed = stage.get("outs", []) + stage.get("metrics", [])
    return [next(iter(out)) if isinstance(out, dict) else out for out in listed]


def leaves(tree, prefix=""):
    """Values that are no mappings, by their dotted names; an empty mapping is one."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def parameters(environment):
    """Each parameter's name: the file its value comes from, and the value."""
    files = sorted((REPOSITORY / "conf/base").glob("parameters*.yml"))
    if environment != "base":
        files += sorted((REPOSITORY / "conf" / environment).glob("parameters*.yml"))
    found = {}
    for file in files:
        for name, value in leaves(yaml.safe_load(file.read_text())):
            found[name] = str(file.relative_to(REPOSITORY)), value
    return found


def test_there_is_a_stage_for_each_pipeline(stages, environment):
    pipelines = register_pipelines()
    assert list(stages) == STAGES
    assert set(STAGES) | {"__default__", "postprocess"} == set(pipelines)  # the latter's folders are a user's own
    assert {node.name for node in pipelines["__default__"].nodes} == {
        node.name for name in STAGES for node in pipelines[name].nodes
    }
    for name, stage in stages.items():
        assert stage["cmd"].endswith(f"kedro run --env={environment} --pipelines={name}")


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


def test_stages_depend_on_the_code_they_import():
    done = subprocess.run([sys.executable, "scripts/dvc_code_deps.py", "--check"], cwd=REPOSITORY, check=False)
    assert done.returncode == 0, "the imports have changed: make dvc-deps, then dvc repro"


@pytest.mark.parametrize("name", STAGES)
def test_stage_depends_on_the_parameters_the_pipeline_reads(name, stages, environment):
    read = {i.removeprefix("params:") for i in register_pipelines()[name].inputs() if i.startswith("params:")}
    known = parameters(environment)
    recipe = f"recipes.{known['recipe'][1]}"
    listed = [
        (file, key.replace("recipes.${recipe}", recipe))
        for entry in stages[name]["params"]
        for file, keys in entry.items()
        for key in keys
    ]
    assert {key.partition(".")[0] for _, key in listed} == read
    assert "recipes" not in {key for _, key in listed}, "other recipes are no input"
    for parameter, (file, _) in known.items():
        top = parameter.partition(".")[0]
        if top in read and (top != "recipes" or covers_parameter(recipe, parameter)):
            assert any(file == f and covers_parameter(key, parameter) for f, key in listed), (file, parameter)


def covers_parameter(key, parameter):
    return parameter == key or parameter.startswith(f"{key}.")


def test_every_dataset_belongs_to_a_pipeline(catalog):
    assert set(catalog) <= {name for pipeline in register_pipelines().values() for name in pipeline.datasets()}
