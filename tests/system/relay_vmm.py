#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stands in for `cella-vmm`: what it gets of a network leads to a network namespace in the place of a guest.

The namespace is called WORLD-NAME, WORLD from the environment and NAME the machine's; the card is eth0 there. So a test
can send any frame from it, at once and without a kernel to boot.
"""
import ctypes
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys

TUNSETIFF, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
CLONE_NEWNET = 0x40000000
FRAME_MAX = 70000


def enter(namespace):
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), namespace)
    os.close(fd)


def card(name, mac):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 12))
    subprocess.run(["ip", "link", "set", name, "address", mac, "up"], check=True)
    return fd


def main():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with open(int(sys.argv[sys.argv.index("--config-fd") + 1]), "rb") as file:
        file.seek(0)
        config = json.load(file)
    enter(f"{os.environ['WORLD']}-{config['name']}")
    ways = {}
    for index, net in enumerate(net for net in config["nets"] if net["kind"] == "tap"):
        tap = net["fds"][0]
        fcntl.ioctl(tap, TUNSETVNETHDRSZ, struct.pack("i", 12))
        end = card(f"eth{index}", net["mac"])
        ways[tap], ways[end] = end, tap
    while True:
        for fd in select.select(list(ways), [], [])[0]:
            try:
                os.write(ways[fd], os.read(fd, FRAME_MAX))
            except OSError:
                continue


main()
