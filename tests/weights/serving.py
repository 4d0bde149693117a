"""An HTTP server on localhost that serves files, and misbehaves when told to."""

import contextlib
import http.server
import threading


class Server(http.server.ThreadingHTTPServer):
    """`files`: name -> bytes. `faults`: one dict per request, taken from the front; {} or none left: behave.

    Faults: status; html; cut (bytes sent, then the connection closes); stall (bytes sent, then nothing until
    `release`); length (added to Content-Length); no_length; chunked; no_range; wrong_range; location (redirect);
    raw (bytes in place of an answer); drip (the same, a byte at a time, so many seconds apart); endless (chunks).
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.faults, self.requests, self.etags = {}, [], [], {}
        self.release, self.lock = threading.Event(), threading.Lock()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request, client_address):
        """Clients that were killed are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Silent."""

    def do_GET(self):
        server = self.server
        with server.lock:
            fault = server.faults.pop(0) if server.faults else {}
            server.requests.append((self.path, self.headers.get("Range")))
        name = self.path.lstrip("/").partition("?")[0]
        if fault.get("raw"):
            return self.send_raw(fault["raw"], fault.get("drip"))
        if fault.get("status") or name not in server.files:
            return self.send_error(fault.get("status", 404))
        if fault.get("location"):
            self.send_response(302)
            self.send_header("Location", fault["location"])
            self.end_headers()
            return None
        return self.send_file(server.files[name], server.etags.get(name, f'"{name}-1"'), fault)

    def send_raw(self, data, drip):
        for piece in [data] if drip is None else [data[at : at + 1] for at in range(len(data))]:
            self.wfile.write(piece)
            self.wfile.flush()
            if drip and self.server.release.wait(drip):
                break

    def send_file(self, data, etag, fault):
        start = 0
        wanted = self.headers.get("Range")
        if wanted and not fault.get("no_range") and self.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            start += fault.get("wrong_range", 0)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Type", "text/html" if fault.get("html") else "application/octet-stream")
        self.send_header("ETag", etag)
        body = data[start:]
        if fault.get("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
        elif not fault.get("no_length"):
            self.send_header("Content-Length", str(len(body) + fault.get("length", 0)))
        self.end_headers()
        while fault.get("endless"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        limit = fault.get("cut", fault.get("stall", len(body)))
        if fault.get("chunked"):
            for at in range(0, limit, 1000):
                piece = body[at : min(at + 1000, limit)]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if "cut" not in fault:
                self.wfile.write(b"0\r\n\r\n")
            return None
        self.wfile.write(body[:limit])
        self.wfile.flush()
        if "stall" in fault:
            self.server.release.wait(120)
        return None

    protocol_version = "HTTP/1.1"

    def end_headers(self):
        self.send_header("Connection", "close")
        super().end_headers()


@contextlib.contextmanager
def serving():
    """A `Server` that runs while the block does."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
            thread.join()
