"""Kedro hooks: parameters and folders are checked before anything runs, MLflow tracks what does, DVC's cache stays."""

import atexit
import json
import os
import signal
import stat
import tempfile
import threading
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.measuring import check_metrics, chosen_metrics
from sr_pipeline.evaluation.methods import ORDER
from sr_pipeline.evaluation.metrics import Networks
from sr_pipeline.evaluation.parameters import HELD_OUT
from sr_pipeline.evaluation.pictures import check_benchmarks
from sr_pipeline.installation import CROPS, TRAINING, require
from sr_pipeline.parameters import ProjectParameters, check_parameters
from sr_pipeline.sources.listing import check_source
from sr_pipeline.tracking import messages, run
from sr_pipeline.training.cluster import is_chief

# Roles that the catalog gives datasets in their ``metadata``.
GENERATORS, TRAINING_RUN, METRICS, EVALUATION = "generators", "training_run", "metrics", "evaluation"


class ProjectChecks:
    """Finds mistakes in parameters and folders at the start, not after hours of training."""

    def __init__(self) -> None:
        self._parameters: ProjectParameters | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters, and make relative paths in them relative to the project folder."""
        os.chdir(context.project_path)
        conf = Path(context.config_loader.conf_source)
        if context.env and not (conf / context.env).is_dir():
            known = ", ".join(sorted(folder.name for folder in conf.iterdir() if folder.is_dir()))
            raise UserError(f"configuration environment '{context.env}' is unknown; {conf} has: {known}")
        self._parameters = check_parameters(context.config_loader["parameters"])

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Check that what the pipeline reads is there, and that every folder it writes into can be written."""
        assert self._parameters is not None
        check_packages(pipeline)
        _check_files(self._parameters, pipeline)
        _check_kept(pipeline, catalog)
        if self._parameters.evaluate.model is not None:
            _measure_another_model(pipeline, catalog)
        for name in sorted(pipeline.inputs()):
            location = _location(catalog, name)
            if location is not None and not catalog.exists(name):
                raise UserError(f"{location} is missing; make it first with kedro run --pipelines={_producer(name)}")
        _check_only_training_is_distributed(self._parameters.train.distribute, pipeline)
        for name in sorted(pipeline.all_outputs()):
            if not is_chief(self._parameters.train.distribute):
                catalog[name] = MemoryDataset()  # only one of several machines writes
            location = _location(catalog, name)
            if location is not None:
                _check_writable(location.parent)


