#!/usr/bin/env bash
# The control server's web page, with real nodes behind it, in headless Chromium: screenshots of a desk and of a phone, before and after a path is cut, into
# PICTURES (default: target/page). Needs chromium and chromium-driver.
source "$(dirname "$0")/lab.sh"
source "$(dirname "$0")/lab_server.sh"

for program in chromium chromedriver; do
    command -v $program >/dev/null || fail "no $program: apt-get install chromium chromium-driver"
done
pictures=${PICTURES:-$ROOT/target/page}
mkdir -p "$pictures"
seal=aes-256-gcm
lab_up
origin_up
make_file big 8
page=${server%:*}:8443
server_init '[api]' "listen = [\"$page\"]"
nodes_join
apply >/dev/null || fail "the definition is refused: $(tail -n 3 "$LAB_DIR/server.log")"
nodes_up
eventually 10 all_in_step || fail "$(nodes_in_step) of ${#NODES[@]} nodes are in step"
eventually 10 fetch_and_compare "$vip_v4" big
probe "$vip_v4" 60000 1000 >/dev/null 2>&1 &

# A browser, asked by WebDriver (W3C) over HTTP.
spawn server driver chromedriver --port=9515
driver() { ip netns exec "$LAB-server" curl -fsS -X "$1" "http://127.0.0.1:9515/$2" -H 'Content-Type: application/json' ${3:+-d "$3"}; }
eventually 10 driver GET status >/dev/null || fail "no chromedriver"
open() {
    local emulation=$1
    session=$(driver POST session "{\"capabilities\":{\"alwaysMatch\":{\"acceptInsecureCerts\":true,\"goog:chromeOptions\":{\"args\":[\"--headless=new\",\"--no-sandbox\",\"--disable-gpu\",\"--disable-dev-shm-usage\",\"--window-size=1280,1500\",\"--host-resolver-rules=MAP proa-server ${server%:*}\"]$emulation}}}}" | jq -r .value.sessionId)
    driver POST "session/$session/url" '{"url":"https://proa-server:8443/"}' >/dev/null
}
script() { driver POST "session/$session/execute/sync" "$(jq -n --arg script "$1" '{script: $script, args: []}')" | jq -r .value; }
# By the keyboard alone: the token's field has the focus after one Tab, Enter sends it.
keys() { driver POST "session/$session/actions" "$(jq -n --arg text "$1" '{actions: [{type: "key", id: "k", actions: [$text | explode[] | [.] | implode | {type: "keyDown", value: .}, {type: "keyUp", value: .}]}]}')" >/dev/null; }
sign_in() {
    keys "$(printf '\ue004')$token$(printf '\ue007')"
    eventually 5 shows '1' 'return String(document.querySelectorAll("#map svg").length)' || fail "no map: $(script 'return document.body.innerText')"
}
shows() { [[ $(script "$2") == "$1" ]]; }
shoot() { driver GET "session/$session/screenshot" | jq -r .value | base64 -d >"$pictures/$1.png"; }

token=$(overlay operator add vera)
open ""
shoot 0-sign-in
keys "$(printf '\ue004')proa-wrong$(printf '\ue007')"
eventually 5 shows "this token opens nothing" 'return document.querySelector("#refused").textContent' || fail "a wrong token is not refused"
script 'document.activeElement.blur(); location.reload()' >/dev/null
sleep 0.5
sign_in
ready='return String([...document.querySelectorAll("#nodes tbody tr")].filter(row => row.textContent.includes("ready")).length)'
eventually 5 shows 4 "$ready" || fail "not four nodes are ready: $(script 'return document.querySelector("#nodes").innerText')"
sleep 2
shoot 1-desk
wide=$(script 'return String(document.documentElement.scrollWidth > document.documentElement.clientWidth)')
[[ $wide == false ]] || fail "the page is wider than a desk's window"

lose mid-1 100
since=$(($(date +%s%N) / 1000000))
eventually 5 shows true 'return String(document.querySelectorAll("#map line.dead").length > 0 && document.querySelector("#paths").innerText.includes("down"))' ||
    fail "the cut is not shown: $(script 'return document.querySelector("#paths").innerText')"
red=$(($(date +%s%N) / 1000000 - since))
expect "until the map is red, ms" "$red" -le 2000
shoot 2-cut
driver DELETE "session/$session" >/dev/null

open ',"mobileEmulation":{"deviceMetrics":{"width":390,"height":844,"pixelRatio":2}}'
sign_in
sleep 2
shoot 3-phone
wide=$(script 'return String(document.documentElement.scrollWidth > 390)')
[[ $wide == false ]] || fail "the page is wider than a phone"
asked=$(script 'return performance.getEntriesByType("resource").map(one => new URL(one.name).host).filter(host => host !== location.host).join(" ")')
[[ -z $asked ]] || fail "the page asks elsewhere: $asked"

pass "a cut is red after $red ms; pictures are in $pictures"
