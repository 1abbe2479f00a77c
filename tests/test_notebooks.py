"""The notebooks, executed by a kernel of this environment as Jupyter does it, and what they share."""

import contextlib
import shutil
import sys
from pathlib import Path

import mlflow
import nbformat
import numpy as np
import pytest
from kedro.io import DataCatalog, MemoryDataset
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from sr_pipeline.errors import UserError
from sr_pipeline.notebooks import find_training_run, fine_detail, power_by_frequency
from tests.conftest import PATIENCE, REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
PICTURES = {"01_data": 6, "02_training": 6, "03_results": 4}
WORDS = {
    "01_data": ["chelsea.png", "United States Government Work", "30 pairs, 5 of a photograph"],
    "02_training": ["VGG19 features: packaged", "adversarial.weight", "step_seconds", "<td>50</td>"],
    "03_results": ["26.95", "SRGAN, matched", "SSIM-Y", "FINISHED"],  # 26.95 dB: bicubic's, whatever was trained
}


@pytest.fixture(scope="module")
def copied(finished, tmp_path_factory):
    """A copy of the finished project, with the notebooks."""
    folder = tmp_path_factory.mktemp("notebooks") / "project"
    shutil.copytree(finished.folder, folder)
    shutil.copytree(REPOSITORY / "notebooks", folder / "notebooks")
    return folder


def execute(file: Path, folder: Path, environment: dict[str, str]):
    """Run the cells of a notebook of the project in ``folder`` up to the first error, and return their outputs.

    The kernel starts in the notebook's folder.
    """
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(file.parent)}})
    with contextlib.suppress(CellExecutionError):  # it is among the outputs
        client.execute(env=environment | {"PYTHONPATH": str(folder / "src")})
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def text_of(outputs) -> str:
    shown = [output.get("data", {}) for output in outputs]
    return "\n".join([output.get("text", "") for output in outputs] + [data.get("text/html", "") for data in shown])


def test_there_are_notebooks():
    assert [file.stem for file in NOTEBOOKS] == list(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_runs_on_what_a_run_wrote(name, finished, copied):
    outputs = execute(copied / "notebooks" / f"{name}.ipynb", copied, finished.environment())
    assert [output.traceback for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) == PICTURES[name]
    text = text_of(outputs)
    assert [word for word in WORDS[name] if word not in text] == []


def test_without_a_run_a_notebook_says_so_in_one_sentence(project):
    shutil.copytree(REPOSITORY / "notebooks", project.folder / "notebooks")
    outputs = execute(project.path("notebooks/01_data.ipynb"), project.folder, project.environment())
    assert [output.traceback for output in outputs] == [
        [
            "UserError: there are no results yet (missing: images, contact_sheet, crops_train): run `make run` in "
            f"{project.folder}, then this notebook again"
        ]
    ]


def test_the_kernel_is_one_of_this_environment(tmp_path, project):
    file = tmp_path / "which.ipynb"
    cell = nbformat.v4.new_code_cell("import sys; print(sys.prefix)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), file)
    assert text_of(execute(file, tmp_path, project.environment())).strip() == sys.prefix


def test_the_run_of_another_store_is_missed(copied, monkeypatch):
    monkeypatch.chdir(copied)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copied}/mlflow.db")
    mlflow.set_tracking_uri(None)
    catalog = DataCatalog({"mlflow_run": MemoryDataset({"training_id": "of-another-store"})})
    with pytest.raises(UserError, match="no run of training of-another-store"):
        find_training_run(catalog)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_committed_without_outputs(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == [], (
        "clear the outputs of all cells before you commit"
    )
    assert 6 <= len(code) <= 12
    assert notebook.metadata.kernelspec.name == "python3"


def wave(frequency: float) -> np.ndarray:
    """Stripes across 96 columns of so many cycles a pixel."""
    return np.tile(100 + 50 * np.cos(2 * np.pi * frequency * (np.arange(96) + 0.5)), (64, 1))


@pytest.mark.parametrize("frequency", [0.1, 0.25, 0.4])
def test_power_lies_where_the_wave_is(frequency):
    frequencies, power = power_by_frequency(wave(frequency))
    assert len(frequencies) == len(power) == 40
    assert frequencies[np.argmax(power)] == pytest.approx(frequency, abs=0.5 / 40)


def test_power_does_not_change_with_brightness(rng):
    picture = rng.uniform(0, 255, (40, 60))
    np.testing.assert_allclose(power_by_frequency(picture)[1], power_by_frequency(picture + 10)[1])


def test_power_adds_up_to_that_of_the_picture(rng):
    """Of a row of 8 pixels, each of 8 bands has one component (Parseval's theorem)."""
    row = rng.uniform(0, 255, (1, 8))
    assert power_by_frequency(row, bins=8)[1].sum() == pytest.approx(((row - row.mean()) ** 2).sum())


def test_fine_detail_is_what_a_smaller_picture_cannot_hold():
    fine = 50 * np.cos(2 * np.pi * 0.25 * (np.arange(96) + 0.5))
    np.testing.assert_allclose(fine_detail(wave(0.25), 4), np.tile(fine, (64, 1)), atol=1e-9)
    np.testing.assert_allclose(fine_detail(wave(0.0625), 4), 0, atol=1e-9)