class CacheProtection:
    """Keeps DVC's cache as it is where DVC links results from it (``cache.type``) instead of copying them.

    Such links are write-protected, but not against root, who would write into the cache through them.
    """

    def __init__(self) -> None:
        self._catalog: DataCatalog | None = None

    @hook_impl
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Keep where datasets are."""
        self._catalog = catalog

    @hook_impl
    def before_dataset_saved(self, dataset_name: str) -> None:
        """Replace a link by a file of its own; datasets that are folders replace their files already."""
        location = _location(self._catalog, dataset_name)
        if location is not None and _is_protected_link(location):
            location.unlink()


class MlflowTracking:
    """One MLflow run per ``kedro run``, with a true status whatever happens."""

    def __init__(self) -> None:
        self._project = Path()
        self._parameters: ProjectParameters | None = None
        self._catalog: DataCatalog | None = None
        self._figures: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what the run will be described with."""
        self._project = Path(context.project_path).resolve()
        self._parameters = check_parameters(context.config_loader["parameters"])

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Begin or join the MLflow run."""
        assert self._parameters is not None
        self._catalog = catalog
        _die_orderly()
        if not is_chief(self._parameters.train.distribute):
            return
        run.begin_run(
            self._project,
            self._parameters,
            _in_order(run_params.get("pipeline_names") or []),
            _training_id(pipeline, catalog),
            trains=TRAINING_RUN in _roles(catalog, pipeline.all_outputs()),
        )
        atexit.register(run.end_run, "KILLED")  # does nothing once the run has ended

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Register the generator from a new MLflow run if this one was deleted meanwhile."""
        if "params:register" in node.inputs and self._parameters is not None:
            run.replace_deleted_run(
                partial(run.begin_run, self._project, self._parameters, ["register"], None, trains=False)
            )

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log metrics, and attach reports and pictures, as soon as they are on disk."""
        metadata = _metadata(self._catalog, dataset_name)
        self._log_figures(metadata.get("role"), data)
        location = _location(self._catalog, dataset_name)
        if location is None or metadata.get("mlflow") != "artifact":
            return
        if location.is_dir():
            messages.log_folder(location)
        elif location.is_file():
            messages.log_file(location)

    def _log_figures(self, role: str | None, data: Any) -> None:
        """Log metrics with the pictures they were measured on, once both are known."""
        if role in (METRICS, EVALUATION):
            self._figures[role] = data
            if len(self._figures) == 2:
                messages.log_final_metrics(self._figures[METRICS], self._figures[EVALUATION])

    @hook_impl
    def after_pipeline_run(self) -> None:
        """The run went through."""
        run.end_run("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """The run did not."""
        run.end_run("FAILED", error)


def _in_order(names: list[str]) -> list[str]:
    """Pipelines in the order in which data flows through them."""
    from sr_pipeline.pipeline_registry import register_pipelines

    order = list(register_pipelines())
    return sorted(names, key=order.index)


def check_packages(pipeline: Pipeline) -> None:
    """Check that what makes crops, trains and evaluates can be imported, before photographs are downloaded for it.

    Raises:
        UserError: if not.
    """
    producers = {_producer(name) for name in pipeline.all_outputs()}
    needed = {"materialize": CROPS, "train": TRAINING, "evaluate": ("tensorflow",)}
    require(*sorted({package for name in producers for package in needed.get(name, ())}))


def _check_files(parameters: ProjectParameters, pipeline: Pipeline) -> None:
    """Check that the files exist which the parameters among the pipeline's inputs name."""
    inputs = pipeline.inputs()
    if "params:ingest" in inputs:
        check_source(parameters.ingest)
    if "params:train" in inputs:
        recipe = parameters.chosen_recipe()
        parameters.perceptual.check(recipe.adversarial.features)
        parameters.lpips.check_file()
        if recipe.pretraining:
            recipe.pretraining.check_file()
    if "params:evaluate" in inputs:
        check_benchmarks(parameters.evaluate.benchmarks)
        check_metrics(parameters.evaluate, Networks(parameters.lpips, parameters.perceptual))
    if "params:register" in inputs:
        _check_registered_metric(parameters)


def _check_registered_metric(parameters: ProjectParameters) -> None:
    """Check that an evaluation gives the metric by which generators are compared."""
    networks = Networks(parameters.lpips, parameters.perceptual)
    choices = {
        "set": [HELD_OUT, *parameters.evaluate.benchmarks],
        "method": list(ORDER),
        "metric": list(chosen_metrics(parameters.evaluate, networks)),
    }
    parts = parameters.register_.metric.split("/")
    if len(parts) != len(choices):
        raise UserError(
            f"register.metric '{parameters.register_.metric}' is not set/method/metric, as val/srgan/psnr_y"
        )
    for part, (name, known) in zip(parts, choices.items(), strict=True):
        if part not in known:
            raise UserError(
                f"register.metric '{parameters.register_.metric}': {name} '{part}' will not be measured; choose one "
                f"of: {', '.join(known)}"
            )


