# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line against a real daemon: objects, documents, consoles, contexts, completion."""
import contextlib
import csv
import io
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import pytest

import tiny
from machine import CELLA
from node import ROOT, TIMEOUT
from test_node_vm import COUNT, Machines

DONE, FAILED, DIFFERENT, REFUSED, NOT_FOUND, NOT_ALLOWED, NO_SERVER, OPERATION, TIMED_OUT = range(9)


class Cli:
    """`cella` with a daemon and a home of its own."""

    def __init__(self, node, home):
        self.node = node
        self.env = {**os.environ, "CELLA_SOCKET": str(node.socket), "XDG_CONFIG_HOME": str(home), "NO_COLOR": "1"}
        for name in ("CELLA_CONTEXT", "CELLA_PROJECT"):
            self.env.pop(name, None)

    def __call__(self, *words, code=DONE, text=None, env=None, **options):
        done = subprocess.run([str(CELLA), *map(str, words)], input=text, capture_output=True, text=True, timeout=TIMEOUT,
                              check=False, env={**self.env, **(env or {})}, **options)
        assert done.returncode == code, f"{words}: {done}"
        if code not in (DONE, DIFFERENT):
            assert done.stderr.startswith("cella: "), done
        return done

    def json(self, *words):
        return json.loads(self(*words, "--format", "json").stdout)


@pytest.fixture(name="node", scope="module")
def node_fixture(tmp_path_factory):
    with Machines(tmp_path_factory.mktemp("node"), listen="127.0.0.1:0") as node:
        yield node


@pytest.fixture(name="cli")
def cli_fixture(node, tmp_path):
    return Cli(node, tmp_path)


@pytest.fixture(name="project")
def project_fixture(cli):
    """A project for one test."""
    name = f"p{time.monotonic_ns()}"
    cli("project", "create", name)
    cli.env["CELLA_PROJECT"] = name
    cli("network", "create", "default", "--type", "user")
    return name


def kernel(node, code=tiny.HALT):
    return node.kernel(code)


def test_object_is_made_shown_changed_and_deleted(cli, project):
    cli("vm", "create", "web1", "--memory", "256M", "--cpus", "2", "--labels", "tier=web", "--labels", "env=test",
        "--net", "default,mac=52:54:00:00:00:01", "--boot-append", "quiet", "--notes", "first: one")
    vm = cli.json("vm", "show", "web1")
    assert vm["labels"] == {"tier": "web", "env": "test"} and vm["notes"] == "first: one"
    assert vm["spec"]["memory"] == 256 << 20 and vm["spec"]["cpus"] == 2
    assert vm["spec"]["nets"][0]["mac"] == "52:54:00:00:00:01" and vm["spec"]["boot"] == {"append": "quiet"}

    cli("vm", "edit", "web1", "--memory", "512M", "--labels", "tier=db")
    vm = cli.json("vm", "show", "web1")
    assert vm["spec"]["memory"] == 512 << 20 and vm["labels"] == {"tier": "db", "env": "test"} and vm["spec"]["cpus"] == 2

    assert cli("vm", "list").stdout.split("\n")[1].split()[:5] == ["web1", "stopped", "2", "512", "MiB"]
    assert cli("ls", "--filter", "spec.cpus=1").stderr == "cella: no vms\n"
    assert [row["name"] for row in cli.json("ls", "-l", "tier=db")] == ["web1"]
    assert f"{project}/web1" not in cli("ls").stdout and project in cli("ls", "-A").stdout
    cli("vm", "show", f"{project}/web1", env={"CELLA_PROJECT": "default"})

    cli("rm", "web1")
    cli("vm", "show", "web1", code=NOT_FOUND)


def test_what_an_object_has_is_taken_away(cli, project):
    cli("vm", "create", "web1", "--memory", "64M", "--label", "tier=web", "--label", "env=test", "--net", "default", "--user", "me")
    cli("vm", "edit", "web1", "--label", "tier-", "--nets", "", "--user", "", "--memory", "")
    vm = cli.json("vm", "show", "web1")
    assert vm["labels"] == {"env": "test"} and vm["spec"]["nets"] == [] and "user" not in vm["spec"].get("cloud-init", {})
    assert vm["spec"]["memory"] == 1 << 30


