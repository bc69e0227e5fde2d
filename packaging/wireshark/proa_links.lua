-- Wireshark dissector of Proa's messages about link state (docs/protocol.md): UDP port 4796, version 1.

local PORT = 4796
local VERSION, HEADER_LEN, ITEM_LEN, PREFILTER_LEN = 1, 8, 4, 8
local RECORD, ACKNOWLEDGEMENT, SUMMARY = 1, 2, 3
local KEY_LEN, ENTRY_LEN, RECORD_LEN, SIGNATURE_LEN, LINK_LEN = 5, 13, 20, 64, 12

local links = Proto("proa_links", "Proa link state")

local types = { [RECORD] = "record", [ACKNOWLEDGEMENT] = "acknowledgement", [SUMMARY] = "summary" }
local kinds = { [1] = "links", [2] = "plan" }

local f = {
    version = ProtoField.uint8("proa_links.version", "Version", base.DEC),
    sender = ProtoField.uint16("proa_links.sender", "Sender", base.DEC),
    overlay = ProtoField.uint32("proa_links.overlay", "Overlay", base.DEC),
    item = ProtoField.uint8("proa_links.item", "Item", base.DEC, types),
    age = ProtoField.uint32("proa_links.age", "Age in ms", base.DEC),
    kind = ProtoField.uint8("proa_links.kind", "Kind", base.DEC, kinds),
    signed = ProtoField.bool("proa_links.signed", "Signed"),
    origin = ProtoField.uint16("proa_links.origin", "Origin", base.DEC),
    index = ProtoField.uint16("proa_links.index", "Index", base.DEC),
    sequence = ProtoField.uint64("proa_links.sequence", "Sequence", base.DEC),
    signature = ProtoField.bytes("proa_links.signature", "Signature"),
    pieces = ProtoField.uint16("proa_links.pieces", "Pieces", base.DEC),
    neighbor = ProtoField.uint16("proa_links.neighbour", "Neighbour", base.DEC),
    up = ProtoField.bool("proa_links.up", "Used", 8, nil, 0x01),
    v6 = ProtoField.bool("proa_links.ipv6", "IPv6", 8, nil, 0x02),
    measured = ProtoField.bool("proa_links.measured", "Measured", 8, nil, 0x04),
    latency = ProtoField.uint32("proa_links.latency", "Latency in µs", base.DEC),
    loss = ProtoField.uint32("proa_links.loss", "Loss in ppm", base.DEC),
    fingerprint = ProtoField.uint64("proa_links.fingerprint", "Fingerprint of the regions", base.HEX),
    edge = ProtoField.uint16("proa_links.edge", "Edge region", base.DEC),
    gateway = ProtoField.uint16("proa_links.gateway", "Gateway region", base.DEC),
    path = ProtoField.uint16("proa_links.path", "Path", base.DEC),
    via = ProtoField.uint16("proa_links.via", "Region", base.DEC),
    prefilter = ProtoField.uint64("proa_links.prefilter", "Prefilter", base.HEX),
}
links.fields = f

