#!/usr/bin/env python3
"""Exchanges packets of UDP-Lite, SCTP, GRE or any IP protocol, and tells how many came back whole.

  protocols.py echo ADDRESS PROTOCOL [PORT]                    answers every packet with itself
  protocols.py send SOURCE TARGET PROTOCOL COUNT [PORT]        sends so many and prints how many came back

UDP-Lite is the kernel's, with a checksum over the header and the first 12 bytes. The others are raw: SCTP's CRC32c is made and
checked here, so a translation that changes a port shows.
"""

import socket
import struct
import sys
import time

UDPLITE, SCTP = 136, 132
UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV = 10, 11  # udplite(7)
NUMBERS = {"udplite": UDPLITE, "sctp": SCTP, "gre": 47}
GRE_HEADER = b"\x00\x00\x08\x00"
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def sctp(source, target, chunk):
    """RFC 9260 section 3.1: ports, verification tag, CRC32c with the checksum field 0."""
    head = struct.pack("!HHI", source, target, 7)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def sctp_parts(packet):
    source, target = struct.unpack("!HH", packet[:4])
    found = struct.unpack("<I", packet[8:12])[0]
    if crc32c(packet[:8] + bytes(4) + packet[12:]) != found:
        return None
    return source, target, packet[12:]


def open_socket(address, number):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if number == UDPLITE else socket.SOCK_RAW
    opened = socket.socket(family, kind, number)
    if number == UDPLITE:
        opened.setsockopt(number, UDPLITE_SEND_CSCOV, 20)
        opened.setsockopt(number, UDPLITE_RECV_CSCOV, 20)
    return opened


def payload_of(data, opened):
    if opened.type == socket.SOCK_RAW and opened.family == socket.AF_INET:
        return data[(data[0] & 15) * 4 :]
    return data


def echo(address, number, port):
    opened = open_socket(address, number)
    opened.bind((address, port if number == UDPLITE else 0))
    while True:
        data, peer = opened.recvfrom(65535)
        data = payload_of(data, opened)
        if number == SCTP:
            parts = sctp_parts(data)
            if parts is None or parts[1] != port:
                continue
            data = sctp(parts[1], parts[0], parts[2])
        opened.sendto(data, peer[:2] if number == UDPLITE else (peer[0], 0))


def send(source, target, number, count, port):
    opened = open_socket(source, number)
    opened.bind((source, 0))
    opened.settimeout(0.5)
    seen = set()
    for sequence in range(count):
        content = struct.pack("!I", sequence) * 16
        packet = {SCTP: lambda: sctp(40000, port, content), 47: lambda: GRE_HEADER + content}.get(number, lambda: content)()
        opened.sendto(packet, (target, port if number == UDPLITE else 0))
        try:
            data, peer = opened.recvfrom(65535)
        except TimeoutError:
            continue
        data = payload_of(data, opened)
        if number == SCTP:
            parts = sctp_parts(data)
            if parts is None or parts[:2] != (port, 40000):
                continue
            data = parts[2]
        expected = GRE_HEADER + content if number == 47 else content
        if data == expected and peer[0] == target:
            seen.add(sequence)
        time.sleep(0.002)
    print(len(seen))


def main():
    mode, *rest = sys.argv[1:]
    number = {"echo": 1, "send": 2}[mode]
    protocol = NUMBERS.get(rest[number]) or int(rest[number])
    port = int(rest[-1]) if protocol in (UDPLITE, SCTP) else 0
    if mode == "echo":
        echo(rest[0], protocol, port)
    else:
        send(rest[0], rest[1], protocol, int(rest[3]), port)


if __name__ == "__main__":
    main()
