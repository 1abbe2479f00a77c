"""Which pictures show the same, whatever size and quality they were saved in: perceptual hashes.

The hash is pHash as ``imagehash`` computes it: which of the 16 x 16 lowest frequencies of the picture's luma, reduced
to 64 x 64 pixels, are above their median. docs/data.md says how far apart pictures were measured to be.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS = 256
_EDGE = 64  # pixels, of what imagehash transforms at this number of bits
_FAINTEST = 2.0  # gray levels of standard deviation, without which a picture has nothing to be known by
_ROWS = 256  # pictures that are compared at once with all others, so that memory stays bounded


def fingerprint(picture: Image.Image) -> bytes | None:
    """The perceptual hash of an RGB picture, 32 bytes.

    None for one that shows next to nothing, such as clear sky: its frequencies would be noise. Even gradients, which
    have none but in one row and one column, count as nothing.
    """
    import imagehash

    # Of each of the 64 x 64 fields 16 pixels are taken: reading them all would take longer and recognize no more.
    sampled = picture.resize((4 * _EDGE, 4 * _EDGE), Image.Resampling.NEAREST).convert("L")
    small = sampled.resize((_EDGE, _EDGE), Image.Resampling.BOX)
    values = np.asarray(small, np.float64)
    uneven = values - values.mean(0, keepdims=True) - values.mean(1, keepdims=True) + values.mean()
    if uneven.std() < _FAINTEST:
        return None
    return np.packbits(imagehash.phash(small, hash_size=16).hash).tobytes()


def nearest(fingerprints: list[bytes], others: list[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each fingerprint which of ``others`` differs least from it, and in how many of the 256 bits.

    Args:
        fingerprints: n of them, as ``fingerprint`` makes them.
        others: m of them, at least one.

    Returns:
        Two arrays of shape (n,): places in ``others``, the first of equally near ones, and numbers of bits.
    """
    theirs = _signs(others).T
    places = np.empty(len(fingerprints), np.int64)
    bits = np.empty(len(fingerprints), np.int64)
    for start in range(0, len(fingerprints), _ROWS):
        rows = slice(start, start + _ROWS)
        alike = _signs(fingerprints[rows]) @ theirs  # bits that agree minus bits that differ, exact in float32
        places[rows] = alike.argmax(1)
        bits[rows] = (BITS - alike.max(1)) / 2
    return places, bits


def _signs(fingerprints: list[bytes]) -> NDArray[np.float32]:
    """Bits as 1 and -1, of shape (n, 256)."""
    packed = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, BITS // 8)
    return 2 * np.unpackbits(packed, axis=1).astype(np.float32) - 1
