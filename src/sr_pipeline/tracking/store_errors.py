"""What is wrong with an MLflow store, and the command that helps, in one line instead of MLflow's tracebacks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sr_pipeline.errors import UserError

_CONNECT_SECONDS = 10  # until a database must have answered, unless its address says otherwise

# Parts of what MLflow and databases say, and what that means for the user. ``{store}`` is the store's address.
_MEANINGS = {
    "out-of-date database schema": (
        "the tracking store {store} was made by another version of MLflow; copy the database, then run mlflow db "
        "upgrade '{store}' (if a newer MLflow made it, install that one instead)"
    ),
    "filesystem tracking backend": (
        "the tracking store {store} is a folder of files, which MLflow has given up; copy its runs into a database "
        "with mlflow migrate-filestore --source FOLDER --target sqlite:///FILE, then set MLFLOW_TRACKING_URI to that, "
        "or unset it to track in this folder"
    ),
    "database is locked": (
        "the tracking store {store} is locked by another program; let it finish or close it, then start again"
    ),
    "file is not a database": (
        "the tracking store {store} is damaged, or not a database; restore it from a copy, or move it away: a new one "
        "is made at the next start"
    ),
    "disk image is malformed": (
        "the tracking store {store} is damaged; restore it from a copy, or move it away: a new one is made at the next "
        "start"
    ),
}


@contextmanager
def explain_store_errors() -> Iterator[None]:
    """Turn errors of the store of this process into one line.

    Raises:
        UserError: if the block raises what MLflow, a database, its driver or the network raise.
    """
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (mlflow.exceptions.MlflowException, SQLAlchemyError, ModuleNotFoundError, OSError) as error:
        raise UserError(_explanation(error, shown(mlflow.get_tracking_uri()))) from error


def shown(uri: str) -> str:
    """The address of a store as messages may show it: without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return uri
    return uri if url.password is None else url.render_as_string()


def check_database(uri: str) -> None:
    """Connect to the database of a store once, if it is one; MLflow itself would try for up to an hour.

    Raises:
        Exception: of SQLAlchemy, if it cannot be reached or read; ModuleNotFoundError, if its driver is missing.
    """
    from mlflow.store.db.db_types import DATABASE_ENGINES
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.engine import make_url

    kind = uri.partition(":")[0].partition("+")[0]
    if kind not in DATABASE_ENGINES:
        return
    url = make_url(uri)
    if kind == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)  # as MLflow does
    limited = kind in ("postgresql", "mysql") and "connect_timeout" not in url.query
    engine = create_engine(url, connect_args={"connect_timeout": _CONNECT_SECONDS} if limited else {})
    try:
        inspect(engine).get_table_names()
    finally:
        engine.dispose()


def _explanation(error: Exception, store: str) -> str:
    first_line = str(error).partition("\n")[0]
    reason = (first_line.partition("(Caused by ")[2].removesuffix(")") or first_line)[:300]
    for part, meaning in _MEANINGS.items():
        if part in str(error):
            return meaning.format(store=store)
    if isinstance(error, ModuleNotFoundError):
        package = "psycopg[binary]" if error.name == "psycopg" else error.name
        return (
            f"the tracking store {store} needs a package that is not installed; pip install '{package}', or set "
            "MLFLOW_TRACKING_URI to the address of a tracking server"
        )
    if store.startswith("sqlite"):
        return f"the tracking store {store} cannot be used ({reason})"
    return (
        f"the tracking store {store} does not answer ({reason}); start it, or unset MLFLOW_TRACKING_URI to track in "
        "this folder"
    )
