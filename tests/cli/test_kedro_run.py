import pytest
from kedro.io import DatasetError

from sr_pipeline.cli.kedro_run import _one_line
from sr_pipeline.datasets.keras_generators import KerasGeneratorsDataset


def test_of_an_error_that_kedro_wraps_the_users_part_is_said(tmp_path):
    dataset = KerasGeneratorsDataset(filepath=str(tmp_path), files={"srgan": "generator.keras"})
    with pytest.raises(DatasetError) as wrapped:
        dataset.load()
    assert _one_line(wrapped.value) == (
        f"there is no trained generator at {tmp_path}/generator.keras; make one with kedro run --pipelines=train"
    )
