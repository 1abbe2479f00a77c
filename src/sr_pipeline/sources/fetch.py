"""Downloading a COCO data set: its annotations, then image archives, or selected images one by one."""

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from sr_pipeline.errors import UserError
from sr_pipeline.sources.archive import extract
from sr_pipeline.sources.download import Download, Downloader, Patience
from sr_pipeline.sources.parameters import ArchiveParameters, CocoParameters, CocoSplit, DownloadParameters
from sr_pipeline.sources.photograph import Photograph
from sr_pipeline.storage import UPath, is_local, local_path

log = logging.getLogger(__name__)


def check_fetch(coco: CocoParameters) -> DownloadParameters:
    """Check that there is a place to download from and local folders to download to.

    Raises:
        UserError: if not.
    """
    if coco.downloads is None:
        raise UserError("ingest.coco.fetch needs ingest.coco.downloads; copy it from conf/base/parameters_ingest.yml")
    for split, paths in _splits(coco):
        if not is_local(paths.images) or not is_local(paths.annotations):
            raise UserError(
                f"ingest.coco.fetch downloads to this machine, but ingest.coco.{split} names {paths.images}; "
                "set a local folder, or ingest.coco.fetch=null"
            )
    return coco.downloads


def fetch_annotations(coco: CocoParameters) -> None:
    """Download and unpack the annotation files that are missing.

    Raises:
        UserError: if that fails.
    """
    downloads = check_fetch(coco)
    missing = [paths for _, paths in _splits(coco) if not paths.annotations.is_file()]
    for paths in [paths for _, paths in _splits(coco)]:
        paths.images.mkdir(parents=True, exist_ok=True)
    if missing:
        [archive] = _fetch_archives([downloads.annotations], downloads, "annotations")
        absent = extract(archive, {paths.annotations.name: local_path(paths.annotations) for paths in missing})
        if absent:
            raise UserError(
                f"{archive} does not hold {min(absent)}; set ingest.coco.downloads.annotations.url to the archive that "
                "does, or ingest.coco.{train,val}.annotations to a file that it has"
            )


def fetch_images(photographs: Sequence[Photograph], coco: CocoParameters, max_bad_fraction: float) -> None:
    """Download the photographs that are missing. Ingest reports those that a server does not have.

    Raises:
        UserError: if archives, or more than ``max_bad_fraction`` of the images, cannot be downloaded.
    """
    downloads = check_fetch(coco)
    missing = [photograph for photograph in photographs if not photograph.file.is_file()]
    if not missing:
        return
    if coco.fetch == "images":
        _fetch_one_by_one(missing, downloads, max(1, int(max_bad_fraction * len(photographs))))
        return
    # All photographs come from the folder of train where ingest divides one file into splits.
    members = {
        split: [p for p in missing if p.split == split or coco.val_fraction is not None] for split, _ in _splits(coco)
    }
    splits = [(split, paths) for split, paths in _splits(coco) if members[split]]
    archives = _fetch_archives([getattr(downloads, split) for split, _ in splits], downloads, "images")
    for (split, paths), archive in zip(splits, archives, strict=True):
        wanted = {_name_below(p.file, paths.images): local_path(p.file) for p in members[split]}
        absent = extract(archive, wanted)
        if absent:
            log.warning("%s lacks %d of the images, for example %s", archive, len(absent), min(absent))


def _fetch_one_by_one(missing: Sequence[Photograph], parameters: DownloadParameters, max_failures: int) -> None:
    jobs = []
    for photograph in missing:
        if not photograph.url:
            raise UserError(
                f"the annotations give no coco_url for image {photograph.id}, so it cannot be downloaded separately; "
                "set ingest.coco.fetch=archives"
            )
        jobs.append(Download(photograph.url, local_path(photograph.file)))
    _downloader(parameters).fetch(jobs, "images", max_failures)


def _fetch_archives(archives: list[ArchiveParameters], parameters: DownloadParameters, name: str) -> list[Path]:
    jobs = [
        Download(
            archive.url, parameters.folder / PurePosixPath(urlsplit(archive.url).path).name, archive.size, archive.md5
        )
        for archive in archives
    ]
    _downloader(parameters).fetch(jobs, name, max_failures=0)
    return [job.target for job in jobs]


def _downloader(parameters: DownloadParameters) -> Downloader:
    return Downloader(parameters.parallel, Patience(parameters.attempts, parameters.first_wait, parameters.timeout))


def _splits(coco: CocoParameters) -> list[tuple[str, CocoSplit]]:
    """Splits whose files are read."""
    return [("train", coco.train)] if coco.val_fraction is not None else [("train", coco.train), ("val", coco.val)]


def _name_below(file: UPath, folder: UPath) -> str:
    return file.relative_to(folder).as_posix()
