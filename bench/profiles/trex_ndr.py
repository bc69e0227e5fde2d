#!/usr/bin/env python3
"""Searches NDR and PDR (RFC 2544 section 26.1; the non-drop and the partial-drop rate) with TRex.

Run where TRex's `trex_control_plane/interactive` is on PYTHONPATH, beside a TRex server (`t-rex-64 -i`):

    trex_ndr.py --profile trex_clients.py --tunable=--size=64 --copies 2

Sends from one port and counts on the other. A node that replicates sends `copies` frames for each.
"""
import argparse
import json

from trex.stl.api import STLClient, STLProfile


def trial(client, args, rate_percent, seconds):
    """Sends at a share of the line's rate; returns packets sent per second and the share that was lost."""
    client.clear_stats()
    client.start(ports=[args.tx], mult=f"{rate_percent}%", duration=seconds, force=True)
    client.wait_on_traffic(ports=[args.tx], rx_delay_ms=1000)
    stats = client.get_stats()
    sent = stats[args.tx]["opackets"]
    received = stats[args.rx]["ipackets"] / args.copies
    return sent / seconds, max(0.0, 1.0 - received / sent) if sent else 1.0


def search(client, args, loss_max):
    """Tries the full line first, then halves the range, then confirms for the 60 s that RFC 2544 wants."""
    low, high, rate = 0.0, 100.0, 100.0
    while high - low > args.precision:
        pps, loss = trial(client, args, rate, args.trial)
        print(f"  {rate:6.2f} % of the line: {pps / 1e6:.3f} Mpps, {loss * 100:.4f} % lost")
        if loss <= loss_max:
            low = rate
        else:
            high = rate
        rate = (low + high) / 2
    if low == 0.0:
        return None
    pps, loss = trial(client, args, low, args.confirm)
    return {"rate_percent": low, "pps": pps, "loss": loss, "confirmed": loss <= loss_max}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="127.0.0.1")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--tunable", action="append", default=[])
    parser.add_argument("--tx", type=int, default=0)
    parser.add_argument("--rx", type=int, default=1)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--trial", type=float, default=10, help="seconds")
    parser.add_argument("--confirm", type=float, default=60, help="seconds")
    parser.add_argument("--precision", type=float, default=0.5, help="percent of the line's rate")
    parser.add_argument("--pdr", type=float, default=0.001, help="share that PDR may lose; CSIT takes 0.5 %%")
    args = parser.parse_args()

    client = STLClient(server=args.server)
    client.connect()
    try:
        client.reset(ports=[args.tx, args.rx])
        profile = STLProfile.load(args.profile, direction=0, port_id=args.tx, tunables=args.tunable)
        client.add_streams(profile.get_streams(), ports=[args.tx])
        result = {}
        for name, loss_max in (("ndr", 0.0), ("pdr", args.pdr)):
            print(name.upper())
            result[name] = search(client, args, loss_max)
        print(json.dumps(result, indent=2))
    finally:
        client.disconnect()


if __name__ == "__main__":
    main()
