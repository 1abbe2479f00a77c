"""The one way a picture is enlarged: engines, tiles, and files in and out."""
