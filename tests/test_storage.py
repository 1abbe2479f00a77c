import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.hashing import stable_fraction, stable_hash
from sr_pipeline.storage import atomic_write, is_local, locate, write_text


@given(st.lists(st.text(), min_size=1))
def test_hashes_fit_a_signed_column(parts):
    assert 0 <= stable_hash(*parts) < 2**63
    assert 0 <= stable_fraction(*parts) < 1
    assert stable_hash(*parts) != stable_hash(*parts, "")


def test_hashes_never_change():
    """Splits, subsets and ids of folders rest on them."""
    assert stable_hash("image", "cats/1.jpg") == 3032282976167027010
    assert stable_fraction("split", "cats/1.jpg") == pytest.approx(0.025131, abs=1e-6)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "before")

    def fail():
        with atomic_write(target) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "before"


@pytest.mark.parametrize("letter", ["a", "漢", "\udcff"])
def test_names_as_long_as_file_systems_allow(tmp_path, letter):
    """Its unfinished file needs a name of its own, which must not be longer."""
    name = letter * (255 // len(os.fsencode(letter)))
    write_text(tmp_path / name, "content")
    assert (tmp_path / name).read_text() == "content"
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_object_storage():
    """fsspec's storage in memory, written and read like S3."""
    folder = UPath("memory://bucket/folder")
    write_text(folder / "a.txt", "content")
    assert (locate("memory://bucket/folder") / "a.txt").read_text() == "content"
    assert not is_local(folder)


def test_local_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(locate("a/b")) == str(tmp_path / "a/b")
    assert str(locate(f"file://{tmp_path}/a")) == str(tmp_path / "a")
    assert is_local(locate("a"))


def test_storage_nothing_here_reaches():
    with pytest.raises(UserError, match=r"s3://bucket/a cannot be reached: .*s3fs"):
        locate("s3://bucket/a")
    with pytest.raises(UserError, match=r"nosuch://a cannot be reached"):
        locate("nosuch://a")
