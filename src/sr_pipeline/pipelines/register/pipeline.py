"""Wiring of the register pipeline."""

from kedro.pipeline import Pipeline, node, pipeline

from sr_pipeline.pipelines.register.nodes import register_generator


def create_pipeline() -> Pipeline:
    """From ``generators``, their measures and ``mlflow_run`` to a version in the registry, which is not a dataset."""
    return pipeline(
        [
            node(
                register_generator,
                inputs=["images", "generators", "metrics", "evaluation", "mlflow_run", "params:register"],
                outputs=None,
                name="register_generator",
            )
        ],
        tags="register",
    )