def test_devices_are_attached_and_detached(cli, project):
    for disk in ("one", "two"):
        cli("disk", "create", disk, "--size", "1M")
    cli("vm", "create", "web1", "--memory", "64M", "--disk", "one", "--net", "default")
    cli("vm", "attach", "web1", "--disk", "two,readonly=on", "--net", "default,mac=52:54:00:00:00:02")
    spec = cli.json("vm", "show", "web1")["spec"]
    assert [(disk["disk"], disk["readonly"]) for disk in spec["disks"]] == [("one", False), ("two", True)]
    assert [net.get("mac") for net in spec["nets"]] == [None, "52:54:00:00:00:02"]
    cli("vm", "detach", "web1", "--disk", "one")
    spec = cli.json("vm", "show", "web1")["spec"]
    assert [disk["disk"] for disk in spec["disks"]] == ["two"] and len(spec["nets"]) == 2
    assert "'web1' has no disk 'one'" in cli("vm", "detach", "web1", "--disk", "one", code=FAILED).stderr
    assert "needs --disk or --net" in cli("vm", "attach", "web1", code=FAILED).stderr
    assert "no disk 'three'" in cli("vm", "attach", "web1", "--disk", "three", code=REFUSED).stderr


def test_options_of_one_name_are_told_apart(cli, project, tmp_path):
    cli("security-group", "create", "web", "--label", "a=b", "--security-group-label", "tier=web")
    group = cli.json("security-group", "show", "web")
    assert group["labels"] == {"a": "b"} and group["spec"]["labels"] == {"tier": "web"}
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    cli("image", "upload", "plain", disk, code=OPERATION)
    cli("image", "delete", "plain")
    cli("image", "upload", "plain", disk, "--image-format", "raw")
    assert cli.json("image", "show", "plain")["spec"]["format"] == "raw"
    cli("image", "delete", "plain")


def test_new_name_is_a_word(cli, project):
    cli("vm", "create", "one", "--memory", "64M")
    cli("vm", "clone", "one", "two")
    cli("vm", "clone", "one", "--name", "three")
    cli("vm", "rename", "two", "second")
    assert cli("ls", "-q").stdout.split() == ["one", "second", "three"]
    assert f"{project}/one" in cli("ls", "-Aq").stdout.split()
    assert "needs NAME NEW-NAME" in cli("vm", "clone", "one", code=FAILED).stderr
    assert "'NEW'" in cli("vm", "clone", "one", "NEW", code=FAILED).stderr
    assert "'four'" in cli("vm", "rename", "one", "three", "four", code=FAILED).stderr


def test_one_that_fails_leaves_the_others(cli, node, project):
    for name in ("a", "b"):
        cli("vm", "create", name, "--memory", "64M", "--engine", "soft", "--kernel", kernel(node, tiny.ECHO), "--restart", "never")
    cli("start", "a", "b")
    done = cli("stop", "a", "none", "b", "lost", "--force", code=NOT_FOUND)
    assert done.stderr.count("cella: ") == 2 and "'none'" in done.stderr and "'lost'" in done.stderr
    assert {vm["status"]["state"] for vm in cli.json("ls")} == {"stopped"}
    cli("rm", "none", "a", "b", code=NOT_FOUND)
    assert cli.json("ls") == []


def test_formats_say_the_same(cli, project):
    cli("vm", "create", "a,b".replace(",", "-"), "--memory", "64M")
    listed = cli.json("vm", "list")
    rows = list(csv.DictReader(io.StringIO(cli("vm", "list", "-o", "csv").stdout)))
    assert [row["name"] for row in rows] == ["a-b"] and rows[0]["spec.memory"] == str(64 << 20)
    shown = list(csv.DictReader(io.StringIO(cli("vm", "show", "a-b", "-ocsv").stdout)))
    assert shown == rows
    shown = cli("vm", "show", "a-b").stdout
    assert "name: a-b\n" in shown and "  memory: 64M\n" in shown and listed[0]["name"] == "a-b"
    assert cli("vm", "list", "-o", "xml", code=FAILED).stderr.startswith("cella: --format 'xml'")


