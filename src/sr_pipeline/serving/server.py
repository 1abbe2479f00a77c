"""Starting the page."""

import os
import socket
import threading
import webbrowser

import click

from sr_pipeline.errors import UserError
from sr_pipeline.installation import missing_package
from sr_pipeline.serving.model_cache import ModelCache


def serve(model: str, port: int, *, open_browser: bool) -> None:
    """Serve the page on 127.0.0.1 until Ctrl-C.

    Raises:
        UserError: if a package of the extra is missing, the model cannot be opened, or the port is taken.
    """
    try:
        import uvicorn

        from sr_pipeline.serving.app import create_app
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    models = ModelCache(model)
    models.listed()
    models.open(model)  # a mistake shows now, and the first picture does not wait for it
    listener = socket.socket()
    if os.name == "posix":  # on Windows it would let two programs share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise UserError(f"port {port} is taken ({error.strerror}); choose another with --port") from error
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    click.echo(f"The page is at {address} (Ctrl-C ends it)")
    if open_browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    server = uvicorn.Server(uvicorn.Config(create_app(models), log_level="warning", timeout_graceful_shutdown=3))
    server.run(sockets=[listener])
