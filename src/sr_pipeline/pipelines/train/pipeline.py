"""Wiring of the train pipeline."""

from kedro.pipeline import Pipeline, node, pipeline

from sr_pipeline.pipelines.train.nodes import choose_recipe, train_generators


def create_pipeline() -> Pipeline:
    """From ``crops_train`` and ``crops_val`` to generators, ``history``, ``samples`` and ``mlflow_run``."""
    return pipeline(
        [
            node(
                choose_recipe,
                inputs=["params:recipe", "params:recipes", "params:perceptual"],
                outputs="chosen_recipe",
                name="choose_recipe",
            ),
            node(
                train_generators,
                inputs=[
                    "crops_train",
                    "crops_val",
                    "chosen_recipe",
                    "params:seed",
                    "params:train",
                    "params:perceptual",
                    "params:lpips",
                ],
                outputs=["generators", "best_generator", "history", "samples", "mlflow_run"],
                name="train_generators",
            ),
        ],
        tags="train",
    )
