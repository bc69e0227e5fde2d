-- Wireshark dissector of the Proa overlay's options in GENEVE (docs/protocol.md), version 1.
--
-- Wireshark (4.0) has no table in which a script could register for a class of GENEVE options, so this script takes
-- GENEVE's UDP port, adds its own tree, and hands every packet on to Wireshark's GENEVE dissector.
-- It names the reason for which a node would drop a malformed packet as `proactl drops show` does.

local GENEVE_PORT = 6081
local OPTION_CLASS = 0xff50
local TYPE_ROUTE, TYPE_STREAM, TYPE_ORDER, TYPE_SOURCE_ROUTE, TYPE_PARITY, TYPE_TRACE = 0x81, 0x82, 0x84, 0x85, 0x86, 0x03
local VERSION = 1
local GENEVE_LEN, OPTION_HEADER_LEN, OPTION_DATA_LEN, ORDER_DATA_LEN, PARITY_DATA_LEN = 8, 4, 16, 8, 12
local TRACE_HEAD_LEN, RECORD_LEN = 12, 16

local proa = Proto("proa", "Proa overlay")

local inner_types = { [0x0800] = "IPv4", [0x86dd] = "IPv6" }
local protocols = { [1] = "shortest", [2] = "replicate", [3] = "cleanest", [4] = "spread", [5] = "parity", [6] = "adaptive", [7] = "source-route", [8] = "direct" }
local with_path = { [2] = true, [4] = true, [5] = true, [6] = true }
local HOPS_MAX = 8

local f = {
    vni = ProtoField.uint24("proa.overlay", "Overlay", base.DEC),
    inner = ProtoField.uint16("proa.inner", "Inner packet", base.HEX, inner_types),
    probe = ProtoField.bool("proa.probe", "Probe of its path", 8, nil, 0x80),
    route = ProtoField.none("proa.route", "Route"),
    version = ProtoField.uint8("proa.version", "Version", base.DEC, nil, 0xf0),
    copies = ProtoField.uint8("proa.copies", "Copies", base.DEC, nil, 0x0f),
    protocol = ProtoField.uint8("proa.protocol", "Routing protocol", base.DEC, protocols),
    hop_limit = ProtoField.uint8("proa.hop_limit", "Hop limit", base.DEC),
    source = ProtoField.uint16("proa.source", "Source node", base.DEC),
    destination = ProtoField.uint16("proa.destination", "Destination node", base.DEC),
    authenticator = ProtoField.uint64("proa.authenticator", "Hop authenticator", base.HEX),
    stream = ProtoField.none("proa.stream", "Stream"),
    worker = ProtoField.uint8("proa.worker", "Sending worker", base.DEC),
    bucket = ProtoField.uint8("proa.bucket", "Bucket", base.DEC),
    path = ProtoField.uint16("proa.path", "Path", base.DEC),
    epoch = ProtoField.uint8("proa.epoch", "Key epoch", base.DEC),
    path_sequence = ProtoField.uint24("proa.path_sequence", "Path sequence", base.DEC),
    sequence = ProtoField.uint64("proa.sequence", "Sequence", base.DEC),
    order = ProtoField.none("proa.order", "Order"),
    flow = ProtoField.uint32("proa.flow", "Flow", base.HEX),
    back = ProtoField.uint32("proa.back", "Numbers back to the flow's packet before", base.DEC),
    parity = ProtoField.none("proa.parity", "Parity"),
    parity_index = ProtoField.uint8("proa.parity.index", "Number in its group", base.DEC),
    parity_count = ProtoField.uint8("proa.parity.count", "Parity packets of the group", base.DEC),
    members = ProtoField.uint64("proa.parity.members", "Packets that it covers, by bit", base.HEX),
    source_route = ProtoField.none("proa.source_route", "Source route"),
    hops = ProtoField.uint8("proa.hops", "Hops", base.DEC),
    passed = ProtoField.uint8("proa.passed", "Passed", base.DEC),
    hop = ProtoField.uint16("proa.hop", "Hop", base.DEC),
    trace = ProtoField.none("proa.trace", "Trace"),
    trace_overflow = ProtoField.bool("proa.trace.overflow", "A hop found no free record", 8, nil, 0x08),
    trace_filled = ProtoField.uint8("proa.trace.filled", "Records filled", base.DEC),
    trace_sent = ProtoField.uint64("proa.trace.sent", "Time at the sender, ns since 1970", base.DEC),
    record = ProtoField.none("proa.record", "Hop"),
    record_hop_limit = ProtoField.uint8("proa.record.hop_limit", "Hop limit", base.DEC),
    record_queue = ProtoField.uint8("proa.record.queue", "Queue depth", base.DEC),
    record_node = ProtoField.uint16("proa.record.node", "Node", base.DEC),
    record_ingress = ProtoField.uint16("proa.record.ingress", "Came from node", base.DEC),
    record_egress = ProtoField.uint16("proa.record.egress", "Went to node", base.DEC),
    record_time = ProtoField.uint32("proa.record.time", "Time, µs since 1970, low 32 bits", base.DEC),
    record_transit = ProtoField.uint32("proa.record.transit", "Transit delay, ns", base.DEC),
    copy_of = ProtoField.framenum("proa.copy_of", "Same packet first seen in frame", base.NONE, frametype.DUP_ACK),
    drop = ProtoField.string("proa.drop", "Dropped for"),
}
proa.fields = f

