"""The registered model, as MLflow runs it from this very file ("models from code"): nothing is pickled.

It takes a table whose column ``image`` holds PNG or JPEG files and gives a table of PNG files. MLflow puts the code
that travels with the model on the path before it runs this.
"""

from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel

from sr_pipeline.errors import UserError


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


class SuperResolution(PythonModel):
    """Enlarges pictures by 4 with the generator that travels with it."""

    def load_context(self, context: Any) -> None:
        """Load the generator."""
        from sr_pipeline.inference.engines import choose_engine
        from sr_pipeline.inference.folding import read_folded
        from sr_pipeline.inference.upscaler import Upscaler

        self._upscale = Upscaler(choose_engine(read_folded(context.artifacts["generator"])))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Enlarge the files of column ``image``."""
        from sr_pipeline.serving.requests import enlarge_file

        try:
            enlarged = [enlarge_file(content, self._upscale) for content in model_input["image"]]
        except UserError as error:
            raise BadRequestError(str(error)) from None
        return pd.DataFrame({"image": enlarged})


set_model(SuperResolution())
