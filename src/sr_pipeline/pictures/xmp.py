"""XMP packets kept as bytes, except for what an upright picture of another size makes untrue.

Most packets say nothing of the kind and stay as they are; others are parsed, changed and written again (ISO 16684-1).
"""

import contextlib
import io
from typing import NamedTuple
from xml.etree import ElementTree

_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_WIDTHS = {_TIFF + "ImageWidth", _EXIF + "PixelXDimension"}
_HEIGHTS = {_TIFF + "ImageLength", _EXIF + "PixelYDimension"}
_LEFT_OUT = {
    _TIFF + "Orientation",
    "{http://ns.adobe.com/xap/1.0/}Thumbnails",
    "{http://ns.adobe.com/xmp/note/}HasExtendedXMP",  # a second part, which is not read
}
# Gain maps in Adobe's and Apple's words, and what phones append to the picture's file: depths, second pictures.
_LEFT_OUT_NAMESPACES = (
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.google.com/photos/",
)
# Nothing of the above is written without one of these words.
_GAIN_MAPS = (b"hdr-gain-map", b"HDRGainMap")
_SIZES = (b"Orientation", b"ImageWidth", b"ImageLength", b"Dimension")
_SIGNS = (*_GAIN_MAPS, *_SIZES, b"Thumbnails", b"HasExtendedXMP", b"ns.google.com/photos")

_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode()
_TAIL = b'\n<?xpacket end="w"?>'


class Changed(NamedTuple):
    """An XMP packet.

    Attributes:
        packet: None if the whole could not be read.
        gain_map: whether it described one, which is taken out.
    """

    packet: bytes | None
    gain_map: bool


def for_upright(packet: bytes, size: tuple[int, int]) -> Changed:
    """The XMP of a picture for the same picture, upright and of another size.

    Args:
        packet: a whole packet.
        size: (width, height) from now on.
    """
    if not any(sign in packet for sign in _SIGNS):
        return Changed(packet, gain_map=False)
    try:
        return _changed(packet, size)
    except (ElementTree.ParseError, ValueError, RecursionError):
        return Changed(None, gain_map=False)


def _changed(packet: bytes, size: tuple[int, int]) -> Changed:
    body = packet.rstrip(b"\0 \r\n\t")
    start = body.find(b"<")
    root = None
    for event, item in ElementTree.iterparse(io.BytesIO(body[max(start, 0) :]), ("start-ns", "start")):
        if event == "start-ns":
            _keep_prefix(*item)
        elif root is None:
            root = item
    if root is None:
        raise ValueError("no element")
    names = [name for element in root.iter() for name in (element.tag, *element.attrib)]
    gain_map = any(sign.decode() in name for name in names for sign in _GAIN_MAPS)
    for parent in list(root.iter()):
        _change_attributes(parent, size)
        _change_elements(parent, size)
    return Changed(_HEAD + ElementTree.tostring(root, encoding="utf-8") + _TAIL, gain_map)


def _keep_prefix(prefix: str, namespace: str) -> None:
    with contextlib.suppress(ValueError):  # a prefix that ElementTree gives out itself
        ElementTree.register_namespace(prefix, namespace)


def _change_attributes(element: ElementTree.Element, size: tuple[int, int]) -> None:
    for name in list(element.attrib):
        if _is_left_out(name):
            del element.attrib[name]
        elif name in _WIDTHS | _HEIGHTS:
            element.attrib[name] = str(size[name in _HEIGHTS])


def _change_elements(parent: ElementTree.Element, size: tuple[int, int]) -> None:
    for element in list(parent):
        if _is_left_out(element.tag):
            parent.remove(element)
        elif element.tag in _WIDTHS | _HEIGHTS:
            element.text = str(size[element.tag in _HEIGHTS])


def _is_left_out(name: str) -> bool:
    return name in _LEFT_OUT or any(name.startswith("{" + namespace) for namespace in _LEFT_OUT_NAMESPACES)
