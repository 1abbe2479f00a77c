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
_ROWS = 64  # training pictures that are compared at once, so that memory stays bounded


def fingerprint(picture: Image.Image) -> bytes | None:
    """The perceptual hash of an RGB picture, 32 bytes.

    None for one that shows next to nothing, such as clear sky: its frequencies would be noise. Even gradients, which
    have none but in one row and one column, count as nothing.
    """
    import imagehash

    # Averaging whole blocks first (reducing_gap) takes half the time, and copies are recognized as well.
    small = picture.resize((_EDGE, _EDGE), Image.Resampling.LANCZOS, reducing_gap=1.1).convert("L")
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
    ours, theirs = _words(fingerprints), _words(others)
    places = np.empty(len(ours), np.int64)
    bits = np.empty(len(ours), np.int64)
    for start in range(0, len(ours), _ROWS):
        rows = ours[start : start + _ROWS, np.newaxis]
        differing = np.zeros((rows.shape[0], len(theirs)), np.uint16)
        for word in range(theirs.shape[1]):
            differing += np.bitwise_count(rows[..., word] ^ theirs[:, word])
        places[start : start + _ROWS] = differing.argmin(1)
        bits[start : start + _ROWS] = differing.min(1)
    return places, bits


def _words(fingerprints: list[bytes]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(np.frombuffer(b"".join(fingerprints), np.uint64).reshape(-1, BITS // 64))