@pytest.mark.parametrize("words, code, parts", [
    (["vm"], DONE, []),
    (["vm", "cretae", "x"], FAILED, ["'vm cretae'", "did you mean 'create'"]),
    (["vm", "create"], FAILED, ["needs NAME"]),
    (["vm", "create", "x", "--memroy", "1G"], FAILED, ["'--memroy'", "did you mean '--memory'"]),
    (["vm", "create", "x", "--memory", "1"], FAILED, ["--memory '1'", "16M"]),
    (["vm", "create", "x", "--engine", "xen"], FAILED, ["--engine 'xen'", "kvm"]),
    (["vm", "create", "x", "--disk", "colour=red"], FAILED, ["'colour'"]),
    (["vm", "create", "-x"], FAILED, ["'-x'"]),
    (["vm", "create", "Upper"], REFUSED, ["name"]),
    (["vm", "show", "none"], NOT_FOUND, ["'none'"]),
    (["vm", "start", "none"], NOT_FOUND, ["'none'"]),
    (["vm", "create", "x", "--context", "none"], FAILED, ["context 'none'"]),
    (["operation", "create", "x"], FAILED, ["'operation create'"]),
    (["query", "GET"], FAILED, ["METHOD PATH"]),
    (["query", "GET", "/v1/none"], NOT_FOUND, []),
    (["apply"], FAILED, ["-f FILE"]),
    (["apply", "-f", "/none"], FAILED, ["/none"]),
    (["context", "use", "none"], FAILED, ["'none'"]),
    (["apply", "x.yaml"], FAILED, ["'x.yaml'", "cella apply -f x.yaml"]),
    (["apply", "-f", "/dev/null", "x.yaml"], FAILED, ["'x.yaml'"]),
    (["apply", "-f", "-"], FAILED, ["the input: line"]),
    (["top", "x"], FAILED, ["'x'"]),
    (["doctor", "x"], FAILED, ["'x'"]),
    (["vm", "list", "-Ax"], FAILED, ["'-x'"]),
    (["run", "-d", "--kernal", "x"], FAILED, ["did you mean '--kernel'"]),
    (["login"], FAILED, ["--user"]),
    (["login", "--user", "x"], FAILED, ["context"]),
    (["lss"], FAILED, ["'lss'", "'ls'"]),
    (["--context", "lab", "ls"], FAILED, ["'--context'", "behind the command"]),
])
def test_what_is_wrong_is_named(cli, words, code, parts):
    done = cli(*words, code=code, text="[")
    for part in parts:
        assert part in done.stderr, done.stderr


def test_server_that_is_not_there_is_told(cli, tmp_path):
    done = cli("ls", code=NO_SERVER, env={"CELLA_SOCKET": str(tmp_path / "none")})
    assert "is cellad running?" in done.stderr
    assert "is cellad running?" in cli("ls", code=NO_SERVER, env={"CELLA_SOCKET": "none"}).stderr


def test_contexts_that_nobody_asks_for_are_not_read(cli, tmp_path):
    (tmp_path / "cella").mkdir()
    (tmp_path / "cella" / "contexts.json").write_text("no JSON")
    cli("ls")
    assert "mend the file" in cli("ls", "--context", "lab", code=FAILED).stderr


@pytest.mark.parametrize("words", [["vm"], ["vm", "create"], ["vm", "stop"], ["vm", "edit"], ["image", "build"], ["run", "-d"],
                                   ["apply"], ["diff"], ["export"], ["top"], ["doctor"], ["query"], ["context"], ["context", "add"],
                                   ["login"], ["network", "list"], ["operation", "show"]])
