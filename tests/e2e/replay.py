#!/usr/bin/env python3
"""Sends captured frames again, as they are or with one changed bit each: what somebody on the wire can do.

  replay.py CAPTURE INTERFACE DESTINATION-MAC [--changed] [--shuffled] [--repeat N] [--pace N]

Takes the overlay's frames (UDP port 6081) to this station out of a classic pcap file and prints how many were sent.
"""
import argparse
import random
import socket
import struct
import time

HEAD = 24  # pcap's own header
GENEVE_AT = 42
PACE = 50  # frames in 2 ms: what the receive ring of a node on a shared core still takes


def frames(path, mac):
    data = open(path, "rb").read()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    at = HEAD
    while at + 16 <= len(data):
        kept = struct.unpack_from(order + "IIII", data, at)[2]
        frame = data[at + 16 : at + 16 + kept]
        at += 16 + kept
        if frame[:6] == mac and frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == b"\x17\xc1":
            yield frame


def changed(frame, rng):
    """One bit of what the authenticator or the seal covers; GENEVE's reserved bits are ignored, so they are left."""
    places = [*range(GENEVE_AT + 12, GENEVE_AT + 28), *range(GENEVE_AT + 32, len(frame))]
    at = rng.choice(places)
    return frame[:at] + bytes([frame[at] ^ 1 << rng.randrange(8)]) + frame[at + 1 :]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("capture")
    parser.add_argument("interface")
    parser.add_argument("mac")
    parser.add_argument("--changed", action="store_true")
    parser.add_argument("--shuffled", action="store_true", help="in another order each time")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--pace", type=int, default=PACE, help="frames in 2 ms; 0 for as fast as it goes")
    args = parser.parse_args()
    rng = random.Random(1)
    captured = list(frames(args.capture, bytes.fromhex(args.mac.replace(":", ""))))
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((args.interface, 0))
    sent = 0
    for _ in range(args.repeat):
        if args.shuffled:
            rng.shuffle(captured)
        for frame in captured:
            out.send(changed(frame, rng) if args.changed else frame)
            sent += 1
            if args.pace and sent % args.pace == 0:
                time.sleep(0.002)
    print(sent)


main()
