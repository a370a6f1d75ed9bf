#!/usr/bin/env python3
"""Takes the place of `cockroach start-single-node` where CockroachDB is not installed: same arguments, same health page,
and a SQL port that knows CREATE DATABASE and takes everything else for a SELECT without rows."""
import http.server
import socketserver
import struct
import sys
import threading

if sys.argv[1:] == ["version"]:
    print("cockroach version details:\nBuild Tag:        v23.2.0")
    sys.exit()
assert sys.argv[1:3] == ["start-single-node", "--insecure"], sys.argv
options = dict(argument[2:].split("=", 1) for argument in sys.argv[3:])
assert options["store"].endswith("/data"), options
databases = set()


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health?ready=1" else 404)
        self.end_headers()


class Sql(socketserver.StreamRequestHandler):
    def handle(self):
        (length,) = struct.unpack("!i", self.rfile.read(4))
        assert b"user\0root\0" in self.rfile.read(length - 4)
        self.answer(b"R", struct.pack("!i", 0))
        self.answer(b"Z", b"I")
        while kind := self.rfile.read(1):
            (length,) = struct.unpack("!i", self.rfile.read(4))
            statement = self.rfile.read(length - 4).rstrip(b"\0").decode()
            assert kind == b"Q", kind
            if statement in databases:
                self.answer(b"E", b"SERROR\0C42P04\0Mdatabase already exists\0\0")
            else:
                self.answer(b"C", b"OK\0")
            if statement.startswith("CREATE DATABASE"):
                databases.add(statement)
            self.answer(b"Z", b"I")

    def answer(self, kind, body):
        self.wfile.write(kind + struct.pack("!i", len(body) + 4) + body)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True


def address(option):
    host, port = options[option].rsplit(":", 1)
    assert host == "127.0.0.1", host
    return host, int(port)


sql = Server(address("listen-addr"), Sql)
threading.Thread(target=sql.serve_forever, daemon=True).start()
http.server.HTTPServer(address("http-addr"), Health).serve_forever()