def test_help_is_there_without_a_server(cli, words):
    done = cli(*words, "--help", env={"CELLA_SOCKET": "/none"})
    assert done.stdout.startswith("Usage: cella "), done
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_is_there_by_words_too(cli):
    for words in (["vm"], ["vm", "create"], ["stop"], ["run"], ["run", "-d"], ["image"], ["context", "add"]):
        assert cli("help", *words).stdout == cli(*words, "--help").stdout
    assert cli("help").stdout == cli("help", "--help").stdout == cli("--help").stdout
    assert "(1G)" in cli("vm", "create", "--help").stdout and "(1G)" not in cli("vm", "edit", "--help").stdout


def test_machine_lives(cli, node, project):
    cli("vm", "create", "echo", "--memory", "64M", "--engine", "soft", "--boot-kernel", kernel(node, tiny.ECHO), "--restart", "never",
        "--start")
    node.done(node.post(f"/v1/projects/{project}/vms/echo/actions/start", {}))
    assert cli.json("vm", "show", "echo")["status"]["state"] == "running"
    operation = cli("stop", "echo", "--force", "--no-wait").stdout.strip()
    node.done(node.get(f"/v1/operations/{operation}?wait=60s", status=None))
    assert cli.json("vm", "show", "echo")["status"]["state"] == "stopped"
    cli("start", "echo")
    cli("restart", "echo", "--force")
    cli("vm", "pause", "echo")
    assert cli.json("vm", "show", "echo")["status"]["state"] == "paused"
    cli("vm", "resume", "echo")
    cli("stop", "echo", "--force")


def test_start_that_fails_tells_why(cli, project):
    cli("vm", "create", "empty", "--memory", "64M", "--restart", "never")
    done = cli("start", "empty", code=OPERATION)
    assert "start 'empty' failed" in done.stderr and "cella vm logs empty --source vmm" in done.stderr and "nothing to boot" in done.stderr


class Terminal:
    """`cella` on a terminal."""

    def __init__(self, cli, *words, env=None):
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.execve(str(CELLA), ["cella", *words], {**cli.env, **(env or {})})
        self.seen = b""

    def until(self, text):
        deadline = time.monotonic() + TIMEOUT
        while text not in self.seen:
            assert select.select([self.terminal], [], [], deadline - time.monotonic())[0], self.seen
            self.seen += os.read(self.terminal, 65536)

    def type(self, text):
        os.write(self.terminal, text)

    def all(self):
        """What it wrote, to its end."""
        try:
            while data := os.read(self.terminal, 65536):
                self.seen += data
        except OSError:
            pass
        assert self.end() == DONE
        return self.seen

    def end(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)


def test_console_is_talked_to_and_left(cli, node, project):
    cli("vm", "create", "echo", "--memory", "64M", "--engine", "soft", "--boot-kernel", kernel(node, tiny.ECHO), "--restart", "never")
    cli("start", "echo")
    console = Terminal(cli, "console", "echo")
    console.until(b"connected")
    console.type(b"hello")
    console.until(b"hello")
    console.type(b"\x1d\x1d\x1d")
    console.until(b"left the console")
    assert console.end() == DONE
    assert "hello" in cli("logs", "echo").stdout
    assert cli("vm", "logs", "echo", "--bytes", "2").stdout == "lo"
    # It hears no power button: the work goes on when it is waited for no longer.
    done = cli("stop", "echo", "--timeout", "600", "--wait-timeout", "10ms", code=TIMED_OUT)
    assert "stop 'echo' is not done in time, and goes on" in done.stderr
    operation = re.search(r"cella operation delete (\S+)'", done.stderr).group(1)
    assert cli.json("operation", "show", operation)["status"]["state"] in ("pending", "running")
    cli("operation", "delete", operation)
    cli("stop", "echo", "--force")
    cli("console", "none", code=NOT_FOUND)


def test_terminal_shows_progress_and_colours(cli, node, project):
    cli("vm", "create", "deaf", "--memory", "64M", "--engine", "soft", "--boot-kernel", kernel(node, tiny.ECHO), "--restart", "never")
    cli("start", "deaf")
    assert b"\x1b[32mrunning\x1b[0m" in Terminal(cli, "ls", env={"NO_COLOR": "", "TERM": "xterm"}).all()
    assert b"\x1b" not in Terminal(cli, "ls", env={"NO_COLOR": "1", "TERM": "xterm"}).all()
    assert b"\x1b" not in Terminal(cli, "ls", env={"NO_COLOR": "", "TERM": "dumb"}).all()
    # It hears no power button, so this takes a while.
    assert b"\rstop deaf" in Terminal(cli, "stop", "deaf", "--timeout", "2").all().replace(b"\x1b[K", b"")
    assert cli.json("vm", "show", "deaf")["status"]["state"] == "stopped"


