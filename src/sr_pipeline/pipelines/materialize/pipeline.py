"""Wiring of the materialize pipeline."""

from kedro.pipeline import Pipeline, node, pipeline

from sr_pipeline.pipelines.materialize.nodes import plan_crops


def create_pipeline() -> Pipeline:
    """From ``images`` to ``crops_train`` and ``crops_val``."""
    return pipeline(
        [
            node(
                plan_crops,
                inputs=["images", "params:seed", "params:materialize"],
                outputs=["crops_train", "crops_val"],
                name="materialize_crops",
            )
        ],
        tags="materialize",
    )
