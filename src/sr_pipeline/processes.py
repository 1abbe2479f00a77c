"""Whether a process that left its description somewhere is still running."""

import os
import socket


def describe_process() -> str:
    """This process by machine, number and time of start, which together are unique."""
    import psutil

    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def is_gone(description: str) -> bool:
    """Whether the process so described has ended; False if it ran on another machine, where this one cannot look."""
    import psutil

    parts = description.split(" ")
    if len(parts) != 3 or parts[0] != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(parts[1])).create_time():.2f}" != parts[2]
    except psutil.NoSuchProcess:
        return True


def is_running_here(description: str) -> bool:
    """Whether another process of this machine is so described and has not ended."""
    here = description.split(" ", maxsplit=1)[0] == socket.gethostname()
    return here and description != describe_process() and not is_gone(description)
