-- Wireshark dissector of Proa's messages about who holds which block of NAT addresses (docs/protocol.md), version 1, and a
-- post-dissector for binding records behind inner packets that are not sealed.

local PORT = 4797
local MESSAGE_LEN, SIGNATURE_LEN, ITEMS_AT, ITEM_LEN = 84, 64, 36, 24
local RECORD_LEN = 56

local lease = Proto("proa_takeover", "Proa holders of blocks")
local kinds = { [1] = "ask", [2] = "answer" }
local f = {
    version = ProtoField.uint8("proa_takeover.version", "Version", base.DEC),
    kind = ProtoField.uint8("proa_takeover.kind", "Kind", base.DEC, kinds),
    sender = ProtoField.uint16("proa_takeover.sender", "Sender", base.DEC),
    overlay = ProtoField.uint32("proa_takeover.overlay", "Overlay", base.DEC),
    receiver = ProtoField.uint16("proa_takeover.receiver", "Receiver", base.DEC),
    pair = ProtoField.uint16("proa_takeover.pair", "First gateway", base.DEC),
    digest = ProtoField.uint64("proa_takeover.digest", "Digest", base.HEX),
    life = ProtoField.uint64("proa_takeover.life", "Life, ms since 1970", base.DEC),
    stamp = ProtoField.uint64("proa_takeover.stamp", "Stamp, ns", base.DEC),
    block = ProtoField.none("proa_takeover.block", "Block"),
    held = ProtoField.bool("proa_takeover.held", "Held", 8, nil, 0x01),
    wish = ProtoField.bool("proa_takeover.wish", "Wish", 8, nil, 0x02),
    released = ProtoField.bool("proa_takeover.released", "Released", 8, nil, 0x04),
    back = ProtoField.bool("proa_takeover.back", "Wanted back", 8, nil, 0x08),
    draining = ProtoField.bool("proa_takeover.draining", "Draining", 8, nil, 0x10),
    granted = ProtoField.bool("proa_takeover.granted", "Granted", 8, nil, 0x20),
    holder = ProtoField.uint16("proa_takeover.holder", "Holder", base.DEC),
    revision = ProtoField.uint64("proa_takeover.revision", "Revision", base.DEC),
    holder_before = ProtoField.uint16("proa_takeover.holder_before", "Holder before", base.DEC),
    revision_before = ProtoField.uint64("proa_takeover.revision_before", "Revision before", base.DEC),
    signature = ProtoField.bytes("proa_takeover.signature", "Signature"),
}
lease.fields = f
local malformed = ProtoExpert.new("proa_takeover.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
lease.experts = { malformed }

local function show_block(tree, tvb, at, name)
    local item = tvb(at, ITEM_LEN)
    local branch = tree:add(f.block, item)
    branch:append_text(" of the " .. name .. " gateway: node " .. item(2, 2):uint() .. ", revision " .. tostring(item(4, 8):uint64()))
    for _, flag in ipairs({ f.held, f.wish, f.released, f.back, f.draining, f.granted }) do
        branch:add(flag, item(0, 1))
    end
    branch:add(f.holder, item(2, 2))
    branch:add(f.revision, item(4, 8))
    branch:add(f.holder_before, item(12, 2))
    branch:add(f.revision_before, item(16, 8))
end

function lease.dissector(tvb, pinfo, tree)
    local length = tvb:len()
    local branch = tree:add(lease, tvb())
    if length ~= MESSAGE_LEN and length ~= MESSAGE_LEN + SIGNATURE_LEN or tvb(0, 1):uint() ~= 1 or not kinds[tvb(1, 1):uint()] then
        branch:add_proto_expert_info(malformed)
        return length
    end
    pinfo.cols.protocol = "Proa takeover"
    pinfo.cols.info = kinds[tvb(1, 1):uint()] .. " from node " .. tvb(2, 2):uint() .. " to node " .. tvb(8, 2):uint()
    branch:add(f.version, tvb(0, 1))
    branch:add(f.kind, tvb(1, 1))
    branch:add(f.sender, tvb(2, 2))
    branch:add(f.overlay, tvb(4, 4))
    branch:add(f.receiver, tvb(8, 2))
    branch:add(f.pair, tvb(10, 2))
    branch:add(f.digest, tvb(12, 8))
    branch:add(f.life, tvb(20, 8))
    branch:add(f.stamp, tvb(28, 8))
    show_block(branch, tvb, ITEMS_AT, "first")
    show_block(branch, tvb, ITEMS_AT + ITEM_LEN, "second")
    if length > MESSAGE_LEN then
        branch:add(f.signature, tvb(MESSAGE_LEN))
    end
    return length
end

DissectorTable.get("udp.port"):add(PORT, lease)

local binding = Proto("proa_binding", "Proa binding record")
local record_kinds = { [1] = "binding", [2] = "install", [3] = "refusal" }
local b = {
    kind = ProtoField.uint8("proa_binding.kind", "Kind", base.DEC, record_kinds),
    protocol = ProtoField.uint8("proa_binding.protocol", "Protocol", base.DEC),
    client_port = ProtoField.uint16("proa_binding.client_port", "Client's port", base.DEC),
    vip_port = ProtoField.uint16("proa_binding.vip_port", "Virtual IP's port", base.DEC),
    external_port = ProtoField.uint16("proa_binding.external_port", "External port", base.DEC),
    origin_port = ProtoField.uint16("proa_binding.origin_port", "Origin's port", base.DEC),
    home = ProtoField.uint16("proa_binding.home", "Home of the block", base.DEC),
    revision = ProtoField.uint64("proa_binding.revision", "Revision", base.DEC),
    external = ProtoField.ipv6("proa_binding.external", "External address"),
    origin = ProtoField.ipv6("proa_binding.origin", "Origin's address"),
}
binding.fields = b
local epoch_of, sequence_of = Field.new("proa.epoch"), Field.new("proa.sequence")

-- A record has a fixed length and stands at the end of the frame; without a seal its first bytes tell.
function binding.dissector(tvb, pinfo, tree)
    local epoch = epoch_of()
    if not epoch or epoch.value ~= 0 or not sequence_of() or tvb:len() < RECORD_LEN then
        return
    end
    local record = tvb(tvb:len() - RECORD_LEN)
    if record(0, 1):uint() ~= 1 or not record_kinds[record(1, 1):uint()] or record(3, 1):uint() ~= 0 or record(14, 2):uint() ~= 0 then
        return
    end
    local branch = tree:add(binding, record)
    branch:append_text(": " .. record_kinds[record(1, 1):uint()])
    branch:add(b.kind, record(1, 1))
    branch:add(b.protocol, record(2, 1))
    branch:add(b.client_port, record(4, 2))
    branch:add(b.vip_port, record(6, 2))
    branch:add(b.external_port, record(8, 2))
    branch:add(b.origin_port, record(10, 2))
    branch:add(b.home, record(12, 2))
    branch:add(b.revision, record(16, 8))
    branch:add(b.external, record(24, 16))
    branch:add(b.origin, record(40, 16))
end

register_postdissector(binding)
