"""Commands that start at once: each runs in a fork of a process that has imported the large libraries.

What a command then does is the same: the same entry point, in a process of its own, with its own folder, environment
and output. This project's own modules are not among those imported, so each fork imports those of the project it is in.
"""

import gc
import importlib
import importlib.metadata
import inspect
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

# What Kedro, MLflow and a training import first; whatever is missing here, a fork imports itself.
LIBRARIES = (
    "kedro.framework.cli.cli",
    "kedro.framework.session",
    "kedro.runner",
    "kedro_datasets.json",
    "kedro_datasets.pandas",
    "mlflow",
    "mlflow.pyfunc",
    "mlflow.store.artifact.artifact_repository_registry",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.figure",
    "pandas",
    "pyarrow.parquet",
    "skimage.metrics",
    "sklearn.utils",
    "scipy.stats",
    "grain",
    "tensorflow",
    "keras",
)
LONGEST = 1200  # seconds that a command may take


class WarmPrograms:
    """Runs commands, one at a time, each in a fork of a process of its own, which ends with the one that made it.

    Kedro reads how to log from the folder in which it is imported, and MLflow from the environment.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=folder,
            env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
        """Run a command of this virtual environment, as ``subprocess.run`` would."""
        with tempfile.TemporaryDirectory() as scratch:
            outputs = [Path(scratch, name) for name in ("stdout", "stderr")]
            request = json.dumps([command, str(folder), environment, [str(path) for path in outputs]])
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            answered, _, _ = select.select([self._process.stdout], [], [], LONGEST)
            if not answered:
                self._process.kill()
                raise subprocess.TimeoutExpired(command, LONGEST)
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(command, code, *(path.read_text() for path in outputs))


def _serve() -> None:
    """Fork for each command that stdin brings; in the fork, be that command."""
    for name in LIBRARIES:
        importlib.import_module(name)
    inspect.stack()  # fills its table of all modules, which Kedro's settings ask for at each start
    gc.freeze()  # a collection in a fork would else touch, and so copy, all that is imported
    for line in sys.stdin:
        command, folder, environment, outputs = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(command, folder, environment, outputs)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(command: list[str], folder: str, environment: dict[str, str], outputs: list[str]) -> None:
    """Do what the console script does that ``command`` begins with; ends this process."""
    for number, path in enumerate([os.devnull, *outputs]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    script = Path(command[0])
    sys.argv, sys.path[0] = command, str(script.parent)
    (entry_point,) = importlib.metadata.entry_points(group="console_scripts", name=script.name)
    sys.exit(entry_point.load()())


if __name__ == "__main__":
    _serve()
