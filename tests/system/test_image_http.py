# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks of a web server (nginx), and of servers that will not do."""
import functools
import http.server
import socket
import subprocess
import threading
import time

import pytest

from images import MIB, cella, cella_json, raw_disk, run
from machine import CELLA, TIMEOUT, held_ports

SIZE = 4 * MIB


@pytest.fixture(name="web", scope="module")
def web_server(tmp_path_factory):
    """A folder and the URL where nginx shows it."""
    folder = tmp_path_factory.mktemp("web")
    with held_ports(1) as (port,):
        yield from nginx(folder, port)


def nginx(folder, port):
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder}/pid; error_log stderr; user root; events {{ }}
        http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fast; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            server {{ listen 127.0.0.1:{port}; root {folder};
                location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
                location /circle {{ return 302 /circle; }} }} }}""")
    with subprocess.Popen(["/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)],
                          stderr=subprocess.DEVNULL) as server:
        try:
            end = time.monotonic() + TIMEOUT
            with socket.socket() as probe:
                while probe.connect_ex(("127.0.0.1", port)):
                    assert time.monotonic() < end and server.poll() is None
            yield folder, f"http://127.0.0.1:{port}"
        finally:
            # It ends its workers, which a kill would leave behind.
            server.terminate()
            server.wait(TIMEOUT)


def test_disk_is_read_by_ranges(tmp_path, web):
    folder, url = web
    raw = raw_disk(folder / "disk.img", SIZE, 1)
    cella("compare", "-f", "raw", "-F", "raw", raw, f"{url}/disk.img")
    cella("convert", "-f", "raw", "-O", "raw", f"{url}/moved/disk.img", tmp_path / "copy.img")
    assert (tmp_path / "copy.img").read_bytes() == raw.read_bytes()


def test_formats_are_read(tmp_path, web):
    folder, url = web
    raw = raw_disk(tmp_path / "raw.img", SIZE, 2)
    cella("convert", "-f", "raw", "--compress", "-O", "qcow2", raw, folder / "disk.qcow2")
    cella("compare", "-f", "raw", "-F", "qcow2", raw, f"{url}/disk.qcow2")
    assert cella_json("info", f"{url}/disk.qcow2")["format"] == "qcow2"


def test_odd_size_reads_zeroes_at_the_end(tmp_path, web):
    folder, url = web
    (folder / "odd.img").write_bytes(b"x" * 1000)
    cella("convert", "-f", "raw", "-O", "raw", f"{url}/odd.img", tmp_path / "copy.img")
    assert (tmp_path / "copy.img").read_bytes() == b"x" * 1000 + bytes(24)


@pytest.mark.parametrize("path,words", [("nothing", "cannot read"), ("circle", "cannot read")])
def test_what_cannot_be_had_is_told(web, path, words):
    done = run(CELLA, "image", "info", f"{web[1]}/{path}")
    assert done.returncode == 1 and words in done.stderr


def test_nothing_is_written(tmp_path, web):
    folder, url = web
    raw = raw_disk(folder / "disk.img", SIZE, 3)
    done = run(CELLA, "image", "convert", "--no-create", "-f", "raw", "-O", "raw", raw, f"{url}/disk.img")
    assert done.returncode == 1 and "only be read" in done.stderr


class Server(http.server.SimpleHTTPRequestHandler):
    """Without ranges, as Python has it; or with such that show another file each time."""
    changing = False
    requests = 0

    def do_GET(self):
        if not self.changing:
            super().do_GET()
            return
        Server.requests += 1
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("ETag", f'"{Server.requests}"')
        self.end_headers()
        self.wfile.write(bytes(last - first + 1))

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("changing,words", [(False, "part of a file"), (True, "tale file handle")])
def test_server_that_will_not_do_is_refused(tmp_path, changing, words):
    raw_disk(tmp_path / "disk.img", SIZE, 4)
    kind = type("Kind", (Server,), {"changing": changing})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(kind, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run(CELLA, "image", "convert", "-f", "raw", "-O", "raw",
                   f"http://127.0.0.1:{server.server_port}/disk.img", tmp_path / "copy.img")
        server.shutdown()
    assert done.returncode == 1 and words in done.stderr
    assert not (tmp_path / "copy.img").exists()
