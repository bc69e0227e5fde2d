#!/usr/bin/env python3
"""Forges overlay frames (docs/protocol.md) and sends them raw, to show what a node makes of them.

  forge.py list                                         the names of the cases
  forge.py send CASE --interface I --mac M --count N    N frames of one case
  forge.py noise --interface I --mac M --count N --seed S
                                                        N frames with random bytes changed, cut or added

Every case is one change to a frame that would be forwarded, and is named after the drop reason it must meet.
The frame pretends to come from the intermediate mid-1 to the gateway: path 1, source node edge.
"""

import argparse
import ipaddress
import itertools
import random
import socket
import struct
import sys
import time

GENEVE_PORT = 6081
OPTION_CLASS, ROUTE, STREAM = 0xFF50, 0x81, 0x82
EDGE, GATEWAY, REPLICATE = 1, 2, 2
SEQUENCES = itertools.count(int(time.time() * 1000))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(source, destination, protocol, payload, *, version=4, words=5, length=None, fragment=0x4000, spoil=0):
    header = struct.pack(
        "!BBHHHBBH4s4s", version << 4 | words, 0, 20 + len(payload) if length is None else length, 1, fragment, 64,
        protocol, 0, ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed)
    return header[:10] + struct.pack("!H", checksum(header) ^ spoil) + header[12:] + payload


def udp(source_port, destination_port, payload, length=None):
    length = 8 + len(payload) if length is None else length
    return struct.pack("!HHHH", source_port, destination_port, length, 0) + payload


