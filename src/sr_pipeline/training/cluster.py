"""This process among those of a training on several machines; importable without TensorFlow."""

import json
import os

from sr_pipeline.errors import UserError


def is_chief(distribute: str) -> bool:
    """Whether this process is the one that writes: alone, ``chief``, or worker 0 of a cluster without a chief.

    Args:
        distribute: the parameter ``train.distribute``.

    Raises:
        UserError: if TF_CONFIG is not what TensorFlow expects.
    """
    text = os.environ.get("TF_CONFIG")
    if distribute != "multi_worker" or not text:
        return True
    try:
        config = json.loads(text)
        task, cluster = config["task"], config["cluster"]
        return task["type"] == "chief" or (
            "chief" not in cluster and task["type"] == "worker" and int(task["index"]) == 0
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"TF_CONFIG is not a JSON object with 'cluster' and 'task' ({type(error).__name__}: {error}): see "
            "docs/devices.md"
        ) from error
