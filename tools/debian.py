# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's packages as material: kernels, their modules, busybox, and initial RAM disks made of them.

Packages are fetched with the machine's own apt, need no root, and are kept in the cache.
"""
import functools
import lzma
import os
import pathlib
import re
import shlex
import stat
import subprocess
import tempfile

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "cella"


class DebianError(Exception):
    """Says what is wrong and what to do about it."""


def run(*command, **options):
    """The output of a host command; DebianError when it fails or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    except FileNotFoundError as error:
        raise DebianError(f"'{command[0]}' is not installed") from error
    if done.returncode:
        raise DebianError(f"'{shlex.join(command)}' failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def package(name):
    """The unpacked files of a Debian package, fetched once."""
    target = CACHE / "packages" / name
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Two boxes may do this at once: each works apart, the first to rename wins.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as work:
            run("apt-get", "-o", "Acquire::Retries=5", "download", name, cwd=work)
            (archive,) = pathlib.Path(work).glob("*.deb")
            files = pathlib.Path(work) / "files"
            run("dpkg-deb", "-x", str(archive), str(files))
            try:
                files.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    return target


def kernel_package():
    """The name of the newest cloud kernel that apt knows, or that the cache has when apt knows none."""
    try:
        depends = run("apt-cache", "depends", "linux-image-cloud-amd64")
    except DebianError:
        depends = ""
    found = re.search(r"Depends: (linux-image-[0-9]\S*)", depends)
    if found:
        return found.group(1)
    cached = sorted((CACHE / "packages").glob("linux-image-*"))
    if not cached:
        raise DebianError("no package 'linux-image-cloud-amd64': run 'apt-get update' on a Debian 12 or newer")
    return cached[-1].name


class Modules:
    """Kernel modules of an unpacked kernel package, with what they depend on."""

    def __init__(self, kernel):
        self.files = {}
        for path in kernel.glob("**/lib/modules/**/*.ko*"):
            self.files[path.name.split(".ko")[0].replace("-", "_")] = path

    @functools.cache
    def load(self, name):
        path = self.files[name]
        data = path.read_bytes()
        return lzma.decompress(data) if path.suffix == ".xz" else data

    def in_order(self, names):
        """(name, bytes) so that each comes behind what it needs; what is built into the kernel is left out."""
        done = {}

        def add(name):
            name = name.replace("-", "_")
            if name in done or name not in self.files:
                return
            data = self.load(name)
            depends = re.search(rb"\0depends=([^\0]*)\0", data)
            for other in depends.group(1).decode().split(",") if depends else ():
                add(other)
            done[name] = data

        for name in names:
            add(name)
        return list(done.items())


class Initrd:
    """A cpio archive ("newc" format) that the kernel unpacks as its root."""

    def __init__(self, stream):
        self.stream = stream
        self.seen = set()

    def _entry(self, name, mode, data=b""):
        encoded = name.encode() + b"\0"
        fields = (len(self.seen), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self.stream.write(header + b"\0" * (-len(header) % 4))
        self.stream.write(data)
        self.stream.write(b"\0" * (-len(data) % 4))

    def _parents(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self.seen:
            self._parents(parent)
            self.seen.add(parent)
            self._entry(parent, stat.S_IFDIR | 0o755)

    def add(self, name, data, mode=0o644):
        """A file with these bytes; the first of a name counts."""
        name = name.lstrip("/")
        if name not in self.seen:
            self._parents(name)
            self.seen.add(name)
            self._entry(name, stat.S_IFREG | mode, data)

    def add_file(self, source, name):
        """A file of the host, with the shared libraries it needs at the places it expects; directories whole."""
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.is_file():
                    self.add_file(path, f"{name}/{path.relative_to(source)}")
            return
        try:
            data = source.read_bytes()
            mode = source.stat().st_mode & 0o777
        except OSError as error:
            raise DebianError(f"cannot read '{source}': {error.strerror}") from error
        self.add(name, data, mode)
        if data[:4] == b"\x7fELF" and mode & 0o111:
            self.add_libraries(source)

    def add_libraries(self, program):
        done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if "not found" in line:
                raise DebianError(f"'{program}' needs a library that is missing: {line.strip()}")
            found = re.search(r"(?:=> )?(/\S+) \(0x", line)
            if found:
                library = pathlib.Path(found.group(1))
                self.add(str(library), library.read_bytes(), 0o755)

    def finish(self):
        self._entry("TRAILER!!!", 0)
