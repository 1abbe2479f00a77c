"""Wiring of the ingest pipeline."""

from kedro.pipeline import Pipeline, node, pipeline

from sr_pipeline.pipelines.ingest.nodes import inspect_photographs, list_photographs


def create_pipeline() -> Pipeline:
    """From ``params:ingest`` to ``images`` and ``ingest_report``."""
    return pipeline(
        [
            node(list_photographs, inputs="params:ingest", outputs="photographs", name="list_photographs"),
            node(
                inspect_photographs,
                inputs=["photographs", "params:ingest"],
                outputs=["images", "ingest_report"],
                name="inspect_photographs",
            ),
        ]
    )
