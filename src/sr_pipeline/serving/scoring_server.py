"""What MLflow's scoring server says of requests that it cannot read itself: one sentence, and a status of 4xx.

Such requests never reach a model, and MLflow offers it no way to answer them. Some end as 500 there (no Content-Type,
deep nesting), others repeat the whole request. A model is loaded by the process that serves it, so it can stand before
the one function that reads requests; where MLflow has that function no longer, MLflow's own answers remain.
"""

import logging
import sys
from functools import wraps
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

log = logging.getLogger(__name__)

WHAT_TO_SEND = (
    'send {"dataframe_split": {"columns": ["image"], "data": [["<a PNG or JPEG file in base64>"]]}} '
    "with Content-Type: application/json"
)

_SERVER = "mlflow.pyfunc.scoring_server"


class BadRequestError(MlflowException):
    """An answer of status 400 that is just its sentence: MLflow's server would put the whole request before it."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """The sentence, whatever is assigned."""
        return self._sentence

    @message.setter
    def message(self, value: str) -> None:
        pass


def answer_unreadable_requests() -> None:
    """Let the scoring server of this process, if it is one, answer unreadable requests in one sentence."""
    if f"{_SERVER}.app" not in sys.modules:  # a notebook, or a program that computes by itself
        return
    server = sys.modules[_SERVER]
    read_and_predict = getattr(server, "invocations", None)
    if read_and_predict is None:
        log.warning(
            "this release of MLflow has another scoring server: it answers unreadable requests in its own words"
        )
        return
    if not hasattr(read_and_predict, "__wrapped__"):
        server.invocations = _in_one_sentence(read_and_predict)  # type: ignore[attr-defined]


def _in_one_sentence(read_and_predict: Any) -> Any:
    """MLflow's function, whose errors are a ``BadRequestError`` or status 415."""

    @wraps(read_and_predict)
    def invocations(data: bytes, content_type: str | None, model: Any, input_schema: Any) -> Any:
        try:
            answer = read_and_predict(data, content_type or "", model, input_schema)
        except MlflowException as error:
            if isinstance(error, BadRequestError) or error.get_http_status_code() >= 500:
                raise
            raise _unreadable() from None
        except (RecursionError, ValueError):  # of Python's JSON: brackets too deep, a number too long
            raise _unreadable() from None
        if answer.status == 415:
            return answer._replace(response=f"this content type is not taken; {WHAT_TO_SEND}")
        return answer

    return invocations


def _unreadable() -> BadRequestError:
    return BadRequestError(f"the request is not a table with a column image; {WHAT_TO_SEND}")
