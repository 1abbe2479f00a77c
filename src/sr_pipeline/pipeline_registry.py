"""The pipelines by name."""

from kedro.pipeline import Pipeline

from sr_pipeline.pipelines.evaluate.pipeline import create_pipeline as evaluate
from sr_pipeline.pipelines.ingest.pipeline import create_pipeline as ingest
from sr_pipeline.pipelines.materialize.pipeline import create_pipeline as materialize
from sr_pipeline.pipelines.postprocess.pipeline import create_pipeline as postprocess
from sr_pipeline.pipelines.register.pipeline import create_pipeline as register
from sr_pipeline.pipelines.train.pipeline import create_pipeline as train


def register_pipelines() -> dict[str, Pipeline]:
    """The five pipelines, all of them as ``__default__``, and ``postprocess`` for any folder of pictures.

    Each is created by name: Kedro's ``find_pipelines`` breaks on composed entries under
    ``kedro run --pipelines=X``.
    """
    pipelines = {
        "ingest": ingest(),
        "materialize": materialize(),
        "train": train(),
        "evaluate": evaluate(),
        "register": register(),
    }
    return {**pipelines, "__default__": sum(pipelines.values(), start=Pipeline([])), "postprocess": postprocess()}
