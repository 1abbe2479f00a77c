"""A real HTTP server on 127.0.0.1 that serves files by Range and misbehaves when told to."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Serves ``files``, by path without the leading slash.

    ``faults`` holds for each path what goes wrong with its next requests, one each: a status code; ``("drop", n)``
    ends the connection after n bytes of the body; ``"no length"`` leaves out Content-Length. Without ``ranges`` it
    always sends whole files, without ``versions`` no ETag.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.ranges = True
        self.versions = True

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.lstrip("/")
        wanted = self.headers.get("Range")
        self.server.requests.append((path, wanted))
        faults = self.server.faults.get(path)
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            return self._refuse(fault)
        if path not in self.server.files:
            return self._refuse(404)
        self._send(self.server.files[path], wanted, fault)
        return None

    def _send(self, content, wanted, fault):
        version = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        if wanted and self.server.ranges and self.headers.get("If-Range", version) == version:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                return self._refuse(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.server.versions:
            self.send_header("ETag", version)
        if fault == "no length":
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if isinstance(fault, tuple):
            end = start + fault[1]
            self.close_connection = True
        self.wfile.write(content[start:end])
        return None

    def _refuse(self, code):
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """A running ``FileServer``."""
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
