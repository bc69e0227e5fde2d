#!/usr/bin/env python3
"""Measures what a node sends to forged sources: bytes of IP out for bytes of IP in, by kind of packet.

  amplify.py INTERFACE NODE-MAC VIP OWN-ADDRESS

Sends from this station with sources out of 198.18.0.0/15 and counts what comes back to those. Prints a line for each kind:
name, bytes sent, bytes received; and last after how many kinds more had come back in all than was sent.
"""
import ipaddress
import select
import socket
import struct
import sys
import time

PORTS = [4784, 4794, 4795, 4796, 862, 6081, 7, 9, 53, 33434]
FORGED = ipaddress.ip_network("198.18.0.0/15")
PACKETS = 60


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(source, destination, protocol, ttl, payload, flags=0x4000):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, flags, ttl, protocol, 0,
                       ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(port, size):
    return struct.pack("!HHHH", 40000, port, 8 + size, 0) + bytes(size)


def tcp(source, destination, port):
    segment = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 0x50, 2, 1000, 0, 0)
    pseudo = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + struct.pack("!BBH", 0, 6, 20)
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def echo(size):
    message = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(size)
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def kinds(vip, own):
    for name, target in (("vip", vip), ("own", own)):
        for ttl in (1, 64):
            for size in (0, 12, 500):
                for port in PORTS:
                    yield f"udp/{port} {name} ttl {ttl} +{size}", lambda s, t=target, p=port, l=ttl, z=size: ipv4(s, t, 17, l, udp(p, z))
                yield f"icmp {name} ttl {ttl} +{size}", lambda s, t=target, l=ttl, z=size: ipv4(s, t, 1, l, echo(z))
                yield f"fragment {name} ttl {ttl} +{size}", lambda s, t=target, l=ttl, z=size: ipv4(s, t, 17, l, udp(9, z), 0x2000)
            for port in (22, 80, 5201):
                yield f"tcp/{port} {name} ttl {ttl}", lambda s, t=target, p=port, l=ttl: ipv4(s, t, 6, l, tcp(s, t, p))
            yield f"protocol 47 {name} ttl {ttl}", lambda s, t=target, l=ttl: ipv4(s, t, 47, l, bytes(30))


def received(sniffer, seconds):
    total, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([sniffer], [], [], 0.01)[0]:
            data = sniffer.recv(2000)
            if len(data) >= 34 and data[12:14] == b"\x08\x00" and ipaddress.ip_address(data[30:34]) in FORGED:
                total += struct.unpack("!H", data[16:18])[0]
    return total


def main():
    interface, mac, vip, own = sys.argv[1:5]
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    out.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)
    out.bind((interface, 3))
    head = bytes.fromhex(mac.replace(":", "")) + out.getsockname()[4] + b"\x08\x00"
    worse = total_sent = total_back = 0
    for name, make in kinds(vip, own):
        sent = 0
        for number in range(PACKETS):
            packet = make(str(FORGED[number % 20 + 1]))
            out.send(head + packet)
            sent += len(packet)
        back = received(out, 0.05)
        total_sent, total_back = total_sent + sent, total_back + back
        worse += total_back > total_sent
        print(f"{name}: {sent} {back}")
    print(worse)


main()
