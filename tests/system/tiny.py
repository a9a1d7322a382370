# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels of a few bytes, for tests that need a machine and no operating system."""
import struct

HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt
# Sends every byte that the first serial port receives back.
ECHO = bytes.fromhex("66 ba fd 03  ec  a8 01  74 f7"      # mov dx, 0x3fd; wait: in al, dx; test al, 1; jz wait
                     "66 ba f8 03  ec  ee  eb ef")        # mov dx, 0x3f8; in al, dx; out dx, al; jmp to the start
DEBUG_EXIT = bytes.fromhex("66 ba f4 00  b0 15  ee") + HALT  # mov dx, 0xf4; mov al, 0x15; out dx, al
# Sends 100000 bytes by the first serial port, the low bytes of a number that counts down to 1, and ends as above.
PRINT = bytes.fromhex("b9 a0 86 01 00"                    # mov ecx, 100000
                      "66 ba fd 03  ec  a8 20  74 fb"     # again: mov dx, 0x3fd; wait: in al, dx; test al, 32; jz wait
                      "66 ba f8 03  88 c8  ee"            # mov dx, 0x3f8; mov al, cl; out dx, al
                      "ff c9  75 ec") + DEBUG_EXIT        # dec ecx; jnz again
TRIPLE_FAULT = bytes.fromhex("0f 01 1d 02 00 00 00  0f 0b") + bytes(10)  # lidt of an empty table; ud2
LOAD_ADDRESS = 0x100000


def tiny_kernel(path, code=HALT):
    """Writes a 64-bit ELF file whose only segment is `code`, which is entered in long mode."""
    header_size, segment_size = 64, 56
    offset = header_size + segment_size
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, LOAD_ADDRESS + offset, header_size, 0, 0,
                         header_size, segment_size, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 0, LOAD_ADDRESS, LOAD_ADDRESS, offset + len(code), offset + len(code), 0x1000)
    path.write_bytes(header + segment + code)
    return path
