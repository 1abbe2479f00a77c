"""Wiring of the evaluate pipeline."""

from kedro.pipeline import Pipeline, node, pipeline

from sr_pipeline.pipelines.evaluate.nodes import (
    average_metrics,
    draw_comparison,
    match_histograms,
    measure_methods,
    super_resolve_held_out,
)


def create_pipeline() -> Pipeline:
    """From ``images`` and ``generators`` to ``per_image``, ``metrics`` and ``comparison``."""
    return pipeline(
        [
            node(
                super_resolve_held_out, inputs=["images", "generators"], outputs="super_resolved", name="super_resolve"
            ),
            node(match_histograms, inputs=["images", "super_resolved"], outputs="matched", name="match_histograms"),
            node(
                measure_methods,
                inputs=["images", "super_resolved", "matched"],
                outputs="per_image",
                name="measure_methods",
            ),
            node(average_metrics, inputs="per_image", outputs="metrics", name="average_metrics"),
            node(
                draw_comparison,
                inputs=["images", "super_resolved", "matched", "per_image", "params:evaluate"],
                outputs="comparison",
                name="draw_comparison",
            ),
        ]
    )
