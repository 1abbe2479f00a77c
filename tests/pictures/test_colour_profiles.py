import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from sr_pipeline.pictures.avif_boxes import colour_codes_of
from sr_pipeline.pictures.colour_profiles import Chunk, UnknownColoursError, for_gray, for_rgb, means_srgb, profile_of

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
SRGB = ImageCms.createProfile("sRGB")


def cicp(primaries, transfer, full_range=1):
    return (Chunk(b"cICP", bytes([primaries, transfer, 0, full_range])),)


def gamma(value):
    return Chunk(b"gAMA", struct.pack(">I", value))


def chromaticities(*values):
    return Chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB_POINTS = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)


def in_srgb(profile, pixels=PIXELS):
    """Pixels under a profile as sRGB, by LittleCMS."""
    picture = Image.fromarray(pixels)
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return np.asarray(ImageCms.profileToProfile(picture, io.BytesIO(profile), SRGB, intent, outputMode="RGB"))


def decoded(values):
    """By sRGB's curve (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


# From linear Display P3 to linear sRGB (CSS Color Module Level 4, section 18, sample code).
P3_TO_SRGB = np.array(
    [[1.2249401763, -0.2249401763, 0], [-0.0420569547, 1.0420569547, 0], [-0.0196375546, -0.0786360456, 1.0982736002]]
)


def test_display_p3():
    expected = np.rint(255 * encoded(decoded(PIXELS / 255) @ P3_TO_SRGB.T))
    for chunks in (cicp(12, transfer) for transfer in (1, 6, 13, 14, 15)):
        assert np.abs(in_srgb(profile_of(chunks)) - expected).max() <= 1


@pytest.mark.parametrize(("transfer", "exponent"), [(4, 2.2), (5, 2.8), (8, 1.0)])
def test_curves_that_are_powers(transfer, exponent):
    gray = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    expected = np.rint(255 * encoded((gray / 255) ** exponent))
    assert np.abs(in_srgb(profile_of(cicp(1, transfer)), gray) - expected).max() <= 2


def test_gamma_and_chromaticities():
    expected = np.rint(255 * encoded((PIXELS / 255) @ P3_TO_SRGB.T))
    difference = np.abs(in_srgb(profile_of((gamma(100_000), chromaticities(*P3)))) - expected)
    assert difference.mean() < 0.1
    assert difference.max() <= 2


def test_gamma_alone_means_the_primaries_of_srgb():
    assert np.abs(in_srgb(profile_of((gamma(100_000),))) - np.rint(255 * encoded(PIXELS / 255))).max() <= 2


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (gamma(45455),),
        (gamma(45000), chromaticities(*SRGB_POINTS)),
        (chromaticities(*P3),),  # without a gamma it says nothing
        (Chunk(b"sRGB", b"\0"), gamma(100_000)),
        (*cicp(1, 13), gamma(100_000)),
        cicp(2, 2),
        (gamma(0),),
        (gamma(100_000), chromaticities(*P3[:7], 0)),
    ],
    ids=repr,
)
def test_what_is_srgb(chunks):
    assert profile_of(chunks) is None
    assert means_srgb(chunks)


@pytest.mark.parametrize("chunks", [cicp(9, 16), cicp(9, 18), cicp(200, 13), cicp(12, 13, full_range=0)], ids=repr)
def test_what_a_profile_cannot_say(chunks):
    with pytest.raises(UnknownColoursError):
        profile_of(chunks)
    assert not means_srgb(chunks)


@pytest.mark.parametrize("primaries", [1, 4, 5, 6, 7, 9, 11, 12])
def test_white_stays_white_and_gray_stays_gray(primaries):
    gray = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    result = in_srgb(profile_of(cicp(primaries, 4)), gray).astype(int)
    assert np.ptp(result, axis=2).max() <= 1
    assert np.all(result[-1, -1] == 255)


@pytest.mark.parametrize("profile", [profile_of(cicp(12, 13)), profile_of(cicp(12, 4))])
def test_the_tags_of_a_profile_begin_at_multiples_of_four(profile):
    """ICC.1:2022, 7.3.1."""
    (count,) = struct.unpack_from(">I", profile, 128)
    places = [struct.unpack_from(">4sII", profile, 132 + 12 * index)[1] for index in range(count)]
    assert [place % 4 for place in places] == [0] * count


def gray_profile():
    profile = for_gray(profile_of(cicp(12, 4)))
    assert profile[16:20] == b"GRAY"
    return profile


def test_gray_that_is_stored_as_rgb_and_the_other_way_round():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = np.rint(255 * encoded((gray / 255) ** 2.2))
    as_gray = in_srgb(gray_profile(), gray)
    as_rgb = in_srgb(for_rgb(gray_profile()), np.repeat(gray[..., np.newaxis], 3, axis=2))
    for result in (as_gray, as_rgb):
        assert np.abs(result - expected[..., np.newaxis]).max() <= 1
    assert for_rgb(profile_of(cicp(12, 8))) == profile_of(cicp(12, 8))
    assert for_gray(gray_profile()) == gray_profile()


def test_profiles_that_fit_neither():
    cmyk = bytearray(profile_of(cicp(12, 8)))
    cmyk[16:20] = b"CMYK"
    assert for_rgb(bytes(cmyk)) is None
    assert for_gray(bytes(cmyk)) is None
    assert for_gray(profile_of(cicp(12, 8))[:140]) is None
    assert for_rgb(gray_profile()[:140]) is None
    mixed = bytearray(profile_of(cicp(12, 8)))
    blue, other = (mixed.index(name) + 4 for name in (b"bTRC", b"wtpt"))
    mixed[blue : blue + 8] = mixed[other : other + 8]  # where it lies: gray has more than one curve then
    assert for_gray(bytes(mixed)) is None


def avif():
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "AVIF")
    return buffer.getvalue()


def test_codes_in_avif():
    content = avif()
    assert colour_codes_of(content) == (1, 13)
    position = content.index(b"nclx") + 4
    assert colour_codes_of(content[:position] + b"\0\x0c\0\x10" + content[position + 4 :]) == (12, 16)
    assert colour_codes_of(b"") is None


def box(kind, data, size=None):
    """A box with its size, or with another statement of it in that place."""
    return (struct.pack(">I", 8 + len(data)) if size is None else size[:4]) + kind + (size or b"")[4:] + data


@pytest.mark.parametrize("wide", [False, True])
def test_of_all_codes_in_avif_those_of_the_main_picture_count(wide):
    """``wide``: with numbers of 16 and 32 bits, a size of 64 bits, and a last box that goes on to the end."""
    codes = ((9, 16), (12, 13), (1, 13))
    listed = b"".join(box(b"colr", b"nclx" + struct.pack(">HHHB", *each, 0, 128)) for each in codes)
    number, place, essential = (">I", ">H", 0x8000) if wide else (">H", ">B", 0x80)
    owned = (struct.pack(number, item) + b"\1" + struct.pack(place, essential | item) for item in (1, 2, 3))
    properties = box(b"ipco", listed) + box(b"ipma", struct.pack(">BBHI", wide, 0, wide, 3) + b"".join(owned))
    main = box(b"pitm", bytes([wide, 0, 0, 0]) + struct.pack(number, 2))
    listing = box(b"iprp", properties, struct.pack(">IQ", 1, 16 + len(properties)) if wide else None)
    meta = box(b"meta", bytes(4) + listing + main, bytes(4) if wide else None)
    assert colour_codes_of(box(b"ftyp", b"avif") + meta) == (12, 13)


@pytest.mark.parametrize("length", range(8, 320, 7))
def test_avif_cut_short(length):
    assert colour_codes_of(avif()[:length]) in (None, (1, 13))
