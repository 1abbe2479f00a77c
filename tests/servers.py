"""Real servers on 127.0.0.1, started and stopped by tests."""

import contextlib
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """All are held until the last is found, so that none comes twice."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def start(command: list[str], address: str, log: Path, **options) -> subprocess.Popen:
    """Start a server and wait until ``address`` answers."""
    with log.open("a") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, **options)
    until = time.monotonic() + 600
    while not answers(address):
        if process.poll() is not None or time.monotonic() > until:
            stop(process)
            raise AssertionError(log.read_text())
        time.sleep(0.3)
    return process


def stop(process: subprocess.Popen) -> None:
    """Kill a server and its workers."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
    process.kill()
    process.wait()


@contextlib.contextmanager
def running(command: list[str], address: str, log: Path, **options) -> Iterator[subprocess.Popen]:
    process = start(command, address, log, **options)
    try:
        yield process
    finally:
        stop(process)
