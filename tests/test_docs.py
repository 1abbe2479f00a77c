"""The site builds, needs no network, and its commands are ones that would run."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import yaml

from sr_pipeline.parameters import check_parameters
from sr_pipeline.pipeline_registry import register_pipelines
from tests.conftest import PATIENCE, REPOSITORY, committed_parameters

LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
# Its examples are of recipes and sources that are not there yet.
OF_THE_FUTURE = "contributing.md"


def build(folder, site):
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(REPOSITORY, folder)
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.classes = set()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.found.append(attributes.get(LOADING.get(tag, "")) or "")
        self.classes |= set((attributes.get("class") or "").split())


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site):
    assert {page.stem for page in site.glob("*.html")} == {p.stem for p in REPOSITORY.glob("docs/*.md")} | {"404"}
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text())
        assert not [address for address in loads.found if re.match(r"(https?:)?//", address)], page
        assert "mermaid" not in loads.classes, "Material loads Mermaid from the web"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text()), sheet


@pytest.mark.parametrize("link", ["[a](nowhere.md)", "[a](data.md#nowhere)", "[a](/data.md)"])
def test_a_broken_link_is_an_error(tmp_path, link):
    shutil.copy(REPOSITORY / "mkdocs.yml", tmp_path)
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("images"))
    (tmp_path / "docs/images").mkdir()
    for picture in (REPOSITORY / "docs/images").iterdir():
        (tmp_path / "docs/images" / picture.name).touch()
    with (tmp_path / "docs/index.md").open("a") as page:
        page.write(f"\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert re.search(r"WARNING.*nowhere|WARNING.*/data\.md", done.stderr), done.stderr


def pages():
    return [REPOSITORY / "README.md", *sorted(REPOSITORY.glob("docs/*.md"))]


def found_in_pages(pattern):
    """All that a pattern finds, page by page: a page with nothing to check has no test, instead of one that passes."""
    found = [
        pytest.param(page, match, id=f"{page.name}-{number}")
        for page in pages()
        for number, match in enumerate(re.findall(pattern, page.read_text(), re.DOTALL | re.MULTILINE), 1)
    ]
    assert found, pattern
    return found


@pytest.mark.parametrize(("page", "link"), found_in_pages(r"\]\((?!https?://)([^)#\s]+)"))
def test_links_lead_to_files_on_a_git_host_too(page, link):
    assert (page.parent / link).exists()


@pytest.mark.parametrize("page", [page for page in pages() if page.name != OF_THE_FUTURE], ids=lambda page: page.name)
def test_commands_name_what_there_is(page):
    text = page.read_text().replace("\\\n", "")  # a command may go on in the next line
    for names in re.findall(r"--pipelines?=([\w,]+)", text):
        assert set(names.split(",")) <= set(register_pipelines()), names
    for options, assignments in re.findall(r"kedro run([^\n`]*?)--params=([^\s`'\"]+)", text):
        if "precison" in assignments or "…" in assignments:  # a mistake is shown; or only what it begins with
            continue
        environment = re.search(r"--env=(\w+)", options)
        check_parameters(parameters_with(assignments, environment[1] if environment else "base"))


def parameters_with(assignments, environment):
    """The committed parameters of an environment with those of ``--params``."""
    raw = committed_parameters(environment)
    for assignment in assignments.split(","):
        name, _, value = assignment.partition("=")
        *path, last = name.split(".")
        place = raw
        for part in path:
            place = place.setdefault(part, {})
        place[last] = yaml.safe_load(value)
    return raw


@pytest.mark.parametrize(("page", "example"), found_in_pages(r"^```python\n(.*?)^```"))
def test_examples_in_python_can_be_compiled(page, example):
    compile(example, page.name, "exec")


@pytest.mark.parametrize(("page", "example"), found_in_pages(r"^```yaml\n(.*?)^```"))
def test_examples_in_yaml_can_be_read(page, example):
    assert all(document is not None for document in yaml.safe_load_all(example))
