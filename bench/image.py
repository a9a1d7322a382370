# SPDX-License-Identifier: GPL-2.0-or-later
"""Conversions of images by Cella's tool and by QEMU's, on one processor and on two."""
import os
import shlex
import subprocess
import time

import engines
from measure import Sample
from session import BenchError

TOOLS = ("cella-img", "qemu-img")
CONVERSIONS = (("raw-qcow2", "raw", "qcow2", ()), ("qcow2-raw", "qcow2", "raw", ()),
               ("compress", "raw", "qcow2", ("-c",)))
THREADS = (1, 2)
SOURCE_BYTES = 512 << 20


def rows():
    """(row's name, unit) of each conversion, by the clock and in processor time."""
    for name, *_ in CONVERSIONS:
        for threads in THREADS:
            yield f"convert-{name}-{threads}", "s"
            yield f"convert-{name}-{threads}-cpu", "cpu s"


def source_images(guest):
    """The start of Debian's disk, which is like what is converted in life."""
    folder = engines.BUILD / "disks"
    folder.mkdir(parents=True, exist_ok=True)
    raw, qcow2 = folder / "source.raw", folder / "source.qcow2"
    with open(guest.debian / "disk.img", "rb") as disk, open(raw, "wb") as file:
        while file.tell() < SOURCE_BYTES:
            piece = disk.read(1 << 20)
            if piece.count(0) == len(piece):
                file.seek(len(piece), os.SEEK_CUR)
            else:
                file.write(piece)
        file.truncate(SOURCE_BYTES)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    return {"raw": raw, "qcow2": qcow2}


def convert_command(tool, source, target, source_format, target_format, options):
    if tool == "cella-img":
        words = [str(engines.ROOT / "build" / "cella"), "image", "convert"]
        options = tuple("--compress" if word == "-c" else word for word in options)
    else:
        words = ["qemu-img", "convert"]
    return [*words, *options, "-f", source_format, "-O", target_format, str(source), str(target)]


def convert(tool, sources, threads, source_format, target_format, options):
    """(seconds by the clock, seconds of processors) of one conversion on so many processors."""
    target = engines.BUILD / "disks" / f"converted.{target_format}"
    target.unlink(missing_ok=True)
    command = engines.pinned(convert_command(tool, sources[source_format], target, source_format, target_format, options),
                             engines.cores(threads))
    os.sync()
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    passed = time.monotonic() - start
    process.returncode = status
    if status:
        raise BenchError(f"'{shlex.join(command)}' ended with {status}:\n{output.decode(errors='replace')[-500:]}")
    return passed, usage.ru_utime + usage.ru_stime


def compare(sources, target_format):
    """What was converted last is what it was made of."""
    target = engines.BUILD / "disks" / f"converted.{target_format}"
    done = subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", target_format, sources["raw"], target],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stdout + done.stderr)


def conversions(sources, number):
    """(row's name, tool, sample) of one round; the tools take turns at being first."""
    for name, source_format, target_format, options in CONVERSIONS:
        for threads in THREADS:
            for tool in TOOLS if number % 2 else reversed(TOOLS):
                row = f"convert-{name}-{threads}"
                try:
                    # Free memory may have gone back to a host below this one: who takes it first pays for that.
                    convert(tool, sources, threads, source_format, target_format, options)
                    wall, cpu = convert(tool, sources, threads, source_format, target_format, options)
                    compare(sources, target_format)
                    yield row, tool, Sample(wall)
                    yield f"{row}-cpu", tool, Sample(cpu)
                except BenchError as error:
                    yield row, tool, Sample(error=str(error))
