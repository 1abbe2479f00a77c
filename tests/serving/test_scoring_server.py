"""Where MLflow's scoring server is changed, and where it is left alone; tests/e2e/test_serving.py asks a real one."""

import sys

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server as server
from PIL import Image

from sr_pipeline.pictures.reading import decode_picture
from sr_pipeline.serving.registered_model import SuperResolution
from sr_pipeline.serving.scoring_server import answer_unreadable_requests
from tests.serving.test_requests import file_of, nearest

APP = f"{server.__name__}.app"


@pytest.fixture
def serving(monkeypatch):
    """A process that serves: it has MLflow's application, which loads a model where it is imported."""
    monkeypatch.setattr(server, "invocations", server.invocations)
    monkeypatch.setitem(sys.modules, APP, sys)


def test_a_program_that_serves_nothing_is_left_alone():
    assert APP not in sys.modules
    before = server.invocations
    answer_unreadable_requests()
    assert server.invocations is before


@pytest.mark.usefixtures("serving")
def test_a_second_model_does_not_wrap_it_again():
    before = server.invocations
    answer_unreadable_requests()
    once = server.invocations
    answer_unreadable_requests()
    assert server.invocations is once
    assert once.__wrapped__ is before


@pytest.mark.usefixtures("serving")
def test_a_server_that_works_otherwise_keeps_its_own_answers(monkeypatch, caplog):
    monkeypatch.delattr(server, "invocations")
    answer_unreadable_requests()
    assert "answers unreadable requests in its own words" in caplog.text


@pytest.mark.usefixtures("serving")
def test_a_fault_of_ours_is_not_called_a_bad_request(caplog):
    """MLflow would answer any exception with status 400."""

    def fails(pixels, out, progress):
        raise ZeroDivisionError

    model = SuperResolution()
    model._upscale = fails
    with pytest.raises(MlflowException, match="something went wrong here; the server's log says what") as error:
        model.predict(None, pd.DataFrame({"image": [file_of(Image.new("RGB", (40, 30)))]}))
    assert error.value.get_http_status_code() == 500
    assert "ZeroDivisionError" in caplog.text


def test_it_enlarges_all_rows():
    model = SuperResolution()
    model._upscale = nearest
    files = [file_of(Image.fromarray(np.full((30, 40, 3), value, np.uint8))) for value in (9, 200)]
    answers = model.predict(None, pd.DataFrame({"image": files}))["image"]
    assert [np.unique(decode_picture(answer).colour).tolist() for answer in answers] == [[9], [200]]
