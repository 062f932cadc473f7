# Usage: vlan_device.py DEVICE IDENTIFIER
#
# Makes a device tag what it sends and take only what has that tag, for kernels without 8021q: two BPF
# programs at its ends (bpf(2), tcx). The tags are the kernel's own, kept beside each packet as a VLAN
# device keeps them, super-frames included.
import ctypes
import os
import socket
import struct
import sys

index, identifier = socket.if_nametoindex(sys.argv[1]), int(sys.argv[2])
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
PROG_LOAD, PROG_ATTACH, SCHED_CLS, TCX_INGRESS, TCX_EGRESS = 5, 8, 3, 46, 47
VLAN_PUSH, VLAN_POP, PASS, DROP = 18, 19, 0, 2
PRESENT, TCI = 20, 24  # in struct __sk_buff
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(SYS_BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf: " + os.strerror(ctypes.get_errno()))
    return result


def instruction(code, to=0, of=0, offset=0, value=0):
    return struct.pack("=BBhi", code, of << 4 | to, offset, value)


def attach(where, instructions):
    code = ctypes.create_string_buffer(b"".join(instructions))
    licence = ctypes.create_string_buffer(b"MIT")
    attributes = struct.pack(
        "=IIQQ", SCHED_CLS, len(instructions), ctypes.addressof(code), ctypes.addressof(licence)
    )
    program = bpf(PROG_LOAD, attributes)
    bpf(PROG_ATTACH, struct.pack("=III", index, program, where))


def leave(verdict):
    return [instruction(0xB7, to=0, value=verdict), instruction(0x95)]


push = [
    instruction(0xB7, to=2, value=socket.htons(0x8100)),
    instruction(0xB7, to=3, value=identifier),
    instruction(0x85, value=VLAN_PUSH),
]
pop = [
    instruction(0x61, to=2, of=1, offset=PRESENT),
    instruction(0x15, to=2, offset=6, value=0),  # no tag: drop
    instruction(0x61, to=2, of=1, offset=TCI),
    instruction(0x57, to=2, value=0xFFF),
    instruction(0x55, to=2, offset=3, value=identifier),  # another: drop
    instruction(0x85, value=VLAN_POP),
]
attach(TCX_EGRESS, push + leave(PASS))
attach(TCX_INGRESS, pop + leave(PASS) + leave(DROP))
