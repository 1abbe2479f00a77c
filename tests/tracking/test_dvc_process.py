import pytest

from sr_pipeline.tracking.run import _is_dvc


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["dvc", "repro"], True),
        (["/env/bin/python", "/env/bin/dvc", "repro"], True),
        (["python", "-m", "dvc", "repro"], True),
        (["python", "-X", "dev", "-m", "dvc", "repro"], True),
        (["python", "-m", "pytest", "dvc"], False),
        (["bash", "-c", "dvc repro"], False),
        (["python", "-m"], False),
        ([], False),
    ],
)
def test_which_programs_are_dvc(command, expected):
    """All stages of one of them are one MLflow run."""
    assert _is_dvc(command) is expected
