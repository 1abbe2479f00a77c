"""``python -m sr_pipeline``: the same as the command ``sr-pipeline``."""

from sr_pipeline.cli.main import main

if __name__ == "__main__":
    main()
