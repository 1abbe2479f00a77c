"""Commands: ``kedro run`` of this project, and the console script ``sr-pipeline``, one file per command."""

from typing import Any


def __getattr__(name: str) -> Any:
    """``cli``, the group of commands that Kedro looks for here; ``sr-pipeline`` works without Kedro."""
    if name == "cli":
        from sr_pipeline.cli.kedro_run import cli

        return cli
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
