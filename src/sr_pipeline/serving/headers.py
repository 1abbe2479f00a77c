"""What the head of an upload is read from, before anything is decoded."""

from sr_pipeline.pictures.png_chunks import SIGNATURE, readable_png


def readable(content: bytes) -> bytes:
    """The bytes of a file as decoding will read them: a PNG file without damaged extras, at which readers stop."""
    return readable_png(content).content if content.startswith(SIGNATURE) else content
