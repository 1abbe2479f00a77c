"""Whether a process that left its name somewhere is still there."""

import os
import socket


def describe_process() -> str:
    """This process: machine, number and start, which together no other process ever has."""
    import psutil

    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def is_gone(description: str) -> bool:
    """Whether a process described like this has ended; False if it ran on another machine, where nobody can see it."""
    import psutil

    parts = description.split(" ")
    if len(parts) != 3 or parts[0] != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(parts[1])).create_time():.2f}" != parts[2]
    except psutil.NoSuchProcess:
        return True
