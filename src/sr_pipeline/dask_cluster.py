"""Clients of Dask clusters: of this machine's processes, or of a scheduler that people have started."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from sr_pipeline.errors import UserError

_PATIENCE = 120  # seconds until a cluster must have a worker


@contextlib.contextmanager
def local_client(workers: int) -> Iterator[Any]:
    """A client of as many single-threaded processes of this machine, which end with it."""
    import dask.config
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.WARNING)
    # Workers report through their results; all else they log is about connections that end with the cluster.
    environment = dask.config.get("distributed.nanny.pre-spawn-environ")
    quiet = {"distributed.nanny.pre-spawn-environ": environment | {"DASK_LOGGING__DISTRIBUTED": "critical"}}
    with (
        dask.config.set(quiet),
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def scheduler_client(address: str, parameter: str) -> Iterator[Any]:
    """A client of the scheduler at that address, once it has a worker.

    Args:
        address: ``tcp://host:port``.
        parameter: where the address comes from, for messages.

    Raises:
        UserError: if no scheduler answers, or it has no worker.
    """
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.WARNING)
    try:
        client = Client(address)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at {parameter}={address} ({error}); start it, "
            f"or set {parameter}=null to work on this machine"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise UserError(
                f"the Dask scheduler at {address} has had no worker for {_PATIENCE} s; start one: dask worker {address}"
            ) from error
        yield client
