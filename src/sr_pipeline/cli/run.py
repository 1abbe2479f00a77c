"""``sr-pipeline run``: what ``kedro run`` does, for an installed package without Kedro's own command."""

from pathlib import Path

import click

from sr_pipeline.errors import UserError


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def run(options: tuple[str, ...]) -> None:
    """Run pipelines in a project's folder, as kedro run does."""
    from sr_pipeline.cli.kedro_run import run_project

    if not (Path.cwd() / "conf" / "base").is_dir() or not (Path.cwd() / "pyproject.toml").is_file():
        raise UserError(f"{Path.cwd()} is not the folder of a project: it needs pyproject.toml and conf/base")
    run_project(Path.cwd(), list(options))
