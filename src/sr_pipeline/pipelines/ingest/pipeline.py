"""Wiring of the ingest pipeline."""

from kedro.pipeline import Pipeline, node, pipeline

from sr_pipeline.pipelines.ingest.nodes import draw_contact_sheet, inspect_photographs, list_photographs


def create_pipeline() -> Pipeline:
    """From ``params:ingest`` to ``images``, ``ingest_report`` and ``contact_sheet``."""
    return pipeline(
        [
            node(
                list_photographs,
                inputs=["params:ingest", "params:seed"],
                outputs="photographs",
                name="list_photographs",
            ),
            node(
                inspect_photographs,
                inputs=["photographs", "params:ingest"],
                outputs=["images", "ingest_report"],
                name="inspect_photographs",
            ),
            node(draw_contact_sheet, inputs="images", outputs="contact_sheet", name="draw_contact_sheet"),
        ],
        tags="ingest",
    )