def option(kind, data, option_class=OPTION_CLASS):
    return struct.pack("!HBB", option_class, kind, len(data) // 4) + data


def route(*, version=1, protocol=REPLICATE, hop_limit=7, source=EDGE, destination=GATEWAY, authenticator=0):
    return option(ROUTE, struct.pack("!BBBBHHQ", version << 4, protocol, hop_limit, 0, source, destination, authenticator))


def stream(*, worker=0, bucket=15, path=1, epoch=0, sequence=None):
    """A copy of an earlier packet would be eliminated before it is looked into, so each has its own sequence: one
    that lies far behind those of a stream in use, since nothing authenticates a link without a key."""
    sequence = next(SEQUENCES) if sequence is None else sequence
    return option(STREAM, struct.pack("!BBHB3xQ", worker, bucket, path, epoch, sequence))


def geneve(options, inner, *, version=0, words=None, overlay_id=1, protocol=0x0800):
    words = len(options) // 4 if words is None else words
    return struct.pack("!BBHI", version << 6 | words, 0x40, protocol, overlay_id << 8) + options + inner


INNER = ipv4("198.51.100.77", "203.0.113.10", 17, udp(4000, 7, b"forged"))


class Lab:
    """The addresses of lab_config.sh."""

    edge, gateway, mid = "192.0.2.1", "192.0.2.2", "192.0.2.11"


def outer(overlay, source=Lab.mid, destination=Lab.gateway, **changes):
    return ipv4(source, destination, 17, udp(50000, GENEVE_PORT, overlay), **changes)


def overlay(options=None, inner=INNER, **changes):
    return geneve(route() + stream() if options is None else options, inner, **changes)


LINK_STATE_PORT, MID, STRANGER = 4796, 11, 999


def link_state(origin=STRANGER, *, body=bytes(4), claimed=None, age_ms=0, sequence=None, sender=MID):
    """A message about link state with one record, without a signature: of a node that is none, unless told otherwise."""
    sequence = int(time.time() * 1000) if sequence is None else sequence
    claimed = len(body) if claimed is None else claimed
    record = struct.pack("!BBHIHHQ", 1, 0, claimed, 1, origin, 0, sequence) + body
    item = struct.pack("!BBHI", 1, 0, 4 + len(record), age_ms) + record
    message = struct.pack("!BBHI", 1, 0, sender, 1) + item
    return ipv4(Lab.mid, Lab.gateway, 17, udp(LINK_STATE_PORT, LINK_STATE_PORT, message))


# Case -> (EtherType, the packet behind it), made anew for each frame. A suffix after "+" tells cases of one reason
# apart. All are for the gateway, but for the hop limit, which only an intermediate looks at.
CASES = {
    "ethernet_type": lambda: (0x88B5, outer(overlay())),
    "vlan": lambda: (0x8100, struct.pack("!HH", 77, 0x0800) + outer(overlay())),
    "ip_truncated": lambda: (0x0800, outer(overlay())[:12]),
    "ip_truncated+length": lambda: (0x0800, outer(overlay(), length=1400)),
    "ip_malformed+version": lambda: (0x0800, outer(overlay(), version=5)),
    "ip_malformed+words": lambda: (0x0800, outer(overlay(), words=3)),
    "ip_malformed+length": lambda: (0x0800, outer(overlay(), length=10)),
    "ip_checksum": lambda: (0x0800, outer(overlay(), spoil=0x0101)),
    "transport_truncated": lambda: (0x0800, ipv4(Lab.mid, Lab.gateway, 17, b"\xc3\x50\x17")),
    "transport_malformed": lambda: (0x0800, ipv4(Lab.mid, Lab.gateway, 17, udp(50000, GENEVE_PORT, overlay(), length=5))),
    "overlay_truncated": lambda: (0x0800, outer(overlay(options=route(), inner=b"", words=50))),
    "overlay_truncated+short": lambda: (0x0800, outer(b"\x0a\x40\x08")),
    "overlay_version+geneve": lambda: (0x0800, outer(overlay(version=1))),
    "overlay_version+route": lambda: (0x0800, outer(overlay(route(version=2) + stream()))),
    "overlay_option+class": lambda: (0x0800, outer(overlay(route() + option(STREAM, bytes(16), 0x0102)))),
    "overlay_option+critical": lambda: (0x0800, outer(overlay(route() + stream() + option(0xA5, b"1234")))),
    "overlay_option+missing": lambda: (0x0800, outer(overlay(route()))),
    "overlay_option+twice": lambda: (0x0800, outer(overlay(route() + stream() + stream()))),
    "overlay_option+length": lambda: (0x0800, outer(overlay(route() + option(STREAM, bytes(12))))),
    "overlay_protocol": lambda: (0x0800, outer(overlay(route(protocol=9) + stream()))),
    "overlay_hop_limit": lambda: (0x0800, outer(overlay(route(hop_limit=0) + stream()), Lab.edge, Lab.mid)),
    "overlay_not_member": lambda: (0x0800, outer(overlay(), source="192.0.2.99")),
    "overlay_unknown_node": lambda: (0x0800, outer(overlay(route(source=999) + stream()))),
    "overlay_unknown_path": lambda: (0x0800, outer(overlay(route() + stream(path=77)))),
    "overlay_wrong_hop": lambda: (0x0800, outer(overlay(), source=Lab.edge)),
    "overlay_unknown_stream+worker": lambda: (0x0800, outer(overlay(route() + stream(worker=200)))),
    "overlay_unknown_stream+bucket": lambda: (0x0800, outer(overlay(route() + stream(bucket=200)))),
    "overlay_unexpected_key+hop": lambda: (0x0800, outer(overlay(route(authenticator=7) + stream()))),
    "overlay_unexpected_key+epoch": lambda: (0x0800, outer(overlay(route() + stream(epoch=1)))),
    "overlay_inner+version": lambda: (0x0800, outer(overlay(protocol=0x86DD))),
    "overlay_inner+length": lambda: (0x0800, outer(overlay(inner=INNER[:25]))),
    "overlay_inner+none": lambda: (0x0800, outer(overlay(inner=b""))),
    "link_state+origin": lambda: (0x0800, link_state()),
    "link_state+length": lambda: (0x0800, link_state(MID, claimed=900)),
    "link_state+count": lambda: (0x0800, link_state(MID, body=b"\x00\x01\x03\xe7")),
    "link_state+ancient": lambda: (0x0800, link_state(EDGE, sequence=int(time.time() * 1000) + 9, age_ms=1 << 30)),
    "link_state+sender": lambda: (0x0800, link_state(sender=EDGE)),
}


def ethernet(mac, ether_type, packet):
    return bytes.fromhex(mac.replace(":", "")) + b"\x02\x00\x00\x00\x00\x63" + struct.pack("!H", ether_type) + packet


def noise(mac, count, seed):
    """Changed frames, but for the sequence: a forgery that passes every check shall not move a stream's window."""
    dice = random.Random(seed)
    sequence_bytes = 14 + 20 + 8 + 48 - 8
    for _ in range(count):
        frame = bytearray(ethernet(mac, 0x0800, outer(overlay())))
        for _ in range(dice.randint(1, 8)):
            at = dice.randrange(14, len(frame))
            if not sequence_bytes <= at < sequence_bytes + 8:
                frame[at] = dice.randrange(256)
        action = dice.randrange(4)
        if action == 0:
            del frame[dice.randrange(14, len(frame)):]
        elif action == 1:
            frame += dice.randbytes(dice.randrange(1, 1300))
        yield bytes(frame)


def main():
    parser = argparse.ArgumentParser(description="forges overlay frames")
    parser.add_argument("mode", choices=["list", "send", "noise"])
    parser.add_argument("case", nargs="?", choices=CASES)
    parser.add_argument("--interface")
    parser.add_argument("--mac", help="of the node that shall take the frames")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--rate", type=float, default=2000, help="frames per second")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.mode == "list":
        print("\n".join(CASES))
        return 0
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((arguments.interface, 0))
    if arguments.mode == "send":
        frames = (ethernet(arguments.mac, *CASES[arguments.case]()) for _ in range(arguments.count))
    else:
        frames = noise(arguments.mac, arguments.count, arguments.seed)
    for frame in frames:
        wire.send(frame)
        time.sleep(1 / arguments.rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
