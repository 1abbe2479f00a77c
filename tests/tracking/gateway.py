"""A gateway before a real server: it is slow, or loses requests and answers, when a test says so."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.conftest import PATIENCE


class Gateway:
    """Forwards requests to ``server``.

    Attributes:
        delay: seconds before each request is forwarded.
        loses: which requests never reach the server: a function of method and path.
        loses_answers: to which requests the answers never arrive.
        requests: method and path of all that came, in order.
    """

    def __init__(self, server: str):
        self.delay, self.loses, self.loses_answers, self.requests = 0.0, _none, _none, []
        gateway, target = self, server.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                gateway.requests.append((self.command, self.path))
                time.sleep(gateway.delay)
                self.close_connection = True
                if gateway.loses(self.command, self.path):
                    return
                connection = http.client.HTTPConnection(target, timeout=PATIENCE)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if gateway.loses_answers(self.command, self.path):
                    return
                self.send_response_only(answer.status)
                for key, value in answer.getheaders():
                    if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.pass_on)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def _none(method, path):
    return False
