-- Pktgen-DPDK: clients' UDP packets to a virtual IP, and a search for the rate without loss (RFC 2544 section 26.1).
--
--   pktgen -l 0-2 -n 4 -a PORT_A -a PORT_B -- -P -m "[1].0,[2].1" -f bench/profiles/pktgen_clients.lua
--
-- Port 0 sends to the node's port, port 1 counts what the node sends on. Pktgen's ranges count up; for flows in
-- random order use the TRex profile.
package.path = package.path .. ";?.lua;test/?.lua;app/?.lua"
require "Pktgen"

local vip, service_port = "203.0.113.10", 443
local node_mac = "0200:0000:0001" -- the Ethernet address of the node's port
local copies = 1                  -- frames that the node sends for each
local sizes = { 64, 512, 1400 }
local trial_ms, confirm_ms, settle_ms = 10000, 60000, 1000
local precision = 0.5             -- percent of the line's rate

local function range(set, start, min, max, step)
    set("0", "start", start)
    set("0", "min", min)
    set("0", "max", max)
    set("0", "inc", step)
end

local function set_up(size)
    pktgen.range.dst_mac("0", "start", node_mac)
    range(pktgen.range.dst_ip, vip, vip, vip, "0.0.0.0")
    range(pktgen.range.src_ip, "10.64.0.0", "10.64.0.0", "10.64.15.191", "0.0.0.1")
    range(pktgen.range.src_port, 1024, 1024, 1039, 1)
    range(pktgen.range.dst_port, service_port, service_port, service_port, 0)
    range(pktgen.range.pkt_size, size, size, size, 0)
    pktgen.range.ip_proto("0", "udp")
    pktgen.set("0", "count", 0)
    pktgen.set_range("0", "on")
end

-- Sends for a while; returns packets sent per second and packets lost.
local function trial(rate, ms)
    pktgen.clr()
    pktgen.set("0", "rate", rate)
    pktgen.start("0")
    pktgen.delay(ms)
    pktgen.stop("0")
    pktgen.delay(settle_ms)
    local sent = pktgen.portStats("0", "port")[0].opackets
    local received = pktgen.portStats("1", "port")[1].ipackets / copies
    print(string.format("  %6.2f %% of the line: %d sent, %d lost", rate, sent, sent - received))
    return sent * 1000 / ms, sent - received
end

for _, size in ipairs(sizes) do
    print(string.format("frames of %d bytes", size))
    set_up(size)
    local low, high, rate = 0, 100, 100
    while high - low > precision do
        local _, lost = trial(rate, trial_ms)
        if lost <= 0 then low = rate else high = rate end
        rate = (low + high) / 2
    end
    local pps, lost = trial(low, confirm_ms)
    print(string.format("frames of %d bytes: %.3f Mpps, %s", size, pps / 1e6, lost <= 0 and "confirmed" or "not confirmed"))
end
