"""``sr-pipeline promote``: which registered version is the champion."""

import click


@click.command()
@click.argument("version", required=False)
@click.option("--rollback", is_flag=True, help="Make the previous champion the champion again.")
@click.option("--model", "model_name", default="sr-generator", show_default=True, help="Name of the registered model.")
def promote(version: str | None, rollback: bool, model_name: str) -> None:
    """Make a registered VERSION the champion, or go back to the one before.

    The champion is what models:/sr-generator@champion means to all who use it.
    """
    from sr_pipeline.tracking import registry
    from sr_pipeline.tracking.store import open_store

    if (version is None) == (not rollback):
        raise click.UsageError("name either a VERSION or --rollback")
    client = open_store()
    click.echo(
        registry.roll_back(client, model_name) if version is None else registry.promote(client, model_name, version)
    )