local malformed = ProtoExpert.new("proa.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
local refused = ProtoExpert.new("proa.refused", "Refused by every node", expert.group.PROTOCOL, expert.severity.WARN)
local last_hop = ProtoExpert.new("proa.last_hop", "Hop limit 0: no intermediate forwards this", expert.group.SEQUENCE, expert.severity.NOTE)
local ignored = ProtoExpert.new("proa.trace.ignored", "A trace that contradicts itself: ignored", expert.group.PROTOCOL, expert.severity.NOTE)
proa.experts = { malformed, refused, last_hop, ignored }

proa.prefs.all = Pref.bool("All of GENEVE is Proa's", false,
    "Report GENEVE packets without Proa's options as malformed, rather than leave them alone")
proa.prefs.copies = Pref.bool("Find copies", true,
    "Remember every packet's sequence, to say in which frame it was seen first")

local geneve = DissectorTable.get("udp.port"):get_dissector(GENEVE_PORT)

-- Where each packet was seen first, by overlay, nodes, stream and sequence.
local first_frames = {}

function proa.init()
    first_frames = {}
end

-- What is wrong with a packet: the drop's reason, and for people what exactly.
local function fault(reason, text, expert_info)
    return { reason = reason, text = text, expert_info = expert_info or malformed }
end

-- Finds the two options. Returns a table with tvb ranges `route`, `stream`, a flag `ours`, and perhaps a `fault`.
local function find_options(tvb, at, stop)
    local found = { ours = false }
    local function note(text, at_byte)
        found.fault = found.fault or fault("overlay_option", text)
    end
    while stop - at >= OPTION_HEADER_LEN do
        local class, kind = tvb(at, 2):uint(), tvb(at + 2, 1):uint()
        local length = bit.band(tvb(at + 3, 1):uint(), 0x1f) * 4
        local data_at = at + OPTION_HEADER_LEN
        if data_at + length > stop then
            note("an option runs beyond the end of the options")
            found.ours = found.ours or class == OPTION_CLASS
            break
        end
        local name = class == OPTION_CLASS and (kind == TYPE_ROUTE and "route" or kind == TYPE_STREAM and "stream")
        if class == OPTION_CLASS then
            found.ours = true
        end
        if name then
            if name == "route" and length > 0 and not found.version then
                found.version = bit.rshift(tvb(data_at, 1):uint(), 4)
            end
            if found[name] then
                note("the " .. name .. " option is there twice")
            elseif length ~= OPTION_DATA_LEN then
                note("the " .. name .. " option has " .. length .. " bytes, not " .. OPTION_DATA_LEN)
            else
                found[name] = tvb(data_at, length)
            end
        elseif class == OPTION_CLASS and kind == TYPE_ORDER then
            if found.order then
                note("the order option is there twice")
            elseif length ~= ORDER_DATA_LEN then
                note("the order option has " .. length .. " bytes, not " .. ORDER_DATA_LEN)
            end
            found.order = tvb(data_at, length)
        elseif class == OPTION_CLASS and kind == TYPE_PARITY then
            if found.parity then
                note("the parity option is there twice")
            elseif length ~= PARITY_DATA_LEN then
                note("the parity option has " .. length .. " bytes, not " .. PARITY_DATA_LEN)
            end
            found.parity = tvb(data_at, length)
        elseif class == OPTION_CLASS and kind == TYPE_SOURCE_ROUTE then
            local count = length > 0 and tvb(data_at, 1):uint() or 0
            if found.source_route then
                note("the source route option is there twice")
            elseif count < 1 or count > HOPS_MAX or length ~= 4 + 4 * math.ceil(count / 2) then
                note("the source route option has " .. length .. " bytes for " .. count .. " hops")
            end
            found.source_route = tvb(data_at, length)
        elseif class == OPTION_CLASS and kind == TYPE_TRACE then
            found.trace = found.trace or { at = data_at, length = length }
        elseif bit.band(kind, 0x80) ~= 0 then
            note(string.format("option 0x%02x of class 0x%04x is critical and unknown", kind, class))
        end
        at = data_at + length
    end
    if not found.route then
        note("no usable route option")
    elseif not found.stream then
        note("no usable stream option")
    end
    return found
end

-- Says what is wrong with a packet as a whole, in the order in which a node looks. nil: nothing.
local function judge(tvb, found)
    local flags = tvb(1, 1):uint()
    if bit.band(flags, 0x40) == 0 then
        return fault("overlay_option", "GENEVE's C bit says that no option is critical")
    elseif found.version and found.version ~= VERSION then
        return fault("overlay_version", "version " .. found.version, refused)
    elseif found.fault then
        return found.fault
    elseif not inner_types[tvb(2, 2):uint()] then
        return fault("overlay_inner", "the inner packet is neither IPv4 nor IPv6", refused)
    end
    local route, stream = found.route, found.stream
    local protocol = route(1, 1):uint()
    if not protocols[protocol] then
        return fault("overlay_protocol", "unknown routing protocol " .. protocol, refused)
    elseif route(4, 2):uint() == 0 or route(6, 2):uint() == 0 then
        return fault("overlay_unknown_node", "node 0", refused)
    elseif (stream(2, 2):uint() ~= 0) ~= (with_path[protocol] or false) then
        return fault("overlay_unknown_path", "path " .. stream(2, 2):uint() .. " of protocol " .. protocols[protocol], refused)
    elseif (found.source_route ~= nil) ~= (protocol == 7) then
        return fault("overlay_option", "a source route is there, or is missing, by protocol " .. protocols[protocol])
    elseif protocol == 4 and not found.order then
        return fault("overlay_option", "spread over paths, but without a place in its flow")
    elseif found.parity and (protocol ~= 5 or found.order) then
        return fault("overlay_option", "a parity option by protocol " .. protocols[protocol] .. ", or with a place in a flow")
    elseif stream(4, 1):uint() ~= 0 or route(8, 8):uint64() ~= UInt64(0) then
        return fault("overlay_unexpected_key", "authenticated or sealed, but no link has a key", refused)
    end
end

local function show_fault(tree, wrong)
    tree:add(f.drop, wrong.reason):set_generated()
    tree:add_proto_expert_info(wrong.expert_info, wrong.text)
    tree:append_text(", dropped: " .. wrong.reason)
end

local function show_route(tree, route)
    local branch = tree:add(f.route, route)
    branch:append_text(": node " .. route(4, 2):uint() .. " to node " .. route(6, 2):uint())
    branch:add(f.version, route(0, 1))
    branch:add(f.copies, route(0, 1))
    branch:add(f.protocol, route(1, 1))
    local hop_limit = branch:add(f.hop_limit, route(2, 1))
    if route(2, 1):uint() == 0 then
        hop_limit:add_proto_expert_info(last_hop)
    end
    branch:add(f.source, route(4, 2))
    branch:add(f.destination, route(6, 2))
    branch:add(f.authenticator, route(8, 8))
end

local function show_stream(tree, stream)
    local branch = tree:add(f.stream, stream)
    branch:append_text(": worker " .. stream(0, 1):uint() .. ", bucket " .. stream(1, 1):uint())
    branch:add(f.worker, stream(0, 1))
    branch:add(f.bucket, stream(1, 1))
    branch:add(f.path, stream(2, 2))
    branch:add(f.epoch, stream(4, 1))
    branch:add(f.path_sequence, stream(5, 3))
    branch:add(f.sequence, stream(8, 8))
end

local function show_order(tree, order)
    local branch = tree:add(f.order, order)
    branch:add(f.flow, order(0, 4))
    branch:add(f.back, order(4, 4))
end

local function show_parity(tree, parity)
    local branch = tree:add(f.parity, parity)
    branch:append_text(": " .. parity(0, 1):uint() + 1 .. " of " .. parity(1, 1):uint())
    branch:add(f.parity_index, parity(0, 1))
    branch:add(f.parity_count, parity(1, 1))
    branch:add(f.members, parity(4, 8))
end

local function show_source_route(tree, route)
    local branch = tree:add(f.source_route, route)
    local count = math.min(route(0, 1):uint(), math.floor((route:len() - 4) / 2))
    branch:add(f.hops, route(0, 1))
    branch:add(f.passed, route(1, 1))
    for place = 0, count - 1 do
        branch:add(f.hop, route(4 + 2 * place, 2))
    end
end

local function show_trace(tree, tvb, place)
    local branch = tree:add(f.trace, tvb(place.at - OPTION_HEADER_LEN, place.length + OPTION_HEADER_LEN))
    local room = (place.length - TRACE_HEAD_LEN) / RECORD_LEN
    local filled = place.length >= TRACE_HEAD_LEN and tvb(place.at + 1, 1):uint()
    if not filled or bit.rshift(tvb(place.at, 1):uint(), 4) ~= VERSION or room % 1 ~= 0 or filled > room then
        branch:add_proto_expert_info(ignored)
        return
    end
    branch:append_text(": " .. filled .. " of " .. room .. " records")
    branch:add(f.trace_overflow, tvb(place.at, 1))
    branch:add(f.trace_filled, tvb(place.at + 1, 1))
    branch:add(f.trace_sent, tvb(place.at + 4, 8))
    for number = 1, filled do
        local record = tvb(place.at + TRACE_HEAD_LEN + (number - 1) * RECORD_LEN, RECORD_LEN)
        local hop = branch:add(f.record, record)
        hop:append_text(" " .. number .. ": node " .. record(2, 2):uint() .. ", " .. record(12, 4):uint() .. " ns")
        hop:add(f.record_hop_limit, record(0, 1))
        hop:add(f.record_queue, record(1, 1))
        hop:add(f.record_node, record(2, 2))
        hop:add(f.record_ingress, record(4, 2))
        hop:add(f.record_egress, record(6, 2))
        hop:add(f.record_time, record(8, 4))
        hop:add(f.record_transit, record(12, 4))
    end
end

-- Says in which frame the same packet, over whatever path and hop, was seen first.
local function show_copy(tree, pinfo, tvb, route, stream)
    local key = tvb(4, 3):raw() .. route(4, 4):raw() .. stream(0, 2):raw() .. stream(8, 8):raw()
    local first = first_frames[key]
    if not first then
        first_frames[key] = pinfo.number
    elseif first < pinfo.number then
        tree:add(f.copy_of, first):set_generated()
        tree:append_text(", copy of frame " .. first)
    end
end

-- Adds Proa's tree where the packet is Proa's.
local function show(tvb, pinfo, tree)
    local length = tvb:len()
    local found, wrong
    local options_end = length >= GENEVE_LEN and GENEVE_LEN + bit.band(tvb(0, 1):uint(), 0x3f) * 4
    if not options_end then
        wrong = fault("overlay_truncated", "shorter than GENEVE's header")
    elseif bit.rshift(tvb(0, 1):uint(), 6) ~= 0 then
        wrong = fault("overlay_version", "GENEVE version " .. bit.rshift(tvb(0, 1):uint(), 6), refused)
    else
        found = find_options(tvb, GENEVE_LEN, math.min(options_end, length))
        if options_end > length then
            wrong = fault("overlay_truncated", "shorter than the options that it announces")
        else
            wrong = judge(tvb, found)
        end
    end
    if not proa.prefs.all and not (found and found.ours) then
        return nil
    end

    local branch = tree:add(proa, tvb(0, math.min(options_end or length, length)))
    if options_end then
        branch:add(f.inner, tvb(2, 2))
        branch:add(f.vni, tvb(4, 3))
    end
    local route, stream = found and found.route, found and found.stream
    if route then
        show_route(branch, route)
    end
    if stream then
        show_stream(branch, stream)
    end
    if found and found.order and found.order:len() == ORDER_DATA_LEN then
        show_order(branch, found.order)
    end
    if found and found.parity and found.parity:len() == PARITY_DATA_LEN then
        show_parity(branch, found.parity)
    end
    if found and found.source_route and found.source_route:len() >= 4 then
        show_source_route(branch, found.source_route)
    end
    if found and found.trace then
        show_trace(branch, tvb, found.trace)
    end
    if wrong then
        show_fault(branch, wrong)
        return "dropped: " .. wrong.reason
    end
    local summary = "path " .. stream(2, 2):uint() .. ", sequence " .. tostring(stream(8, 8):uint64())
    branch:append_text(", " .. summary)
    if bit.band(tvb(1, 1):uint(), 0x80) ~= 0 then
        branch:add(f.probe, tvb(1, 1))
        summary = "probe of " .. summary
    elseif found.parity then
        summary = "parity of " .. summary .. " on"
    elseif proa.prefs.copies then
        show_copy(branch, pinfo, tvb, route, stream)
    end
    return summary, found.parity ~= nil
end

function proa.dissector(tvb, pinfo, tree)
    local summary, is_parity = show(tvb, pinfo, tree)
    -- What a parity packet holds is no packet, whatever GENEVE's header says of it.
    local consumed = not is_parity and geneve and geneve:call(tvb, pinfo, tree) or tvb:len()
    if summary then
        pinfo.cols.info:append(" [Proa " .. summary .. "]")
    end
    return consumed
end

DissectorTable.get("udp.port"):add(GENEVE_PORT, proa)
