# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting machines with the built program, for the system tests."""
import contextlib
import functools
import os
import pathlib
import select
import shlex
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CELLA = ROOT / "build" / "cella"
# Generous: the software engine on a busy machine. A test waits for what happens, never for time to pass.
TIMEOUT = 600


# In front of a guest's commands: /tmp/told is there as soon as the test has said a line. So what must not end before the test
# has done something meanwhile goes on until then, however slow either of them is.
UNTIL_TOLD = "({ read x < /dev/console; > /tmp/told; } &); "


@functools.cache
def tool(name, *arguments):
    """What a tool of the project prints on its last line."""
    done = subprocess.run([str(ROOT / "tools" / name), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


def kernel():
    return tool("guest", "kernel")


def initrd():
    return tool("guest", "initrd")


def run_command(guest_command, *options, memory="512M", append=""):
    """`cella run` of the stock kernel and the small initrd, in which the command runs before it powers off."""
    words = f'console=ttyS0 quiet panic=-1 {append} guest.run="{guest_command}"'
    return ["run", "--memory", memory, "--net", "none", "--kernel", kernel(), "--initrd", initrd(),
            "--append", words, *options]


@contextlib.contextmanager
def held_ports(count):
    """TCP ports of 127.0.0.1 for servers that have to be told one. Whoever names a port can listen there as usual; nobody is
    given it by chance meanwhile, since it is bound."""
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(socket.socket()) for _ in range(count)]
        for holder in holders:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
        yield [holder.getsockname()[1] for holder in holders]


class Machine:
    """A running `cella run`, its terminal (stdin and stdout) and its log (stderr)."""

    def __init__(self, arguments, **options):
        self.log = tempfile.TemporaryFile()
        options = {"stdin": subprocess.DEVNULL, **options}
        self.process = subprocess.Popen([str(CELLA), *arguments], stdout=subprocess.PIPE, stderr=self.log, **options)
        self.output = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def say(self, line):
        """To the guest's first serial port, of one that was made with stdin=subprocess.PIPE."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def read_until(self, text):
        """Reads the guest's output until `text` is in it."""
        deadline = time.monotonic() + TIMEOUT
        os.set_blocking(self.process.stdout.fileno(), False)
        while text.encode() not in self.output:
            data = self.process.stdout.read(65536)
            if data == b"":
                raise AssertionError(f"the machine ended before it said '{text}':\n{self.text()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the machine did not say '{text}' in {TIMEOUT} s:\n{self.text()}")
            if data is None:
                time.sleep(0.02)
            else:
                self.output += data

    def read_more(self, text, times=2):
        """Reads on until `text` was said so often, what was said before not counted: that much happened since."""
        os.set_blocking(self.process.stdout.fileno(), False)
        while data := self.process.stdout.read(65536):
            self.output += data
        before = self.output.count(text.encode())
        deadline = time.monotonic() + TIMEOUT
        while self.output.count(text.encode()) < before + times:
            data = self.process.stdout.read(65536)
            assert data != b"", f"the machine ended before it said '{text}' again:\n{self.text()}"
            assert time.monotonic() < deadline, f"the machine did not say '{text}' again in {TIMEOUT} s:\n{self.text()}"
            if data is None:
                time.sleep(0.02)
            else:
                self.output += data

    def wait_for_log(self, text):
        deadline = time.monotonic() + TIMEOUT
        while text not in self.text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.text()
            time.sleep(0.02)

    def wait(self):
        """The exit status, with all output read."""
        os.set_blocking(self.process.stdout.fileno(), True)
        try:
            rest, _ = self.process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the machine did not end in {TIMEOUT} s:\n{self.text()}") from error
        self.output += rest or b""
        return self.process.returncode

    def text(self):
        # Its offset is the machine's too, which may be writing.
        log = os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0)
        return self.output.decode(errors="replace") + "\n--- log ---\n" + log.decode(errors="replace")


def read_terminal_until(terminal, text):
    """Reads from a pseudo terminal's leader until `text` is in it."""
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], TIMEOUT)[0], seen
        seen += os.read(terminal, 4096)


def soft(arguments):
    """Runs to the end on the software engine here: (status, output and log)."""
    with Machine([arguments[0], "--engine", "soft", *arguments[1:]]) as machine:
        return machine.wait(), machine.text()


def in_kvm_box(arguments, files=()):
    """Runs to the end on KVM in the KVM box, with the host files that the arguments name: (status, output and log)."""
    box = [sys.executable, str(ROOT / "tools" / "kvmbox"), "--timeout", str(TIMEOUT)]
    renamed = {}
    for file in {kernel(), initrd(), *files}:
        renamed[file] = f"/guest/{pathlib.Path(file).name}"
        box += ["--file", f"{file}:{renamed[file]}"]
    words = [renamed.get(word, word) for word in arguments]
    command = ["/cella/cella", words[0], "--engine", "kvm", *words[1:]]
    done = subprocess.run([*box, "--", *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, f"{shlex.join(command)}\n{done.stdout}\n--- log ---\n{done.stderr}"


ENGINES = {"soft": soft, "kvm": in_kvm_box}
