# SPDX-License-Identifier: GPL-2.0-or-later
"""`cella image fetch` and `checksum`: files of servers that break off, change, lie, or are not to be reached."""
import hashlib
import http.server
import json
import os
import re
import threading

import pytest

from images import cella_json, run
from machine import CELLA

DATA = os.urandom(3 << 20)
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves server.data; breaks each answer off after server.piece bytes."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append(dict(self.headers))
        if self.path == "/nothing":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/disk")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, same = 0, self.headers.get("If-Range") in (None, server.etag)
        found = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found and same and server.ranges:
            start = int(found.group(1))
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        self.send_header("Content-Length", str(len(server.data) - start))
        self.end_headers()
        self.wfile.write(server.data[start:start + server.piece])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture(name="web")
def web_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.data, server.piece, server.etag, server.ranges, server.asked = DATA, len(DATA), '"one"', True, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(web, target, *words, path="/disk"):
    return run(CELLA, "image", "fetch", f"{web.url}{path}", target, "--json", *words)


@pytest.mark.parametrize("path", ["/disk", "/moved"])
def test_file_is_fetched_and_hashed(tmp_path, web, path):
    done = fetch(web, tmp_path / "disk", "--sha256", DIGEST, path=path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "disk").read_bytes() == DATA
    facts = json.loads(done.stdout)
    assert (facts["sha256"], facts["bytes"]) == (DIGEST, len(DATA))
    assert cella_json("checksum", tmp_path / "disk")["sha256"] == DIGEST


def test_answers_that_break_off_are_continued(tmp_path, web):
    web.piece = len(DATA) // 3
    assert fetch(web, tmp_path / "disk", "--sha256", DIGEST).returncode == 0
    assert (tmp_path / "disk").read_bytes() == DATA
    assert len(web.asked) >= 3 and web.asked[1]["If-Range"] == '"one"'


def test_server_without_ranges_is_asked_for_all_again(tmp_path, web):
    web.ranges, web.piece = False, len(DATA) // 2
    (tmp_path / "disk").write_bytes(b"of something else")
    assert fetch(web, tmp_path / "disk").returncode == 1
    web.piece = len(DATA)
    assert fetch(web, tmp_path / "disk", "--sha256", DIGEST).returncode == 0


def test_same_command_goes_on(tmp_path, web):
    web.piece = 1 << 20
    assert fetch(web, tmp_path / "disk", "--max", "1M").returncode == 1
    web.piece, web.asked[:] = len(DATA), []
    (tmp_path / "disk").write_bytes(DATA[:1 << 20])
    (tmp_path / "disk.fetch").write_text(f'{web.url}/disk\n"one"\n', encoding="ascii")
    assert fetch(web, tmp_path / "disk", "--sha256", DIGEST).returncode == 0
    assert web.asked[0]["Range"] == f"bytes={1 << 20}-"


def test_changed_file_is_fetched_anew(tmp_path, web):
    (tmp_path / "disk").write_bytes(b"x" * 1000)
    (tmp_path / "disk.fetch").write_text(f'{web.url}/disk\n"zero"\n', encoding="ascii")
    assert fetch(web, tmp_path / "disk", "--sha256", DIGEST).returncode == 0


def test_whole_file_is_not_fetched_again(tmp_path, web):
    assert fetch(web, tmp_path / "disk").returncode == 0
    done = fetch(web, tmp_path / "disk", "--sha256", DIGEST)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words,path,said", [
    (["--sha256", "0" * 64], "/disk", "SHA-256"),
    (["--max", "1M"], "/disk", "larger"),
    (["--public"], "/disk", "not in the public network"),
    ([], "/nothing", "404"),
])
def test_what_is_not_wanted_is_refused(tmp_path, web, words, path, said):
    done = fetch(web, tmp_path / "disk", *words, path=path)
    assert done.returncode == 1 and said in done.stderr
    assert (tmp_path / "disk").stat().st_size in (0, 1 << 20) or "larger" in done.stderr


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "disk"])
def test_other_schemes_are_refused(tmp_path, url):
    done = run(CELLA, "image", "fetch", url, tmp_path / "disk")
    assert done.returncode == 1 and "http" in done.stderr
    assert not (tmp_path / "disk").exists()


def test_link_is_not_written_through(tmp_path, web):
    (tmp_path / "target").write_bytes(b"mine")
    (tmp_path / "disk").symlink_to(tmp_path / "target")
    assert fetch(web, tmp_path / "disk").returncode == 1
    assert (tmp_path / "target").read_bytes() == b"mine"


def test_progress_is_lines_of_json(tmp_path, web):
    done = fetch(web, tmp_path / "disk", "--progress")
    lines = done.stdout.splitlines()
    first = json.loads(lines[0])
    assert first["total"] == len(DATA) and 0 < first["done"] <= len(DATA)
    rest = "\n".join(line for line in lines if not line.startswith('{"done"'))
    assert json.loads(rest)["sha256"] == DIGEST