def _check_kept(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Check that nothing is needed that only nodes left out would make, and that no file keeps."""
    wanted = {name for name in pipeline.inputs() if name not in catalog and not name.startswith("param")}
    missing = sorted(wanted)
    makers: list[str] = []
    everything = all_nodes()
    while wanted:
        name = wanted.pop()
        for node in everything.nodes:
            if name in node.outputs and node.name not in makers:
                makers.append(node.name)
                wanted |= {each for each in node.inputs if each not in catalog and not each.startswith("param")}
    if missing:
        chosen = {node.name for node in pipeline.nodes}
        order = [node.name for node in everything.nodes if node.name in makers and node.name not in chosen]
        raise UserError(
            f"{missing[0]} is not kept in a file; choose the nodes that make it as well: {', '.join(order)}"
        )


def _measure_another_model(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Let evaluation do without the generators of a training, since ``evaluate.model`` names another."""
    if "params:register" in pipeline.inputs():
        raise UserError(
            "evaluate.model names another generator than the trained one, which would be registered with the other's "
            "figures: use it with kedro run --pipelines=evaluate"
        )
    if "params:evaluate" in pipeline.inputs():
        for name in pipeline.inputs():
            if _metadata(catalog, name).get("role") in (GENERATORS, TRAINING_RUN):
                catalog[name] = MemoryDataset({})


def _check_only_training_is_distributed(distribute: str, pipeline: Pipeline) -> None:
    """Only training runs on several machines; a single one does what comes before and after."""
    if distribute == "multi_worker" and any(_producer(name) != "train" for name in pipeline.all_outputs()):
        raise UserError(
            "train.distribute=multi_worker is for kedro run --pipelines=train, started on each machine; run the other "
            "pipelines on one of them, without it"
        )


def all_nodes() -> Pipeline:
    """The nodes of all pipelines."""
    from sr_pipeline.pipeline_registry import register_pipelines

    return sum(register_pipelines().values(), start=Pipeline([]))


def _producer(dataset: str) -> str:
    """The pipeline that writes ``dataset``."""
    from sr_pipeline.pipeline_registry import register_pipelines

    return next(name for name, pipeline in register_pipelines().items() if dataset in pipeline.all_outputs())


def _training_id(pipeline: Pipeline, catalog: DataCatalog) -> str | None:
    """What training the pipeline's inputs come from, if it builds on one."""
    if not _roles(catalog, pipeline.inputs()) & {GENERATORS, TRAINING_RUN}:
        return None
    written = pipeline.all_outputs()
    runs = [name for name in catalog if name not in written and _metadata(catalog, name).get("role") == TRAINING_RUN]
    locations = [location for name in runs if (location := _location(catalog, name)) and location.is_file()]
    if not locations:
        return None
    identity = json.loads(locations[0].read_text(encoding="utf-8")).get(run.TRAINING_ID)
    return str(identity) if identity else None


def _metadata(catalog: DataCatalog | None, name: str) -> dict[str, str]:
    """What the catalog says of a dataset for these hooks: its ``role``, and whether MLflow keeps it (``mlflow``)."""
    dataset = catalog.get(name) if catalog is not None and name in catalog else None
    return getattr(dataset, "metadata", None) or {}


def _roles(catalog: DataCatalog, names: set[str]) -> set[str]:
    return {role for name in names if (role := _metadata(catalog, name).get("role"))}


def _location(catalog: DataCatalog | None, name: str) -> Path | None:
    """Path on disk of a dataset, None if it has none or lies on object storage."""
    dataset = catalog.get(name) if catalog is not None and name in catalog else None
    for attribute in ("_filepath", "_folder", "_path"):
        path = getattr(dataset, attribute, None)
        if path is not None and "://" not in str(path):
            return Path(path)
    return None


def _is_protected_link(path: Path) -> bool:
    if not path.is_file():
        return False
    status = path.stat()
    return not status.st_mode & stat.S_IWUSR and (path.is_symlink() or status.st_nlink > 1)


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write into {folder} ({error.strerror}); make it writable, or run in a project folder that is"
        ) from error


def _die_orderly() -> None:
    """Let SIGTERM end the process as Ctrl-C does, so that the MLflow run ends as KILLED."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _exit_on_signal)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
