"""Starting libraries without the lines that their C++ writes about itself, which no setting silences."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

_ALONE = RLock()  # standard error is the process's: two threads would take each other's for the original


@contextmanager
def no_start_up_lines() -> Iterator[None]:
    """Discard what the block writes to standard error, be it Python or a library in C++."""
    with _ALONE:
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
