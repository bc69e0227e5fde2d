"""TRex stateless profile: clients' UDP packets to a virtual IP.

Tunables: size (frame on the wire, check sequence included), clients (addresses), vip, port.
Each client has 16 ports; client and port are chosen at random, so that flows never count up.
"""
import argparse

from trex.stl.api import (
    Ether,
    IP,
    STLPktBuilder,
    STLScVmRaw,
    STLStream,
    STLTXCont,
    STLVmFixChecksumHw,
    STLVmFlowVar,
    STLVmWrFlowVar,
    UDP,
    CTRexVmInsFixHwCs,
    ip2int,
)

FCS_LEN = 4
FIRST_CLIENT = "10.64.0.0"
FIRST_PORT = 1024
PORTS = 16


class Clients:
    """What TRex asks a profile for."""

    def get_streams(self, tunables, **kwargs):
        parser = argparse.ArgumentParser()
        parser.add_argument("--size", type=int, default=64)
        parser.add_argument("--clients", type=int, default=4032)
        parser.add_argument("--vip", default="203.0.113.10")
        parser.add_argument("--port", type=int, default=443)
        args = parser.parse_args(tunables)

        base = Ether() / IP(src=FIRST_CLIENT, dst=args.vip) / UDP(sport=FIRST_PORT, dport=args.port)
        padding = max(0, args.size - FCS_LEN - len(base)) * "x"
        first = ip2int(FIRST_CLIENT)
        change = STLScVmRaw([
            STLVmFlowVar("client", min_value=first, max_value=first + args.clients - 1, size=4, op="random"),
            STLVmWrFlowVar(fv_name="client", pkt_offset="IP.src"),
            STLVmFlowVar("port", min_value=FIRST_PORT, max_value=FIRST_PORT + PORTS - 1, size=2, op="random"),
            STLVmWrFlowVar(fv_name="port", pkt_offset="UDP.sport"),
            STLVmFixChecksumHw(l3_offset="IP", l4_offset="UDP", l4_type=CTRexVmInsFixHwCs.L4_TYPE_UDP),
        ])
        return [STLStream(packet=STLPktBuilder(pkt=base / padding, vm=change), mode=STLTXCont())]


def register():
    return Clients()
