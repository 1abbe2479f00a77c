"""People's picture files: reading, writing and metadata; the one way in and out."""
