"""The MLflow model registry: registered versions, which of them is champion, and why."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.metrics import METRICS

CHAMPION, CHALLENGER = "champion", "challenger"
ARTIFACT = "generator"
"""Under which the plain Keras model lies in a registered model."""

_DATA, _PROTOCOL, _REASON, _PREVIOUS = "data_sha256", "protocol_sha256", "alias_reason", "previous_champion"


class ModelScore(NamedTuple):
    """The figure by which versions are compared.

    Attributes:
        metric: set/method/metric.
        value: of the metric.
        data_sha256: of the set's pictures.
        protocol_sha256: of the way it was measured.
    """

    metric: str
    value: float
    data_sha256: str
    protocol_sha256: str

    def tags(self) -> dict[str, str]:
        """As tags of a model version."""
        return {self.metric: repr(self.value), _DATA: self.data_sha256, _PROTOCOL: self.protocol_sha256}


def score_of(metric: str, metrics: dict[str, float], evaluation: dict[str, Any]) -> ModelScore:
    """The score of an evaluation, by ``metric``.

    Raises:
        UserError: if the metric was not measured.
    """
    if metric not in metrics:
        raise UserError(f"register.metric '{metric}' was not measured; choose one of: {', '.join(metrics)}")
    content = json.dumps(evaluation["protocol"], sort_keys=True)
    data = evaluation["sets"][metric.partition("/")[0]]["sha256"]
    return ModelScore(metric, metrics[metric], data, hashlib.sha256(content.encode()).hexdigest())


def choose_alias(client: Any, model_name: str, score: ModelScore) -> tuple[str, str]:
    """The alias for a new version, and the reason.

    Figures are comparable if metric, pictures and protocol are the same; if they are not, the champion stays.
    """
    champion = find_alias(client, model_name, CHAMPION)
    if champion is None:
        return CHAMPION, "there was no champion"
    name = f"champion (version {champion.version})"
    tags = champion.tags
    if score.metric not in tags:
        return CHALLENGER, f"{score.metric} of the {name} is unknown"
    if tags.get(_DATA) != score.data_sha256:
        return CHALLENGER, f"the {name} was measured on other pictures; evaluate both on the same ones to compare"
    if tags.get(_PROTOCOL) != score.protocol_sha256:
        return CHALLENGER, f"the {name} was measured by another protocol; evaluate both by the same to compare"
    best = float(tags[score.metric])
    measure = METRICS.get(score.metric.rpartition("/")[2])
    sign = -1 if measure and not measure.higher_is_better else 1
    comparison = f"{score.metric} {score.value:.4f} against {best:.4f} of the {name}"
    return (CHAMPION if sign * score.value > sign * best else CHALLENGER), comparison


def give_alias(client: Any, model_name: str, version: str, alias: str, reason: str) -> None:
    """Give a version its alias and note the reason; a champion that it replaces is noted, so that you can go back."""
    previous = find_alias(client, model_name, CHAMPION)
    if alias == CHAMPION and previous is not None and previous.version != version:
        client.set_registered_model_tag(model_name, _PREVIOUS, previous.version)
    client.set_registered_model_alias(model_name, alias, version)
    client.set_model_version_tag(model_name, version, _REASON, f"{alias}: {reason}")


def promote(client: Any, model_name: str, version: str) -> str:
    """Make a version champion by hand; returns what was done in a sentence.

    Raises:
        UserError: if there is no such version.
    """
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(model_name, version)
    except MlflowException as error:
        raise UserError(f"there is no version {version} of {model_name}; {_versions(client, model_name)}") from error
    before = find_alias(client, model_name, CHAMPION)
    give_alias(client, model_name, str(found.version), CHAMPION, "promoted by hand")
    if before is None or before.version == found.version:
        return f"{model_name} version {found.version} is champion"
    return f"{model_name} version {found.version} is champion; version {before.version} was"


def roll_back(client: Any, model_name: str) -> str:
    """Make the previous champion the champion again.

    Raises:
        UserError: if none is known.
    """
    from mlflow.exceptions import MlflowException

    try:
        previous = client.get_registered_model(model_name).tags.get(_PREVIOUS)
    except MlflowException as error:
        raise UserError(f"there is no registered model {model_name}") from error
    if previous is None:
        raise UserError(f"no earlier champion of {model_name} is known; {_versions(client, model_name)}")
    return promote(client, model_name, previous)


def find_alias(client: Any, model_name: str, alias: str) -> Any | None:
    """The version with that alias; None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(model_name, alias)
    except MlflowException:
        return None


def load_registered_generator(uri: str) -> Any:
    """The Keras model behind ``models:/<name>@<alias>`` or ``models:/<name>/<version>``; nothing is unpickled.

    Raises:
        UserError: if this store has none.
    """
    from sr_pipeline.datasets.keras_generators import load_keras_model

    return load_keras_model(registered_generator_file(uri))


def registered_generator_file(uri: str) -> Path:
    """The ``.keras`` file of a registered model, fetched from the store if it lies elsewhere.

    Raises:
        UserError: if this store has none.
    """
    import mlflow

    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"{uri.rstrip('/')}/artifacts"))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise _not_in_registry(uri, error) from error
    return folder / f"{ARTIFACT}.keras"


def registered_model_facts(uri: str) -> dict[str, Any]:
    """The run that a registered model comes from, and what it was trained with.

    Raises:
        UserError: if this store has none.
    """
    import mlflow

    from sr_pipeline.tracking.run import TRAINING_ID

    try:
        info = mlflow.models.get_model_info(uri)
        run = mlflow.get_run(info.run_id)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise _not_in_registry(uri, error) from error
    return {"mlflow_run": info.run_id, TRAINING_ID: run.data.tags.get(TRAINING_ID), "training": dict(run.data.params)}


def _not_in_registry(uri: str, error: Exception) -> UserError:
    import mlflow

    reason = str(error).partition("\n")[0]
    return UserError(
        f"the model {uri} cannot be loaded from {mlflow.get_tracking_uri()} ({reason}); name a registered model "
        "such as models:/sr-generator@champion, or a .keras file"
    )


def _versions(client: Any, model_name: str) -> str:
    versions = sorted(client.search_model_versions(f"name = '{model_name}'"), key=lambda found: int(found.version))
    if not versions:
        return "nothing is registered under that name"
    aliases = client.get_registered_model(model_name).aliases
    listed = [
        " ".join(
            [str(found.version), *(f"({alias})" for alias, version in aliases.items() if version == found.version)]
        )
        for found in versions
    ]
    return f"there are: {', '.join(listed)}"