def test_interrupt_ends_the_waiting_alone(cli, node, project):
    cli("vm", "create", "deaf", "--memory", "64M", "--engine", "soft", "--kernel", kernel(node, tiny.ECHO), "--restart", "never")
    cli("start", "deaf")
    # Longer than the test: nothing but the interrupt ends the waiting.
    waiting = Terminal(cli, "stop", "deaf", "--timeout", "3600", env={"TERM": "xterm"})
    waiting.until(b"stop deaf")
    waiting.type(b"\x03")
    waiting.until(b"'cella operation list'")
    assert waiting.end() == -signal.SIGINT
    operation, = (row["uid"] for row in cli.json("operation", "list") if row["spec"]["action"] == "stop"
                  and row["spec"]["resource"]["project"] == project)
    assert node.get(f"/v1/operations/{operation}", status=None)["status"]["state"] == "running"
    cli("stop", "deaf", "--force")
    node.done(node.get(f"/v1/operations/{operation}?wait=60s", status=None))
    assert cli.json("vm", "show", "deaf")["status"]["state"] == "stopped"


def test_progress_and_help_keep_to_a_narrow_terminal(cli):
    done = subprocess.run(["script", "-qec", f"stty cols 40; {CELLA} vm create --help", "/dev/null"], capture_output=True, text=True,
                          check=True, timeout=TIMEOUT, env=cli.env)
    lines = [line for line in done.stdout.splitlines() if line.startswith("        ")]
    assert len(lines) > 50 and max(map(len, lines)) <= 40


def test_console_of_a_machine_that_is_off_says_so(cli, node, project):
    cli("vm", "create", "echo", "--memory", "64M", "--engine", "soft", "--kernel", kernel(node, tiny.ECHO), "--restart", "never")
    console = Terminal(cli, "console", "echo")
    console.until(b"'echo' is stopped")
    console.until(b"connected")
    console.type(b"\x1d\x1d\x1d")
    assert console.end() == DONE


def test_run_detached_makes_and_starts(cli, node, project):
    words = ["run", "-d", "--memory", "64M", "--engine", "soft", "--kernel", kernel(node, tiny.ECHO), "--restart", "never"]
    name = cli(*words).stdout.strip()
    assert name.startswith("vm-")
    assert cli(*words, "--name", "mine").stdout == "mine\n"
    assert {vm["name"] for vm in cli.json("ls")} == {name, "mine"}
    assert all(vm["spec"]["running"] and vm["spec"]["nets"][0]["network"] == "default" for vm in cli.json("ls"))
    cli("stop", name, "mine", "--force")
    cli("rm", name, "mine")


def test_run_detached_in_a_project_without_a_network_uses_the_first_ones(cli, node):
    env = {"CELLA_PROJECT": f"bare{time.monotonic_ns()}"}
    cli("project", "create", env["CELLA_PROJECT"])
    cli("run", "-d", "--name", "one", "--memory", "64M", "--boot-kernel", kernel(node), "--restart", "never", "--no-wait", env=env)
    assert json.loads(cli("vm", "show", "one", "-o", "json", env=env).stdout)["spec"]["nets"][0]["network"] == "default/default"
    cli("stop", "one", "--force", env=env)
    cli("rm", "one", env=env)


DOCUMENTS = """
kind: project
name: {project}-shop
---
kind: vm
project: {project}-shop
name: one
labels: {{tier: web}}
spec:
  memory: 64M
  boot:
    append: |
      first
      second
"""


