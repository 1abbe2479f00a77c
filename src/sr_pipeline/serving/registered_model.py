"""The registered model, as MLflow runs it from this very file ("models from code"): nothing is pickled.

It takes a table whose column ``image`` holds PNG or JPEG files and gives a table of PNG files. MLflow puts the code
that travels with the model on the path before it runs this.
"""

import logging
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR
from mlflow.pyfunc import PythonModel

from sr_pipeline.errors import UserError

log = logging.getLogger(__name__)


class SuperResolution(PythonModel):
    """Enlarges pictures by 4 with the generator that travels with it."""

    def load_context(self, context: Any) -> None:
        """Load the generator."""
        from sr_pipeline.inference.engines import choose_engine
        from sr_pipeline.inference.folding import read_folded
        from sr_pipeline.inference.upscaler import Upscaler
        from sr_pipeline.serving.scoring_server import answer_unreadable_requests

        answer_unreadable_requests()
        self._upscale = Upscaler(choose_engine(read_folded(context.artifacts["generator"])))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Enlarge the files of column ``image``."""
        from sr_pipeline.serving.requests import enlarge_file, file_in
        from sr_pipeline.serving.scoring_server import BadRequestError

        try:
            enlarged = [enlarge_file(file_in(value), self._upscale) for value in model_input["image"]]
        except UserError as error:
            raise BadRequestError(str(error)) from None
        except Exception as error:  # MLflow would call it a bad request
            log.exception("a picture could not be enlarged")
            raise MlflowException("something went wrong here; the server's log says what", INTERNAL_ERROR) from error
        return pd.DataFrame({"image": enlarged})


set_model(SuperResolution())
