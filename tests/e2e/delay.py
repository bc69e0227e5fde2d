#!/usr/bin/env python3
"""A slow wire: takes every frame from one interface to the other and back, each after the same time.

  delay.py INTERFACE INTERFACE MILLISECONDS
"""

import collections
import selectors
import socket
import sys
import time

ETH_P_ALL = 3
FRAMES_AT_ONCE = 256


def opened(interface):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    wire.bind((interface, ETH_P_ALL))
    wire.setblocking(False)
    return wire


def main():
    ends = [opened(interface) for interface in sys.argv[1:3]]
    delay_s = float(sys.argv[3]) / 1000
    selector = selectors.DefaultSelector()
    for place, end in enumerate(ends):
        selector.register(end, selectors.EVENT_READ, ends[1 - place])
    under_way = collections.deque()
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for ready, _ in selector.select(wait):
            for _ in range(FRAMES_AT_ONCE):
                try:
                    frame, origin = ready.fileobj.recvfrom(65535)
                except BlockingIOError:
                    break
                if origin[2] != socket.PACKET_OUTGOING:
                    under_way.append((time.monotonic() + delay_s, ready.data, frame))
        while under_way and under_way[0][0] <= time.monotonic():
            _, to, frame = under_way.popleft()
            try:
                to.send(frame)
            except OSError:
                pass  # the interface has gone, or its queue is full: lost


main()
