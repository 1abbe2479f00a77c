"""What a picture file says beside its pixels, read as bytes from each format."""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from PIL import Image

from sr_pipeline.pictures import exif as exif_block
from sr_pipeline.pictures.avif_boxes import colour_codes_of
from sr_pipeline.pictures.colour_profiles import Chunk, means_srgb
from sr_pipeline.pictures.opening import SRGB_MODES
from sr_pipeline.pictures.png_chunks import ReadablePng
from sr_pipeline.pictures.png_texts import XMP_KEYWORD, Text, is_kept, raw_profiles

_EXIF_HEAD = b"Exif\0\0"
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_IPTC_RESOURCE = 0x0404


class Metadata(NamedTuple):
    """What a file says beside its pixels.

    Attributes:
        icc_profile: what its colours mean.
        exif: from its byte order mark on; still that of the file's size and orientation.
        dpi: pixels per inch, across and down.
        xmp: the packet.
        iptc: records of IPTC-IIM.
        comments: of JPEG, GIF and JPEG 2000; their encoding is not known.
        texts: of PNG.
        colours: chunks of PNG that say what its colours mean; AVIF's codes as such a chunk.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comments: tuple[bytes, ...] = ()
    texts: tuple[Text, ...] = ()
    colours: tuple[Chunk, ...] = ()

    def of_colours(self) -> "Metadata":
        """Only what says how the colours are meant."""
        return Metadata(icc_profile=self.icc_profile, colours=self.colours)


def metadata_of(picture: Image.Image, content: bytes, png: ReadablePng | None) -> Metadata:
    """The metadata of an open picture.

    Args:
        picture: as Pillow opened it.
        content: the file.
        png: what was taken out of the file before Pillow opened it, if it is a PNG file.
    """
    if picture.format == "TIFF":
        return metadata_of_tiff(content)
    of_format: dict[str, Callable[[], Metadata]] = {
        "JPEG": lambda: _of_jpeg(picture),
        "MPO": lambda: _of_jpeg(picture),
        "AVIF": lambda: _of_avif(picture, content),
    }
    if png is not None:
        metadata = _of_png(picture, png)
    else:
        metadata = of_format.get(str(picture.format), lambda: _as_pillow_says(picture))()
    return metadata._replace(icc_profile=None, colours=()) if picture.mode in SRGB_MODES else metadata


def metadata_of_tiff(content: bytes) -> Metadata:
    """The metadata of a TIFF file; nothing of a BigTIFF file, or one whose first directory is damaged."""
    try:
        tags = exif_block.tags_of(content)
    except exif_block.DamagedExifError:
        return Metadata()

    def value(tag: int) -> bytes | None:
        return tags.fields[tag].content if tag in tags.fields else None

    kept = exif_block.descriptive(tags)
    order = exif_block.order_of(content)
    separated = exif_block.number_of(tags, exif_block.PHOTOMETRIC, order) in exif_block.CONVERTED_PHOTOMETRICS
    return Metadata(
        icc_profile=None if separated else value(exif_block.ICC_PROFILE) or None,
        exif=exif_block.block_of(kept, order) if kept.fields or kept.children else None,
        dpi=_valid_dpi(exif_block.resolution_of(content)),
        xmp=value(exif_block.XMP),
        iptc=value(exif_block.IPTC) or _iptc_in(value(exif_block.PHOTOSHOP) or b""),
    )


def _as_pillow_says(picture: Image.Image) -> Metadata:
    info = picture.info
    exif, xmp, comment = info.get("exif"), info.get("xmp"), info.get("comment")
    return Metadata(
        icc_profile=info.get("icc_profile") or None,
        exif=exif.removeprefix(_EXIF_HEAD) if exif else None,
        dpi=_valid_dpi(info.get("dpi")),
        xmp=xmp or None,
        comments=(comment.encode() if isinstance(comment, str) else bytes(comment),) if comment else (),
    )


def _of_jpeg(picture: Image.Image) -> Metadata:
    metadata = _as_pillow_says(picture)
    resources = picture.info.get("photoshop") or {}
    segments: list[tuple[str, bytes]] = getattr(picture, "applist", [])
    stated = picture.info.get("jfif_unit") in (1, 2)  # else Pillow looks into EXIF, and takes 72 where it finds nothing
    return metadata._replace(
        dpi=metadata.dpi if stated else _valid_dpi(exif_block.resolution_of(metadata.exif or b"")),
        iptc=resources.get(_IPTC_RESOURCE) or None,
        comments=tuple(content for kind, content in segments if kind == "COM"),
    )


def _of_png(picture: Image.Image, png: ReadablePng) -> Metadata:
    found = _as_pillow_says(picture)._replace(comments=())
    raw = raw_profiles(png.texts)
    app1 = raw.get(b"APP1", b"")
    packets = [text.content() for text in png.texts if text.keyword == XMP_KEYWORD]
    exif = raw.get(b"exif") or (app1 if app1.startswith(_EXIF_HEAD) else None)
    iptc = raw.get(b"iptc") or raw.get(b"8bim") or b""
    return found._replace(
        icc_profile=png.icc_profile,
        exif=found.exif or (exif.removeprefix(_EXIF_HEAD) if exif else None),
        xmp=next(filter(None, packets), None) or raw.get(b"xmp") or app1.partition(_XMP_HEAD)[2] or None,
        iptc=_iptc_in(iptc) or (iptc if iptc.startswith(b"\x1c") else None),
        texts=tuple(text for text in png.texts if text.keyword != XMP_KEYWORD and is_kept(text)),
        colours=png.colours,
    )


def _of_avif(picture: Image.Image, content: bytes) -> Metadata:
    metadata = _as_pillow_says(picture)
    codes = colour_codes_of(content)
    if metadata.icc_profile or codes is None or max(codes) > 255:  # a profile rules over codes
        return metadata
    stated = (Chunk(b"cICP", bytes([*codes, 0, 1])),)  # decoded, they are RGB of the full range
    return metadata._replace(colours=() if means_srgb(stated) else stated)


def _valid_dpi(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    return dpi if dpi is not None and all(0 < float(value) < 1e5 for value in dpi) else None


def _iptc_in(resources: bytes) -> bytes | None:
    """IPTC in Photoshop's image resources (Adobe Photoshop File Formats Specification, "Image Resource Blocks")."""
    return next((content for kind, content in _resources(resources) if kind == _IPTC_RESOURCE and content), None)


def _resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    position = block.find(b"8BIM")
    while position >= 0 and block[position : position + 4] == b"8BIM":
        try:
            kind, name = struct.unpack_from(">HB", block, position + 4)
            start = position + 6 + (name + 2) // 2 * 2  # the name and its length take an even number of bytes
            (length,) = struct.unpack_from(">I", block, start)
        except struct.error:
            return
        yield kind, block[start + 4 : start + 4 + length]
        position = start + 4 + (length + 1) // 2 * 2


def iptc_resource(iptc: bytes) -> bytes:
    """IPTC as one of Photoshop's image resources."""
    return b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
