#!/usr/bin/env python3
"""A UDP sequence prober: counts what a path loses, repeats and reorders, and how long it takes.

  probe.py echo ADDRESS PORT                           answers every datagram with itself
  probe.py send ADDRESS PORT --count N --rate R [-j]   sends N numbered datagrams, R per second

Datagram: sequence u32 | time sent, nanoseconds u64 | padding, big endian.
"""

import argparse
import json
import selectors
import socket
import struct
import sys
import time

HEADER = struct.Struct("!IQ")
RECEIVE_BUFFER_BYTES = 4 << 20
SO_RCVBUFFORCE = 33  # socket(7); Python does not name it
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0  # ip(7): without "don't fragment"


def open_socket(address, fragment=False):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    if fragment:
        opened.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    return opened


def echo(arguments):
    server = open_socket(arguments.address, arguments.fragment)
    server.bind((arguments.address, arguments.port))
    while True:
        data, peer = server.recvfrom(65535)
        try:
            server.sendto(data, peer)
        except OSError:
            pass  # an ICMP error about an earlier reply; the sequence shows the loss


class Tally:
    """What has come back so far."""

    def __init__(self, count):
        self.seen = bytearray(count)
        self.received = self.duplicated = self.reordered = self.foreign = 0
        self.highest = -1
        self.last_ns = None
        self.gap_ns = 0
        self.round_trips_ns = []

    def take(self, data, now_ns):
        sequence, sent_ns = HEADER.unpack_from(data) if len(data) >= HEADER.size else (len(self.seen), 0)
        if sequence >= len(self.seen):
            self.foreign += 1
        elif self.seen[sequence]:
            self.duplicated += 1
        else:
            self.seen[sequence] = 1
            self.received += 1
            self.reordered += sequence < self.highest
            self.highest = max(self.highest, sequence)
            self.round_trips_ns.append(now_ns - sent_ns)
            self.gap_ns = max(self.gap_ns, now_ns - (self.last_ns or now_ns))
            self.last_ns = now_ns

    def report(self):
        round_trips = sorted(self.round_trips_ns)

        def percentile_us(share):
            return round_trips[min(len(round_trips) - 1, int(len(round_trips) * share))] // 1000 if round_trips else None

        sent = len(self.seen)
        lost = sent - self.received
        return {
            "sent": sent,
            "received": self.received,
            "lost": lost,
            "lost_percent": round(100 * lost / sent, 4),
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "foreign": self.foreign,
            "lost_in_a_row": max(map(len, bytes(self.seen).split(b"\x01"))),
            "gap_ms": self.gap_ns // 1_000_000,
            "rtt_us_p50": percentile_us(0.5),
            "rtt_us_p99": percentile_us(0.99),
            "rtt_us_max": percentile_us(1.0),
        }


def send(arguments):
    clients = []
    selector = selectors.DefaultSelector()
    for source in arguments.bind or [""]:
        client = open_socket(arguments.address, arguments.fragment)
        if source:
            client.bind((source, 0))
        client.connect((arguments.address, arguments.port))
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ)
        clients.append(client)
    padding = bytes(max(0, arguments.size - HEADER.size))
    tally = Tally(arguments.count)
    start = time.monotonic()
    sequence, end = 0, None

    while end is None or (time.monotonic() < end and tally.received < arguments.count):
        now = time.monotonic()
        while sequence < arguments.count and now >= start + sequence / arguments.rate:
            try:
                clients[sequence % len(clients)].send(HEADER.pack(sequence, time.monotonic_ns()) + padding)
            except (BlockingIOError, ConnectionRefusedError):
                pass  # lost before it left, or an ICMP error about an earlier one: the sequence shows it
            sequence += 1
        if sequence < arguments.count:
            wait = max(0.0, start + sequence / arguments.rate - time.monotonic())
        else:
            end = end or time.monotonic() + arguments.linger
            wait = 0.05
        for ready, _ in selector.select(wait):
            receive_all(ready.fileobj, tally)

    return tally.report()


def receive_all(client, tally):
    while True:
        try:
            data = client.recv(65535)
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            continue
        tally.take(data, time.monotonic_ns())


def main():
    parser = argparse.ArgumentParser(description="UDP sequence prober")
    parser.add_argument("mode", choices=["echo", "send"])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1000, help="datagrams per second")
    parser.add_argument("--bind", nargs="*", help="source addresses, used in turn")
    parser.add_argument("--size", type=int, default=100, help="bytes of UDP payload")
    parser.add_argument("--linger", type=float, default=1.0, help="seconds to wait for the last ones")
    parser.add_argument("--fragment", action="store_true", help="send without \"don't fragment\"")
    parser.add_argument("-j", "--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.mode == "echo":
        return echo(arguments)
    report = send(arguments)
    print(json.dumps(report) if arguments.json else "\n".join(f"{k:14} {v}" for k, v in report.items()))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
