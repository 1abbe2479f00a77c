"""Wiring of the evaluate pipeline."""

from kedro.pipeline import Pipeline, node, pipeline

from sr_pipeline.pipelines.evaluate import nodes


def create_pipeline() -> Pipeline:
    """From ``images`` and ``generators`` to numbers, pictures and the report."""
    return pipeline(
        [
            node(
                nodes.list_measured_pictures,
                inputs=["images", "params:evaluate", "params:seed"],
                outputs="measured_pictures",
                name="list_pictures",
            ),
            node(
                nodes.choose_generators,
                inputs=["generators", "mlflow_run", "params:evaluate"],
                outputs=["measured_generators", "measured_model"],
                name="choose_generators",
            ),
            node(
                nodes.super_resolve_pictures,
                inputs=["measured_pictures", "measured_generators", "params:evaluate"],
                outputs="super_resolved",
                name="super_resolve",
            ),
            node(
                nodes.match_histograms,
                inputs=["measured_pictures", "super_resolved", "params:evaluate"],
                outputs="matched",
                name="match_histograms",
            ),
            node(
                nodes.measure_methods,
                inputs=[
                    "measured_pictures",
                    "super_resolved",
                    "matched",
                    "params:evaluate",
                    "params:lpips",
                    "params:perceptual",
                ],
                outputs="per_image",
                name="measure_methods",
            ),
            node(nodes.average_metrics, inputs="per_image", outputs="metrics", name="average_metrics"),
            node(
                nodes.summarize_metrics,
                inputs=["per_image", "params:evaluate"],
                outputs="statistics",
                name="summarize_metrics",
            ),
            node(
                nodes.describe_evaluation,
                inputs=[
                    "measured_pictures",
                    "measured_model",
                    "params:evaluate",
                    "params:lpips",
                    "params:perceptual",
                ],
                outputs="evaluation",
                name="describe_evaluation",
            ),
            node(
                nodes.draw_pictures,
                inputs=["measured_pictures", "super_resolved", "matched", "per_image", "params:evaluate"],
                outputs="sheets",
                name="draw_pictures",
            ),
            node(
                nodes.write_report,
                inputs=[
                    "measured_pictures",
                    "super_resolved",
                    "matched",
                    "per_image",
                    "statistics",
                    "evaluation",
                    "sheets",
                ],
                outputs="report",
                name="write_report",
            ),
        ],
        tags="evaluate",
    )
