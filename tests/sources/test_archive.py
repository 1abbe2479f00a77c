import stat
import zipfile

import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.sources.archive import extract


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def everything(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_only_what_is_wanted_goes_where_it_is_wanted(tmp_path):
    archive = zipped(tmp_path / "a.zip", {"train2014/1.jpg": b"one", "train2014/2.jpg": b"two", "readme": b"no"})
    absent = extract(archive, {"1.jpg": tmp_path / "images/1.jpg", "9.jpg": tmp_path / "images/9.jpg"})
    assert absent == {"9.jpg"}
    assert everything(tmp_path) == ["a.zip", "images/1.jpg"]
    assert (tmp_path / "images/1.jpg").read_bytes() == b"one"


def test_names_with_folders(tmp_path):
    archive = zipped(tmp_path / "a.zip", {"x/train/1.jpg": b"train", "x/val/1.jpg": b"val"})
    assert extract(archive, {"val/1.jpg": tmp_path / "1.jpg"}) == set()
    assert (tmp_path / "1.jpg").read_bytes() == b"val"


@pytest.mark.parametrize("name", ["../1.jpg", "a/../../1.jpg", "/etc/1.jpg", "..\\1.jpg", "C:\\1.jpg", "c:/1.jpg"])
def test_a_path_that_climbs_out_is_refused(tmp_path, name):
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    archive = zipped(folder / "a.zip", {"good/2.jpg": b"good", name: b"evil"})
    with pytest.raises(UserError, match=r"a\.zip contains a path that leads out.*1\.jpg'.*nothing was unpacked"):
        extract(archive, {"1.jpg": folder / "images/1.jpg", "2.jpg": folder / "images/2.jpg"})
    assert everything(tmp_path) == ["a/b/a.zip"]


def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("1.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="contains a link"):
        extract(tmp_path / "a.zip", {"1.jpg": tmp_path / "1.jpg"})


def test_broken_archives(tmp_path):
    archive = zipped(tmp_path / "a.zip", {"1.jpg": bytes(range(256)) * 400})
    content = bytearray(archive.read_bytes())
    content[60] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip is a broken zip archive .*; delete it and run again"):
        extract(archive, {"1.jpg": tmp_path / "1.jpg"})
    archive.write_bytes(content[:50])
    with pytest.raises(UserError, match="is a broken zip archive"):
        extract(archive, {"1.jpg": tmp_path / "1.jpg"})
    assert everything(tmp_path) == ["a.zip"]


def test_more_than_the_disk_holds(tmp_path):
    """The header claims an exabyte, as a zip bomb may."""
    archive = zipped(tmp_path / "a.zip", {"1.jpg": b"x"})
    with zipfile.ZipFile(archive) as source:
        [member] = source.infolist()
    from sr_pipeline.sources.archive import _check_space

    with pytest.raises(UserError, match=r"needs 1000000000\.0 GB in .* which has"):
        _check_space(archive, [(10**18, tmp_path / member.filename)])