def test_documents_are_compared_applied_and_exported(cli, project, tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(DOCUMENTS.format(project=project))
    done = cli("diff", "-f", path, code=DIFFERENT)
    assert done.stdout == f"+ would create project/{project}-shop\n+ would create vm/{project}-shop/one\n"
    cli("vm", "show", f"{project}-shop/one", code=NOT_FOUND)
    cli("apply", "-f", path, "--dry-run")
    cli("vm", "show", f"{project}-shop/one", code=NOT_FOUND)
    cli("apply", "-f", path)
    vm = cli.json("vm", "show", f"{project}-shop/one")
    assert vm["spec"]["memory"] == 64 << 20 and vm["spec"]["boot"]["append"] == "first\nsecond\n"
    assert cli("diff", "-f", path).stdout == "everything is as wanted\n"

    path.write_text(DOCUMENTS.format(project=project).replace("tier: web", "tier: db"))
    done = cli("diff", "-f", path, code=DIFFERENT)
    assert done.stdout == f"~ would change vm/{project}-shop/one\n    labels.tier: \"db\"\n"
    cli("apply", "-f", "-", text=path.read_text())

    exported = tmp_path / "export.yaml"
    cli("export", "-p", f"{project}-shop", "-f", exported)
    assert "tier: db" in exported.read_text() and "memory: 64M" in exported.read_text() and "uid" not in exported.read_text()
    assert cli("diff", "-f", exported).stdout == "everything is as wanted\n"
    before = exported.read_text()
    cli("export", "-f", exported, code=NO_SERVER, env={"CELLA_SOCKET": "/none"})
    cli("export", "-f", exported, "nothing", code=FAILED)
    assert exported.read_text() == before
    path.write_text(f"kind: project\nname: {project}-shop\nlabels: {{x: &a 1, y: *a}}\n")
    assert "line 3" in cli("apply", "-f", path, code=FAILED).stderr
    path.write_text("kind: vm\nname: x\nspec: {memory: 1}\n")
    assert "memory" in cli("apply", "-f", path, code=REFUSED).stderr
    path.write_text("kind: vm\nname: x\nspec: {memory: 64Mx}\n")
    assert "a size such as" in cli("apply", "-f", path, code=REFUSED).stderr


def test_object_is_edited_by_hand(cli, project, tmp_path):
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/^notes:.*/notes: by hand/' \"$1\"\n")
    editor.chmod(0o755)
    cli("vm", "create", "one", "--memory", "64M")
    cli("vm", "edit", "one", env={"EDITOR": str(editor), "VISUAL": ""})
    assert cli.json("vm", "show", "one")["notes"] == "by hand"
    assert "nothing was changed" in cli("vm", "edit", "one", env={"EDITOR": "true", "VISUAL": ""}).stderr
    cli("vm", "edit", "one", code=FAILED, env={"EDITOR": "false", "VISUAL": ""})


@pytest.mark.parametrize("typed, code, said", [
    ("echo 'notes: [a slip' >> \"$1\"", FAILED, "the edited text"),
    ("sed -i 's/memory:.*/memory: 1/' \"$1\"", REFUSED, "memory"),
])
def test_what_was_typed_is_not_lost(cli, project, tmp_path, typed, code, said):
    folder = tmp_path / "typed"
    folder.mkdir()
    editor = tmp_path / "editor"
    editor.write_text(f"#!/bin/sh\n{typed}\n")
    editor.chmod(0o755)
    cli("vm", "create", "one", "--memory", "64M")
    before = cli.json("vm", "show", "one")["spec"]
    environment = {"VISUAL": "", "TMPDIR": str(folder)}
    done = cli("vm", "edit", "one", code=code, env={**environment, "EDITOR": str(editor)})
    kept, = folder.iterdir()
    assert said in done.stderr and str(kept) in done.stderr and "kind: vm" in kept.read_text()
    assert cli.json("vm", "show", "one")["spec"] == before
    kept.unlink()
    cli("vm", "edit", "one", code=FAILED, env={**environment, "EDITOR": "false"})
    assert not list(folder.iterdir())


def test_image_is_uploaded(cli, project, tmp_path):
    disk = tmp_path / "disk.qcow2"
    subprocess.run([str(CELLA), "image", "create", "--format", "qcow2", str(disk), "8M"], check=True, timeout=TIMEOUT)
    cli("image", "upload", "mine", disk)
    image = cli.json("image", "show", "mine")
    assert image["status"]["state"] == "ready" and image["status"]["size"] == 8 << 20
    assert cli("image", "list").stdout.split("\n")[1].startswith("mine")
    cli("image", "delete", "mine")


def test_context_is_known_and_signed_in_to(cli, node):
    remote = {"CELLA_SOCKET": ""}
    address = node.printed()["console"].strip()
    assert "not trusted" in cli("context", "add", "lab", address, code=FAILED).stderr
    assert "another fingerprint" in cli("context", "add", "lab", address, "--fingerprint", "00", code=FAILED).stderr
    cli("context", "add", "lab", address, "--yes")
    cli("ls", code=NOT_ALLOWED, env=remote)
    cli("user", "create", "alice", "--password", "--grants", "role=viewer", text="a long password\n")
    cli("login", "--user", "alice", text="wrong\n", code=NOT_ALLOWED, env=remote)
    cli("login", "--user", "alice", text="a long password\n", env=remote)
    listed = json.loads(cli("context", "list", "-o", "json").stdout)
    assert listed == [{"name": "lab", "address": address, "token": True, "current": True}]
    path = pathlib.Path(cli.env["XDG_CONFIG_HOME"]) / "cella" / "contexts.json"
    assert path.stat().st_mode & 0o777 == 0o600
    cli("ls", "-A", env=remote)
    cli("project", "create", "not-hers", code=NOT_ALLOWED, env=remote)
    assert json.loads(cli("query", "GET", "/v1/session", env=remote).stdout)["user"] == "alice"
    assert offered(cli, "context", "use", "") == offered(cli, "ls", "--context", "") == ["lab"]
    cli("ls", "--context", "lab")
    assert "certificate  ok       ends in" in cli("doctor", "--context", "lab").stdout
    token, = cli.json("token", "list")
    cli("logout", env=remote)
    assert token["spec"]["user"] == "alice" and cli.json("token", "list") == []
    cli("ls", code=NOT_ALLOWED, env=remote)
    assert "nobody is signed in" in cli("logout", code=FAILED, env=remote).stderr
    cli("context", "rm", "lab")
    assert cli("context", "list").stderr == "cella: no contexts\n"


def test_secrets_are_no_words_of_the_command_line(cli, node, tmp_path):
    def signs_in(password):
        return node.post("/v1/session", {"user": "sue", "password": password}).status == 200

    for words in (["--password=a long secret"], ["--password", "a long secret"]):
        done = cli("user", "create", "sue", *words, code=FAILED)
        assert "others could see it" in done.stderr and "a long secret" not in done.stderr
    path = tmp_path / "password"
    path.write_text("from a file\nand more")
    cli("user", "create", "sue", "--password-file", path)
    assert signs_in("from a file")
    cli("user", "edit", "sue", "--password-file", "-", text="from the input\n")
    assert signs_in("from the input") and not signs_in("from a file")
    cli("user", "edit", "sue", "--password", text="", code=FAILED)
    assert signs_in("from the input")
    cli("user", "edit", "sue", "--password-file", "/dev/null")
    assert not signs_in("from the input")
    cli("query", "PATCH", "/v1/users/sue", "-", text='{"spec": {"password": "by a request"}}')
    assert signs_in("by a request")
    assert "No such file" in cli("user", "edit", "sue", "--password-file", "/none", code=FAILED).stderr
    assert "--password-file" in cli("complete", "user", "create", "x", "--p").stdout
    cli("user", "delete", "sue")


def test_new_password_is_typed_twice_and_not_shown(cli, node):
    def typed(*lines):
        main, other = pty.openpty()
        process = subprocess.Popen([str(CELLA), "user", "create", "tess", "--password"], stdin=other, stdout=other, stderr=other,
                                   env=cli.env, start_new_session=True)
        os.close(other)
        screen = b""
        for prompt, line in zip((b"New password: ", b"Once more: "), lines):
            while not screen.endswith(prompt):
                screen += os.read(main, 1000)
            os.write(main, line)
        with contextlib.suppress(OSError):
            while more := os.read(main, 1000):
                screen += more
        os.close(main)
        return process.wait(TIMEOUT), screen.decode()

    code, screen = typed(b"a long password\n", b"another password\n")
    assert code == FAILED and "not the same" in screen
    code, screen = typed(b"a long password\n", b"a long password\n")
    assert code == 0 and "a long" not in screen, screen
    assert node.post("/v1/session", {"user": "tess", "password": "a long password"}).status == 200
    cli("user", "delete", "tess")


def test_doctor_looks_at_everything(cli):
    done = cli("doctor")
    rows = {line.split("  ")[0] for line in done.stdout.splitlines()}
    assert {"kernel", "KVM", "seccomp", "Landlock", "cgroups", "nft", "dnsmasq", "server", "space", "pools", "machines"} <= rows
    done = subprocess.run([str(CELLA), "doctor"], capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          env={**cli.env, "CELLA_SOCKET": "/none"})
    assert done.returncode == FAILED and "server       wrong" in done.stdout


def test_top_shows_machines_that_run(cli, node, project):
    cli("vm", "create", "busy", "--memory", "64M", "--engine", "soft", "--boot-kernel", kernel(node, COUNT), "--restart", "never")
    cli("start", "busy")
    deadline = time.monotonic() + TIMEOUT
    # The first look may have been too early for it.
    while not (rows := [row for row in json.loads(cli("top", "--once", "-o", "json").stdout)
                        if row["name"] == f"{project}/busy" and row["cpu"] > 0]):
        assert time.monotonic() < deadline
    assert rows[0]["memory"] > 0
    cli("stop", "busy", "--force")


def offered(cli, *words):
    return cli("complete", *words).stdout.split()


def test_completion_has_live_names(cli, project):
    cli("vm", "create", "web1", "--memory", "64M")
    assert {"vm", "run", "ls", "apply"} <= set(offered(cli, ""))
    assert {"start", "create", "console"} <= set(offered(cli, "vm", ""))
    assert offered(cli, "vm", "start", "") == ["web1"] and offered(cli, "console", "w") == ["web1"]
    assert offered(cli, "vm", "start", "web1", "") == [] and offered(cli, "vm", "create", "") == []
    assert {"convert", "build", "add"} <= set(offered(cli, "image", ""))
    assert offered(cli, "ls", "-o", "") == ["table", "json", "yaml", "csv"]
    assert {"network=", "mac=", "default"} <= set(offered(cli, "vm", "create", "x", "--net", ""))
    assert "default,mac=" in offered(cli, "vm", "create", "x", "--net", "default,")
    assert "--prune" in offered(cli, "apply", "--") and "vm" in offered(cli, "export", "")
    assert "--memory" in offered(cli, "run", "--") and "--cloud-init-user" in offered(cli, "run", "-d", "--")
    assert "--memory" in offered(cli, "vm", "create", "x", "--")
    assert offered(cli, "vm", "create", "x", "--engine", "") == ["auto", "kvm", "soft"]
    assert project in offered(cli, "vm", "list", "--project", "")
    assert offered(cli, "vm", "nonsense", "") == []


def test_shells_complete_with_live_names(cli, project):
    cli("vm", "create", "web1", "--memory", "64M")
    bash = """source /usr/share/bash-completion/bash_completion; source "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        _cella 2> /dev/null; printf '%s\\n' "${COMPREPLY[@]}" """
    zsh = """compadd() { print -l $offered }; words=("${@[2,-1]}") CURRENT=$#words; source "$1" """
    for shell, script, file in (("bash", bash, "cella.bash-completion"), ("zsh", zsh, "_cella")):
        done = subprocess.run([shell, "-c", script, shell, str(ROOT / "docs" / file), str(CELLA), "vm", "start", "w"],
                              capture_output=True, text=True, check=True, timeout=TIMEOUT, env=cli.env)
        assert done.stdout.split() == ["web1"], done
