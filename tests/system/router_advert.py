# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends router advertisements of a guest that would like to be one: router_advert.py INTERFACE MAC"""
import socket
import struct
import sys
import time

link, mac = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", ""))
local = bytes.fromhex("fe80") + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
all_nodes = bytes.fromhex("ff02") + bytes(13) + b"\x01"
advert = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\x01\x01" + mac


def checksum(body):
    data = local + all_nodes + struct.pack("!II", len(body), 58) + body
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


advert = advert[:2] + struct.pack("!H", checksum(advert)) + advert[4:]
frame = (bytes.fromhex("333300000001") + mac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(advert), 58, 255) + local
         + all_nodes + advert)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind((link, 0))
    while True:
        wire.send(frame)
        time.sleep(0.2)