local malformed = ProtoExpert.new("proa_links.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
links.experts = { malformed }

local function show_entry(tree, range)
    local branch = tree:add(links, range, "Node " .. range(0, 2):uint() .. ", " .. tostring(range(5, 8):uint64()))
    branch:add(f.origin, range(0, 2))
    branch:add(f.kind, range(2, 1))
    branch:add(f.index, range(3, 2))
    branch:add(f.sequence, range(5, 8))
end

local function show_links(tree, body)
    tree:add(f.pieces, body(0, 2))
    local count = body(2, 2):uint()
    if body:len() ~= 4 + count * LINK_LEN then
        return tree:add_proto_expert_info(malformed, "the number of links is not that of the bytes")
    end
    for at = 4, body:len() - LINK_LEN, LINK_LEN do
        local link = body(at, LINK_LEN)
        local branch = tree:add(links, link, "Link to node " .. link(0, 2):uint())
        branch:add(f.neighbor, link(0, 2))
        branch:add(f.up, link(2, 1))
        branch:add(f.v6, link(2, 1))
        branch:add(f.measured, link(2, 1))
        branch:add(f.latency, link(4, 4))
        branch:add(f.loss, link(8, 4))
    end
end

local function show_plan(tree, body)
    tree:add(f.fingerprint, body(0, 8))
    tree:add(f.edge, body(8, 2))
    tree:add(f.gateway, body(10, 2))
    local at = 16
    for _ = 1, body(12, 2):uint() do
        local regions = body:len() - at >= 4 and body(at + 2, 2):uint()
        if not regions or at + 4 + 2 * regions > body:len() then
            return tree:add_proto_expert_info(malformed, "a path runs beyond the end")
        end
        local branch = tree:add(links, body(at, 4 + 2 * regions), "Path " .. body(at, 2):uint())
        branch:add(f.path, body(at, 2))
        for region = 1, regions do
            branch:add(f.via, body(at + 2 + 2 * region, 2))
        end
        at = at + 4 + 2 * regions
    end
end

local function show_record(tree, value)
    if value:len() < 4 + RECORD_LEN then
        return tree:add_proto_expert_info(malformed, "shorter than a record")
    end
    tree:add(f.age, value(0, 4))
    local record = value(4)
    local body_len, signed = record(2, 2):uint(), record(1, 1):uint()
    tree:add(f.kind, record(0, 1))
    tree:add(f.signed, record(1, 1))
    tree:add(f.origin, record(8, 2))
    tree:add(f.index, record(10, 2))
    tree:add(f.sequence, record(12, 8))
    if record:len() ~= RECORD_LEN + body_len + signed * SIGNATURE_LEN or signed > 1 then
        return tree:add_proto_expert_info(malformed, "the body's length is not that of the bytes")
    end
    if kinds[record(0, 1):uint()] == "links" and body_len >= 4 then
        show_links(tree, record(RECORD_LEN, body_len))
    elseif kinds[record(0, 1):uint()] == "plan" and body_len >= 16 then
        show_plan(tree, record(RECORD_LEN, body_len))
    end
    if signed == 1 then
        tree:add(f.signature, record(RECORD_LEN + body_len, SIGNATURE_LEN))
    end
end

local function show_entries(tree, value, from)
    if (value:len() - from) % ENTRY_LEN ~= 0 then
        return tree:add_proto_expert_info(malformed, "a part of an entry")
    end
    for at = from, value:len() - ENTRY_LEN, ENTRY_LEN do
        show_entry(tree, value(at, ENTRY_LEN))
    end
end

function links.dissector(tvb, pinfo, tree)
    -- Answers to probes of links come to this port as well: they are STAMP.
    if pinfo.src_port ~= PORT or pinfo.dst_port ~= PORT or tvb:len() < HEADER_LEN or tvb(0, 1):uint() ~= VERSION then
        return 0
    end
    pinfo.cols.protocol = "PROA-LINKS"
    local root = tree:add(links, tvb())
    root:add(f.version, tvb(0, 1))
    root:add(f.sender, tvb(2, 2))
    root:add(f.overlay, tvb(4, 4))
    local at, names = HEADER_LEN, {}
    -- What is left at the end and is no item is the prefilter: 8 bytes.
    while tvb:len() - at >= ITEM_LEN and tvb:len() - at ~= PREFILTER_LEN do
        local kind, length = tvb(at, 1):uint(), tvb(at + 2, 2):uint()
        if at + ITEM_LEN + length > tvb:len() then
            root:add_proto_expert_info(malformed, "an item runs beyond the end")
            break
        end
        local branch = root:add(f.item, tvb(at, 1))
        if length > 0 then
            local value = tvb(at + ITEM_LEN, length)
            if kind == RECORD then
                show_record(branch, value)
            elseif kind == ACKNOWLEDGEMENT then
                show_entries(branch, value, 0)
            elseif kind == SUMMARY and length >= 2 * KEY_LEN then
                show_entries(branch, value, 2 * KEY_LEN)
            end
        end
        names[#names + 1] = types[kind] or tostring(kind)
        at = at + ITEM_LEN + length
    end
    if tvb:len() - at == PREFILTER_LEN then
        root:add(f.prefilter, tvb(at, PREFILTER_LEN))
    end
    pinfo.cols.info = "node " .. tvb(2, 2):uint() .. ": " .. table.concat(names, ", ")
    return tvb:len()
end

DissectorTable.get("udp.port"):add(PORT, links)
