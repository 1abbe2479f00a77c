"""The five pipelines. ``pipeline.py`` is wiring only, ``nodes.py`` holds the functions."""
