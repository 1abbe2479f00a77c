"""What a release says of itself: one version everywhere, and files that other programs read."""

import re
import tomllib
from datetime import date
from importlib import resources

import pytest
import yaml

import sr_pipeline
from tests.conftest import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))


def releases():
    """(version, date) of the changelog's sections, in their order."""
    return re.findall(r"^## \[(.+)\] - (\S+)$", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_changelog_citation_and_package_have_the_version():
    version, released = releases()[0]
    assert version == sr_pipeline.__version__
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["date-released"]) == (version, released)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "sr_pipeline.__version__"}


def test_the_changelog_is_in_order():
    listed = releases()
    versions = [tuple(int(part) for part in version.split(".")) for version, _ in listed]
    dates = [date.fromisoformat(released) for _, released in listed]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)
    kinds = set(re.findall(r"^### (.+)$", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_package_says_that_it_is_typed():
    assert resources.files("sr_pipeline").joinpath("py.typed").is_file()
    assert '"py.typed"' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_pin_their_actions_and_may_only_read(file):
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"]
        assert "permissions" not in job
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), step


def test_workflows_and_hooks_run_what_there_is():
    """Targets of the Makefile, files of this repository, and the tools of ``make check``."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    commands = [
        step["run"]
        for file in WORKFLOWS
        for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    assert ".ci/run" in commands
    assert (REPOSITORY / ".ci/run").stat().st_mode & 0o100
    for target in (command.split()[1] for command in commands if command.startswith("make ")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    [local] = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hooks = {hook["id"]: hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in local["hooks"]}
    checked = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    assert {program for name, program in hooks.items() if name != "actionlint"} == set(
        re.findall(r"\$\(BIN\)/(\S+)", checked)
    )
