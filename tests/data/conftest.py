"""A https server on the loopback that serves small files and misbehaves on demand; nothing else may be connected to."""

import http.server
import os
import socket
import ssl
import struct
import threading
import time
from typing import NamedTuple

import pytest
import trustme

from numlp.data import download


@pytest.fixture(autouse=True)
def only_the_loopback(monkeypatch):
    """Fail a test that opens a connection to anything but 127.0.0.1."""

    def guarded(real):
        def connect(self, address):
            if self.family != socket.AF_UNIX and address[0] != "127.0.0.1":
                pytest.fail(f"a connection to {address} was tried")
            return real(self, address)

        return connect

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Let downloads try each mirror once, and return a function that sets other limits."""

    def be(**limits):
        monkeypatch.setattr(download, "PATIENCE", download.PATIENCE._replace(**limits))

    be(tries=1, pause=0)
    return be


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` below /<behaviour>/<name>; `asked` lists the paths in order."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = {}, []
        self.let_go, self.stalled = threading.Event(), threading.Event()
        self.http_port = 0

    def handle_error(self, request, client_address):
        """Say nothing: clients that hang up are what is being tested."""


class Handler(http.server.BaseHTTPRequestHandler):
    """GET /<behaviour>/<name>."""

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        _, behaviour, name = self.path.split("/")
        self.server.asked.append(self.path)
        body = self.server.files[name]
        getattr(self, "do_" + behaviour.replace("-", "_"))(body, name)

    def reply(self, body, status=200, kind="application/gzip", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for header, value in headers.items():
            if value is not None:
                self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_good(self, body, _):
        self.reply(body, Content_Length=len(body))

    def do_unsized(self, body, _):
        self.reply(body)

    def do_labelled(self, body, _):
        self.reply(body, Content_Length=len(body), Content_Encoding="gzip")

    def do_chunked(self, body, _):
        parts = [body[i : i + 1000] for i in range(0, len(body), 1000)]
        self.reply(b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in [*parts, b""]), Transfer_Encoding="chunked")

    def do_forbidden(self, body, _):
        self.reply(b"<html>no</html>", 403, "text/html")

    def do_missing(self, body, _):
        self.reply(b"<html>not here</html>", 404, "text/html")

    def do_broken(self, body, _):
        self.reply(b"", 500, Content_Length=0)

    def do_page(self, body, _):
        self.reply(b"<html>please log in</html>", kind="text/html; charset=utf-8", Content_Length=26)

    def do_page_unsized(self, body, _):
        self.reply(b"<html>please log in</html>", kind="text/html")

    def do_empty(self, body, _):
        self.reply(b"", Content_Length=0)

    def do_cut(self, body, _):
        self.reply(body[:500], Content_Length=len(body))

    def do_cut_chunk(self, body, _):
        self.reply(b"%x\r\n%s\r\n400\r\nabc" % (500, body[:500]), Transfer_Encoding="chunked")

    def do_short(self, body, _):
        self.reply(body[:500], Content_Length=500)

    def do_short_unsized(self, body, _):
        self.reply(body[:500])

    def do_long(self, body, _):
        self.reply(body + b"more", Content_Length=len(body) + 4)

    def do_long_unsized(self, body, _):
        self.reply(body + b"more")

    def do_endless(self, body, _):
        self.reply(body)
        while True:
            self.wfile.write(bytes(1 << 16))

    def do_other(self, body, _):
        self.reply(body[:-1] + bytes([body[-1] ^ 1]), Content_Length=len(body))

    def do_nonsense_length(self, body, _):
        self.reply(body[:500], Content_Length="many")

    def do_to_http(self, body, name):
        self.reply(b"", 302, Location=f"http://127.0.0.1:{self.server.http_port}/good/{name}", Content_Length=0)

    def do_to_file(self, body, name):
        self.reply(b"", 301, Location="file:///etc/hostname", Content_Length=0)

    def do_to_good(self, body, name):
        self.reply(b"", 302, Location=f"/good/{name}", Content_Length=0)

    def do_circle(self, body, name):
        self.reply(b"", 302, Location=f"/circle/{name}", Content_Length=0)

    def do_no_http(self, body, _):
        self.wfile.write(b"220 mail.example.com ESMTP\r\n")

    def do_hangs_up(self, body, _):
        pass

    def do_stall(self, body, _):
        self.reply(body[:500], Content_Length=len(body))
        self.wfile.flush()
        self.server.stalled.set()
        self.server.let_go.wait(60)

    def do_drip(self, body, _):
        self.reply(b"", Content_Length=len(body))
        self.drip(body)

    def do_drip_headers(self, body, _):
        self.send_response(200)
        self.flush_headers()
        self.drip(b"X-Slow: " + b"x" * 5000)

    def drip(self, data):
        """Never silent for long; for six seconds, so that a client without a limit fails and does not hang."""
        for i in range(300):
            self.wfile.write(data[i : i + 1])
            if self.server.let_go.wait(0.02):
                return

    def do_pieces(self, body, _):
        """The right file, slowly enough that a process can be killed in the middle of it."""
        self.reply(b"", Content_Length=len(body))
        for i in range(0, len(body), 1 << 14):
            self.wfile.write(body[i : i + (1 << 14)])
            time.sleep(0.001)

    def do_reset(self, body, _):
        self.reply(body[:500], Content_Length=len(body))
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.close(self.connection)  # without TLS' good-bye: the kernel sends RST

    def do_rubbish_encoding(self, body, _):
        self.reply(body[:-1] + b"x", Content_Length=len(body), Content_Encoding="rubbish")

    def do_headers_without_end(self, body, _):
        self.send_response(200)
        for i in range(1000):
            self.send_header(f"X-{i}", "x" * 1000)
        self.end_headers()

    def do_twice(self, body, name):
        """The file, the second time it is asked for."""
        if self.server.asked.count(self.path) > 1:
            self.do_good(body, name)
        else:
            self.do_broken(body, name)

    def do_silent(self, body, _):
        self.server.let_go.wait(60)


class Web(NamedTuple):
    """The server, and the base address of a mirror that behaves as named."""

    server: Server
    certificate: str

    def mirror(self, behaviour):
        return f"https://127.0.0.1:{self.server.server_port}/{behaviour}/"


def started(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    return thread


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """Start the server, and a plain http one that must never be asked."""
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("web") / "ca.pem"
    authority.cert_pem.write_to_path(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server, plain = Server(), Server()
    # the handshake happens in the thread of the request, so that one client cannot hold up the others
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.http_port = plain.server_port
    threads = [started(server), started(plain)]
    yield Web(server, str(certificate)), plain
    server.let_go.set()
    for one in (server, plain):
        one.shutdown()
        one.server_close()
    for thread in threads:
        thread.join()


@pytest.fixture
def web(running, monkeypatch):
    """Return the running server, trusted by requests."""
    web, plain = running
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", web.certificate)
    web.server.asked.clear()
    web.server.stalled.clear()
    yield web
    assert plain.asked == [], "http must not be used"


@pytest.fixture
def closed_port():
    """Return the base address of a mirror where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{bound.getsockname()[1]}/"
