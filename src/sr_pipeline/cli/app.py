"""``sr-pipeline app``: the page in the browser."""

import click

from sr_pipeline.inference.models import DEFAULT


@click.command()
@click.option("--model", default=DEFAULT, show_default=True, help="The model that is offered first, as for upscale.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0: any that is free.")
@click.option("--open/--no-open", "open_browser", default=True, help="Open the page in the browser.")
def app(model: str, port: int, open_browser: bool) -> None:
    """Enlarge pictures in the browser: a page on this machine, for this machine alone."""
    from sr_pipeline.serving.server import serve

    serve(model, port, open_browser=open_browser)
