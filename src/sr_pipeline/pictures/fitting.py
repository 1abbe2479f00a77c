"""Metadata on its way to a file of another size and format: what the format can hold, true of the larger picture.

| | EXIF | XMP | IPTC | comments | texts | colours |
| --- | --- | --- | --- | --- | --- | --- |
| png | yes | yes | yes | as texts | yes | profile, or PNG's chunks |
| jpeg | to 64 kB | to 64 kB | to 64 kB | yes | no | profile |
| tiff | yes | yes | yes | no | no | profile |
| webp, avif | yes | yes | no | no | no | profile |
"""

from typing import NamedTuple

from sr_pipeline.pictures import exif as exif_block
from sr_pipeline.pictures import xmp as xmp_packet
from sr_pipeline.pictures.colour_profiles import UnknownColoursError, for_gray, for_rgb, profile_of
from sr_pipeline.pictures.metadata import Metadata, iptc_resource
from sr_pipeline.pictures.png_texts import comment_text

SEGMENT = 65_533
"""Bytes that the longest segment of a JPEG file holds (ITU-T T.81, B.1.1.4: less its length)."""
PHOTOSHOP_HEAD = b"Photoshop 3.0\0"
_MAX_PROFILE_IN_JPEG = 255 * (SEGMENT - 14)

_IPTC_FORMATS = ("png", "jpeg", "tiff")
_COMMENT_FORMATS = ("png", "jpeg")


class Target(NamedTuple):
    """A file that metadata is fitted to.

    Attributes:
        format: png, jpeg, webp, tiff or avif.
        size: (width, height).
        gray: whether its pixels are stored as gray.
    """

    format: str
    size: tuple[int, int]
    gray: bool


def fitted(metadata: Metadata, target: Target) -> tuple[Metadata, list[str]]:
    """What of the metadata of a picture can be written to a file, and what is left out.

    Returns:
        The metadata, true of the enlarged picture, and in words that follow "without its" what is missing.

    Raises:
        UnknownColoursError: if the format cannot state what the colours mean; see ``states_colours``.
    """
    left_out: list[str] = []
    exif = _fitted_exif(metadata.exif, target, left_out)
    xmp = _fitted_xmp(metadata.xmp, target, left_out)
    iptc = _held(metadata.iptc, "IPTC data", target, _IPTC_FORMATS, left_out)
    profile = _fitted_profile(metadata, target, left_out)
    texts, comments = metadata.texts, metadata.comments
    if target.format == "png":
        texts, comments = (*texts, *map(comment_text, comments)), ()
    elif texts:
        texts = ()
        left_out.append(f"texts, which {target.format.upper()} cannot hold")
    if comments and target.format not in _COMMENT_FORMATS:
        comments = ()
        left_out.append(f"comment, which {target.format.upper()} cannot hold")
    elif any(len(comment) > SEGMENT for comment in comments):
        comments = tuple(comment for comment in comments if len(comment) <= SEGMENT)
        left_out.append(f"comment, which is too long for {target.format.upper()}")
    colours = metadata.colours if target.format == "png" else ()
    return Metadata(profile, exif, metadata.dpi, xmp, iptc, comments, texts, colours), left_out


def states_colours(metadata: Metadata, name: str) -> bool:
    """Whether a file of a format can say what the colours of a picture mean: HDR can only be stated by PNG."""
    if name == "png" or metadata.icc_profile:
        return True
    try:
        profile_of(metadata.colours)
    except UnknownColoursError:
        return False
    return True


def _fitted_exif(exif: bytes | None, target: Target, left_out: list[str]) -> bytes | None:
    if exif is None:
        return None
    try:
        changed, damaged = exif_block.for_upright(exif, target.size)
    except exif_block.DamagedExifError:
        left_out.append("EXIF, which is damaged")
        return None
    if damaged:
        left_out.append("EXIF in part, which is damaged")
    if target.format == "jpeg" and len(changed) > SEGMENT - 6:
        left_out.append(f"EXIF, which is too long for JPEG ({len(changed)} bytes)")
        return None
    return None if exif_block.is_empty(changed) else changed


def _fitted_xmp(packet: bytes | None, target: Target, left_out: list[str]) -> bytes | None:
    if packet is None:
        return None
    changed, gain_map = xmp_packet.for_upright(packet, target.size)
    if gain_map:
        left_out.append("gain map")
    if changed is None:
        left_out.append("XMP, which is damaged")
    elif target.format == "jpeg" and len(changed) > SEGMENT - 29:
        left_out.append(f"XMP, which is too long for JPEG ({len(changed)} bytes)")
        return None
    return changed


def _held(
    content: bytes | None, name: str, target: Target, formats: tuple[str, ...], left_out: list[str]
) -> bytes | None:
    if content is None:
        return None
    if target.format not in formats:
        left_out.append(f"{name}, which {target.format.upper()} cannot hold")
        return None
    if target.format == "jpeg" and len(PHOTOSHOP_HEAD + iptc_resource(content)) > SEGMENT:
        left_out.append(f"{name}, which are too long for JPEG ({len(content)} bytes)")
        return None
    return content


def _fitted_profile(metadata: Metadata, target: Target, left_out: list[str]) -> bytes | None:
    """The profile of the picture, or one of the colours it states otherwise, that fits the kind of the pixels.

    JPEG and TIFF hold gray under a profile of RGB; PNG forbids it (third edition, 11.3.2.3).
    """
    profile = metadata.icc_profile
    if profile is None and target.format != "png":
        profile = profile_of(metadata.colours)
    if profile is None:
        return None
    fitting: bytes | None = profile
    if not target.gray:
        fitting = for_rgb(profile)
    elif target.format == "png" or profile[16:20] != b"RGB ":
        fitting = for_gray(profile)
    if fitting is None:
        left_out.append(f"colour profile, which does not describe {'gray' if target.gray else 'RGB'}")
    elif target.format == "jpeg" and len(fitting) > _MAX_PROFILE_IN_JPEG:
        left_out.append(f"colour profile, which is too long for JPEG ({len(fitting)} bytes)")
        return None
    return fitting
