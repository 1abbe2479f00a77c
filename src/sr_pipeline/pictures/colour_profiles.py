"""ICC profiles of colours that files state by other means, and profiles that fit the kind of the pixels.

PNG states colours in the chunks cICP, gAMA and cHRM, AVIF in its box nclx. Other formats hold only an ICC profile
(ICC.1:2022), which is made from those here.
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Matrix = NDArray[np.float64]

_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of profiles (ICC.1:2022, 7.2.16)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])  # Annex E

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_BT709 = (_D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_PRIMARIES = {  # white, red, green, blue by ColourPrimaries (Rec. ITU-T H.273, table 2)
    1: _BT709,
    2: _BT709,  # unspecified
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (_DCI, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_SRGB_CURVE = struct.pack(
    ">4sIHH5i", b"para", 0, 3, 0, *(round(v * 65536) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)


def _power(exponent: float) -> bytes:
    return struct.pack(">4sIHHi", b"para", 0, 0, 0, round(exponent * 65536))


_CURVES = {  # by TransferCharacteristics (table 3); those of video (1, 6, 14, 15) are shown as sRGB is, as browsers do
    **dict.fromkeys((1, 2, 6, 13, 14, 15), _SRGB_CURVE),
    4: _power(2.2),
    5: _power(2.8),
    8: _power(1.0),
}
_SRGB_GAMMA = 0.45455
_NEAR_GAMMA, _NEAR_CHROMATICITY = 0.005, 0.002  # what still counts as sRGB


class Chunk(NamedTuple):
    """A chunk of a PNG file that states what its colours mean: cICP, gAMA, cHRM, sRGB, and those of HDR."""

    kind: bytes
    data: bytes


COLOUR_CHUNKS = (b"cICP", b"mDCV", b"cLLI", b"gAMA", b"cHRM", b"sRGB")


class UnknownColoursError(Exception):
    """Colours that an ICC profile of matrix and curves cannot describe, such as those of HDR."""


def profile_of(chunks: tuple[Chunk, ...]) -> bytes | None:
    """The ICC profile of colours that a PNG file's chunks state; None where that is sRGB, or nothing is stated.

    cICP rules over sRGB, which rules over gAMA and cHRM (PNG, third edition, 4.3).

    Raises:
        UnknownColoursError: for HDR, and codes that are not known.
    """
    stated = dict(chunks)
    if b"cICP" in stated:
        primaries, transfer, _, full_range = stated[b"cICP"]
        if primaries not in _PRIMARIES or transfer not in _CURVES or not full_range:
            raise UnknownColoursError
        return _unless_srgb(_PRIMARIES[primaries], _CURVES[transfer])
    if b"sRGB" in stated or b"gAMA" not in stated:
        return None
    gamma = struct.unpack(">I", stated[b"gAMA"])[0] / 100_000
    points = struct.unpack(">8I", stated[b"cHRM"]) if b"cHRM" in stated else ()
    x_y = tuple(value / 100_000 for value in points)
    chromaticities = (x_y[:2], x_y[2:4], x_y[4:6], x_y[6:]) if points else _BT709
    if not 0.01 < gamma < 100 or any(y == 0 for _, y in chromaticities):
        return None  # a statement without meaning
    return _unless_srgb(chromaticities, _SRGB_CURVE if abs(gamma - _SRGB_GAMMA) < _NEAR_GAMMA else _power(1 / gamma))


def means_srgb(chunks: tuple[Chunk, ...]) -> bool:
    """Whether chunks state sRGB, or nothing."""
    try:
        return profile_of(chunks) is None
    except UnknownColoursError:
        return False


def for_rgb(profile: bytes) -> bytes | None:
    """A profile of RGB under which gray pixels that are stored as RGB look as the profile of gray says.

    Returns:
        The profile itself if it is one of RGB; None if it is neither of RGB nor of gray with a curve.
    """
    if profile[16:20] == b"RGB ":
        return profile
    curve = _tag(profile, b"kTRC") if profile[16:20] == b"GRAY" else None
    return None if curve is None else _rgb_profile(_BT709, curve)


def for_gray(profile: bytes) -> bytes | None:
    """A profile of gray under which gray pixels look as the profile of RGB says.

    Returns:
        The profile itself if it is one of gray; None if gray has no curve of its own in it.
    """
    if profile[16:20] == b"GRAY":
        return profile
    curves = {_tag(profile, tag) for tag in (b"rTRC", b"gTRC", b"bTRC")}
    curve = curves.pop()
    return None if curve is None or curves or profile[16:20] != b"RGB " else _gray_profile(curve)


def _unless_srgb(chromaticities: tuple[tuple[float, ...], ...], curve: bytes) -> bytes | None:
    near = np.abs(np.subtract(chromaticities, _BT709)).max() < _NEAR_CHROMATICITY
    return None if near and curve == _SRGB_CURVE else _rgb_profile(chromaticities, curve)


def _tag(profile: bytes, name: bytes) -> bytes | None:
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        for index in range(min(count, 200)):
            tag, start, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
            if tag == name:
                return profile[start : start + length] if start + length <= len(profile) else None
    except struct.error:
        pass  # cut short
    return None


def _rgb_profile(chromaticities: tuple[tuple[float, ...], ...], curve: bytes) -> bytes:
    """Three components, matrix-based (ICC.1:2022, 8.3.3)."""
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in chromaticities)
    columns = np.stack(primaries, axis=1)
    to_xyz = columns * np.linalg.solve(columns, white)
    adaptation = _adaptation(white)
    red, green, blue = (adaptation @ to_xyz).T
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    matrix = {b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue), b"chad": _fixed(b"sf32", adaptation)}
    return _profile(b"RGB ", {**matrix, **curves})


def _gray_profile(curve: bytes) -> bytes:
    """Monochrome (ICC.1:2022, 8.3.4)."""
    return _profile(b"GRAY", {b"kTRC": curve})


def _adaptation(white: _Matrix) -> _Matrix:
    """From colours under a white to those under D50, by the Bradford transform (ICC.1:2022, Annex E)."""
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ (scale[:, np.newaxis] * _BRADFORD)


def _fixed(kind: bytes, values: _Matrix) -> bytes:
    return kind + bytes(4) + np.rint(np.ravel(values) * 65536).astype(">i4").tobytes()


def _xyz(values: _Matrix) -> bytes:
    return _fixed(b"XYZ ", values)


def _text(text: str) -> bytes:
    words = text.encode("utf-16-be")
    return struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(words), 28) + words


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A display profile of version 4 (ICC.1:2022, 7.2 and 7.3)."""
    common = {b"desc": _text("as the picture stated"), b"cprt": _text("No copyright, use freely"), b"wtpt": _xyz(_D50)}
    content = {**common, **tags}
    table, data = struct.pack(">I", len(content)), b""
    places: dict[bytes, int] = {}
    first = 128 + 4 + 12 * len(content)
    for name, value in content.items():
        if value not in places:  # the three curves are one
            places[value] = first + len(data)
            data += value + bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, places[value], len(value))
    head = struct.pack(">I4sI4s4s4s", first + len(data), bytes(4), 0x04300000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _xyz(_D50)[8:]
    return head.ljust(128, b"\0") + table + data
