"""Which run a start joins, and how runs end, in a real store (SQLite)."""

import os
import sqlite3
import subprocess
import sys

import kedro.framework.project  # noqa: F401  (sets up logging, which must not happen within a test that reads it)
import mlflow
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.parameters import check_parameters
from sr_pipeline.processes import describe_process
from sr_pipeline.tracking import messages, run
from sr_pipeline.tracking.store import EXPERIMENT
from tests.conftest import committed_parameters


@pytest.fixture
def client(project_folder):
    yield mlflow.MlflowClient(f"sqlite:///{project_folder}/mlflow.db")
    run.end_run("KILLED")


@pytest.fixture
def begin(project_folder, client):
    """Begins a run, and returns its id."""

    def begin(trains=True, **changed):
        parameters = check_parameters(committed_parameters() | changed)
        run.begin_run(project_folder, parameters, ["train"], None, trains=trains)
        return messages.connected_run()

    return begin


@pytest.fixture
def interrupted(begin, client):
    """Id of a run whose training was interrupted."""
    identity = begin()
    run.mark_unfinished()
    run.end_run("KILLED")
    client.set_tag(identity, run.PROCESS, describe_process().rpartition(" ")[0] + " 0.00")
    return identity


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_a_run_that_is_deleted_while_it_trains(begin, client, caplog):
    identity = begin()
    messages.log_training_progress({"loss": 1.0}, 2)
    client.delete_run(identity)
    for step in (4, 6):
        messages.log_training_progress({"loss": 1.0}, step)
    run.end_run("FINISHED")
    deleted = f"the run {identity} was deleted in the tracking store; the work goes on, and what it reports is left out"
    assert warnings(caplog) == [deleted]
    assert mlflow.active_run() is None


def test_a_model_is_registered_from_another_run_if_that_was_deleted(begin, client, caplog):
    identity = begin()
    run.replace_deleted_run(begin)
    assert messages.connected_run() == identity, "it is there"
    client.delete_run(identity)
    run.replace_deleted_run(lambda: begin(trains=False))
    other = messages.connected_run()
    assert other != identity
    assert mlflow.active_run().info.run_id == other
    run.end_run("FINISHED")
    assert client.get_run(other).info.status == "FINISHED"
    assert len(warnings(caplog)) == 1


def test_an_interrupted_run_goes_on(begin, interrupted):
    assert begin() == interrupted


def test_an_interrupted_run_that_was_deleted_does_not(begin, client, interrupted):
    client.delete_run(interrupted)
    assert begin() != interrupted


def test_a_run_that_is_training_still_is_not_joined(begin, client, interrupted):
    code = "from sr_pipeline.processes import describe_process; print(describe_process(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        client.set_tag(interrupted, run.PROCESS, it.stdout.readline().strip())
        assert begin() != interrupted
        it.communicate("\n")


def test_the_experiment_that_the_user_names(begin, client):
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "mine"
    identity = begin()
    mine = client.get_experiment_by_name("mine").experiment_id
    assert client.get_run(identity).info.experiment_id == mine
    run.mark_unfinished()
    run.end_run("KILLED")
    client.update_run(identity, "RUNNING")
    client.set_tag(identity, run.PROCESS, describe_process().rpartition(" ")[0] + " 0.00")
    run.mark_killed_runs(client)
    assert client.get_run(identity).info.status == "KILLED"
    assert begin() == identity, "and its interrupted run goes on"


def test_the_run_that_the_user_names_is_joined(begin, client):
    identity = client.create_run(client.get_experiment_by_name(EXPERIMENT).experiment_id).info.run_id
    os.environ["MLFLOW_RUN_ID"] = identity
    assert begin() == identity
    run.end_run("FINISHED")
    assert client.get_run(identity).data.params["recipe"] == "sample"


@pytest.mark.parametrize("name", ["0" * 32, "not an id"])
def test_a_run_that_does_not_exist_cannot_be_joined(begin, client, name):
    os.environ["MLFLOW_RUN_ID"] = name
    with pytest.raises(UserError, match=f"MLFLOW_RUN_ID names the run {name}, which the tracking store .* not have"):
        begin()


def test_a_deleted_run_cannot_be_joined(begin, client, interrupted):
    client.delete_run(interrupted)
    os.environ["MLFLOW_RUN_ID"] = interrupted
    with pytest.raises(UserError, match=f"was deleted; restore it with .*mlflow runs restore --run-id {interrupted}"):
        begin()


def test_a_run_with_other_parameters_cannot_be_joined(begin, interrupted):
    os.environ["MLFLOW_RUN_ID"] = interrupted
    with pytest.raises(UserError, match=r"which has other parameters \(seed\); give the same ones, or unset"):
        begin(seed=committed_parameters()["seed"] + 1)


def test_a_run_of_another_experiment_cannot_be_joined(begin, client):
    os.environ["MLFLOW_RUN_ID"] = client.create_run(client.create_experiment("other")).info.run_id
    with pytest.raises(UserError, match="belongs to another experiment; set MLFLOW_EXPERIMENT_NAME to 'other'"):
        begin()


def test_a_start_that_fails_is_not_called_finished(begin, client):
    """The store takes the run and then no more: a trigger refuses its parameters."""
    with sqlite3.connect("mlflow.db") as database:
        database.execute("create trigger full before insert on params begin select raise(abort, 'disk full'); end")
    database.close()
    with pytest.raises(UserError, match=r"mlflow\.db cannot be used \(.*disk full"):
        begin()
    (found,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert found.info.status == "FAILED"
