# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian that `share/image-build` makes, built once and cached, for tests that boot it."""
import contextlib
import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

from machine import CELLA, ROOT

sys.path.insert(0, str(ROOT / "tools"))
from debian import CACHE  # noqa: E402  pylint: disable=wrong-import-position

BUILDER = ROOT / "share" / "image-build"
BUILD_TIMEOUT = 1200  # packages are fetched and installed
PARTITION = 1 << 20


def run(*words, timeout=BUILD_TIMEOUT):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                          check=False)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def cached():
    return CACHE / f"image-{hashlib.sha256(BUILDER.read_bytes()).hexdigest()[:12]}"


@contextlib.contextmanager
def missing():
    """A folder that comes into the cache, as nobody else's does meanwhile; None if it is there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / ".image.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if cached().exists():
            yield None
            return
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=".new-") as work:
            folder = pathlib.Path(work) / "image"
            folder.mkdir()
            yield folder
            folder.rename(cached())


def keep(disk, kernel, initrd, append):
    """Puts what was built into the cache, if it is not there."""
    with missing() as folder:
        if not folder:
            return
        run(CELLA, "image", "convert", "-O", "raw", disk, folder / "disk.raw")
        shutil.copy(kernel, folder / "kernel")
        shutil.copy(initrd, folder / "initrd")
        (folder / "append").write_text(append, encoding="utf-8")


def built_image():
    """A folder with disk.raw, kernel, initrd and append."""
    with missing() as folder:
        if folder:
            run(BUILDER, "debian:12", folder)
    return cached()


def file_of(image, path):
    """The text of a file in the image."""
    return run("debugfs", "-R", f"cat {path}", f"{image / 'disk.raw'}?offset={PARTITION}")
