"""Wiring of the postprocess pipeline."""

from kedro.pipeline import Pipeline, node, pipeline

from sr_pipeline.pipelines.postprocess.nodes import match_folder


def create_pipeline() -> Pipeline:
    """From the folders that ``params:postprocess`` names to ``postprocessed``."""
    return pipeline(
        [node(match_folder, inputs="params:postprocess", outputs="postprocessed", name="match_folder")],
        tags="postprocess",
    )
