"""Servers on this machine that send a video as cameras do."""

import base64
import contextlib
import itertools
import socketserver
import threading
import time


@contextlib.contextmanager
def serving(answer):
    """The port of a server on this machine; `answer(handler)` serves each connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                answer(self.request)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def request_of(connection):
    """The text of a request, to the blank line at its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(4096)
        if not got:
            break
        data += got
    return data.decode()


def http_answer(body, kind="video/mp2t", status="200 OK", length=None):
    def answer(connection):
        request_of(connection)
        more = "" if length is None else f"Content-Length: {length}\r\n"
        connection.sendall(f"HTTP/1.0 {status}\r\nContent-Type: {kind}\r\n{more}Connection: close\r\n\r\n".encode())
        for part in body:
            connection.sendall(part)

    return answer


def once(answer):
    """Answers the first connection alone."""
    count = itertools.count()
    return lambda connection: answer(connection) if next(count) == 0 else None


def rtsp_server(data, password=None):
    """Serves MPEG-TS by RTSP over TCP: enough of the protocol for one client that plays."""
    sdp = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n" \
          b"a=control:track1\r\n"  # fmt: skip

    def play(connection):
        for number, start in enumerate(range(0, len(data), 188 * 7)):
            load = data[start : start + 188 * 7]
            head = bytes([0x80, 33]) + number.to_bytes(2, "big") + (number * 3600).to_bytes(4, "big") + b"\0\0\0\1"
            connection.sendall(b"$\0" + (len(head) + len(load)).to_bytes(2, "big") + head + load)
            time.sleep(0.01)

    def answer(connection):
        while request := request_of(connection):
            method = request.split()[0]
            number = request.lower().split("cseq:")[1].split()[0]
            if password and base64.b64encode(password.encode()).decode() not in request and method != "OPTIONS":
                status, more, body = "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"\r\n', b""
            else:
                more = {
                    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
                    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n",
                    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
                }.get(method, "Session: 1\r\n")
                status, body = "200 OK", sdp if method == "DESCRIBE" else b""
            connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {number}\r\n{more}\r\n".encode() + body)
            if method == "PLAY" and status == "200 OK":
                play(connection)
                return

    return answer
