"""Write into dvc.yaml, and its twin for MSCOCO, which code each stage depends on: what its pipeline imports.

    python scripts/dvc_code_deps.py [--check]

With --check nothing is written; the exit code is 1 if a file is out of date.
"""

import re
import sys
from pathlib import Path

import yaml

from sr_pipeline.code_identity import imported_modules
from sr_pipeline.pipeline_registry import register_pipelines

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src/sr_pipeline"
STAGE_FILES = (ROOT / "dvc.yaml", ROOT / "conf/coco2014/dvc.yml")
# Files that are read, not imported, by the modules that read them.
READ_BY = {"sr_pipeline.packaged": ["weights"], "sr_pipeline.evaluation.report": ["evaluation/report.html.jinja"]}
# Modules that a pipeline uses by other ways than an import.
ALSO = {"register": ["sr_pipeline.serving.registered_model"]}


def code_of(stage: str) -> list[str]:
    """Paths of the code that a stage depends on; a package all of which counts is named as a folder."""
    nodes = f"sr_pipeline.pipelines.{stage}"
    modules = imported_modules(f"{nodes}.nodes", f"{nodes}.pipeline", *_datasets_of(stage), *ALSO.get(stage, []))
    files = {*modules.values(), *(SOURCES / name for module in modules for name in READ_BY.get(module, []))}
    for folder in {file.parent for file in modules.values()} - {SOURCES}:
        inside = {file for file in folder.iterdir() if file.suffix in (".py", ".jinja") and file.name != "__init__.py"}
        if inside <= files:
            files = {file for file in files if file.parent != folder} | {folder}
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def _datasets_of(stage: str) -> set[str]:
    """Modules of this project's own dataset classes that the stage's pipeline reads or writes by."""
    catalog: dict[str, dict[str, str]] = {}
    for file in (ROOT / "conf/base").glob("catalog*.yml"):
        catalog |= yaml.safe_load(file.read_text())
    used = register_pipelines()[stage].datasets()
    types = [entry["type"] for name, entry in catalog.items() if name in used]
    return {kind.rpartition(".")[0] for kind in types if kind.startswith("sr_pipeline.")}


def with_current_code(text: str) -> str:
    """A file of stages with the code of each stage as it should be."""
    parts = re.split(r"(?m)^  (\w+):\n(?=    cmd:)", text)
    stages = zip(parts[1::2], parts[2::2], strict=True)
    return parts[0] + "".join(f"  {name}:\n{_with_code(body, code_of(name))}" for name, body in stages)


def _with_code(body: str, code: list[str]) -> str:
    deps, rest = body.split("    params:\n", 1)
    kept = [line for line in deps.splitlines() if not line.startswith("      - src/")]
    return "\n".join([*kept, *(f"      - {path}" for path in code)]) + "\n    params:\n" + rest


def main() -> int:
    """Write or check both files."""
    outdated = False
    for file in STAGE_FILES:
        text = file.read_text()
        wanted = with_current_code(text)
        outdated |= wanted != text
        if "--check" not in sys.argv:
            file.write_text(wanted)
    return int(outdated and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
