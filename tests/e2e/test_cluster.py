"""Two machines, played by two processes on 127.0.0.1, train together."""

import json
import subprocess

import keras
import mlflow
import numpy as np
import pytest

from tests.conftest import PATIENCE
from tests.servers import free_ports


@pytest.mark.slow
@pytest.mark.slowest
def test_two_processes_train_as_one_does(finished, tmp_path):
    alone, project = (finished.prepared_copy(tmp_path / name) for name in ("alone", "together"))
    alone.kedro("run", "--pipelines=train", "--params=train.precision=float32")
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    parameters = "--params=train.precision=float32,train.distribute=multi_worker"
    workers = [
        subprocess.Popen(
            project.command("kedro", "run", "--pipelines=train", parameters),
            cwd=project.folder,
            env=project.environment()
            | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": number}})},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    logs = [worker.communicate(timeout=PATIENCE)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(logs)
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sr-pipeline")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"]
    for name in ("generator.keras", "generator_best.keras", "srresnet.keras"):
        ours, theirs = (keras.saving.load_model(p.path(f"data/06_models/{name}")) for p in (project, alone))
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            assert np.allclose(a, b, atol=2e-3), name


def test_only_training_is_distributed(project):
    done = project.kedro("run", "--params=train.distribute=multi_worker", check=False)
    assert done.returncode == 1
    assert "multi_worker is for kedro run --pipelines=train, started on each machine" in done.stderr.splitlines()[-1]
