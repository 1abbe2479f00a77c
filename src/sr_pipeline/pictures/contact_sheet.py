"""Contact sheets: small versions of many picture files on one page."""

from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from sr_pipeline.pictures.photographs import UnusablePictureError, decode_rgb
from sr_pipeline.storage import read_bytes


class Thumbnail(NamedTuple):
    """A picture file of a contact sheet, its name, and what is wrong with it, if anything."""

    file: str
    name: str
    problem: str


def contact_sheet(sections: dict[str, list[Thumbnail]], columns: int = 8, edge: int = 160) -> Image.Image:
    """Titled sections of small pictures with their names; what cannot be decoded is a gray field.

    Sections without pictures are left out.

    Args:
        sections: pictures by title.
        columns: pictures a line.
        edge: pixels of a picture's longer side.
    """
    margin, text = 8, 16
    filled = {title: members for title, members in sections.items() if members}
    heights = [3 * text + -(-len(members) // columns) * (edge + 2 * text + margin) for members in filled.values()]
    sheet = Image.new("RGB", (columns * (edge + margin) + margin, sum(heights) + margin), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(20), ImageFont.load_default(12)
    top = 0
    for (title, members), height in zip(filled.items(), heights, strict=True):
        draw.text((margin, top + text), title, "black", large)
        for number, thumbnail in enumerate(members):
            line, column = divmod(number, columns)
            x, y = margin + column * (edge + margin), top + 3 * text + line * (edge + 2 * text + margin)
            picture = _shrunk(thumbnail.file, edge)
            sheet.paste(picture, (x + (edge - picture.width) // 2, y + (edge - picture.height) // 2))
            draw.text((x, y + edge), _shortened(thumbnail.name, edge, small), "black", small)
            draw.text((x, y + edge + text), _shortened(thumbnail.problem, edge, small), "firebrick", small)
        top += height
    return sheet


def _shrunk(file: str, edge: int) -> Image.Image:
    """The picture, ``edge`` pixels at most; or a gray field."""
    try:
        picture = decode_rgb(read_bytes(file)).picture
        picture.thumbnail((edge, edge))
        return picture
    except (OSError, UnusablePictureError):
        return Image.new("RGB", (edge, edge * 3 // 4), "gainsboro")


def _shortened(text: str, width: int, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont") -> str:
    """``text``, its middle left out as far as needed to be ``width`` pixels wide."""
    kept = len(text)
    shown = text
    while font.getlength(shown) > width:
        kept -= 1
        shown = f"{text[: kept // 2]}…{text[len(text) - kept + kept // 2 :]}"
    return shown
