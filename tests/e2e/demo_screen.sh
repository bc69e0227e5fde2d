# shellcheck shell=bash
# shellcheck disable=SC2034  # colours and marks are used by demo.sh
# What the demo shows on a terminal: titled steps, facts, a progress bar. Plain lines when the output is no terminal.

if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then live=yes; else live=no; fi
if [[ $live == yes && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' blue=$'\e[36m' plain=$'\e[0m'
else
    bold="" dim="" green="" red="" blue="" plain=""
fi
if [[ $(locale charmap 2>/dev/null) == UTF-8 ]]; then
    full=█ empty=░ tick=✔ cross=✘ times=×
else
    full='#' empty=. tick=ok cross=FAILED times=x
fi
bar_width=32
step_number=0

# step TITLE: begins a step.
step() {
    step_number=$((step_number + 1))
    printf '\n%s%d  %s%s\n' "$bold$blue" "$step_number" "$1" "$plain"
}

# fact LABEL TEXT…: one line of what was seen.
fact() { printf '   %s%-26s%s %s\n' "$dim" "$1" "$plain" "${*:2}"; }

# good LABEL TEXT…: a fact that had to hold, and does.
good() { printf '   %-26s %s %s\n' "$1" "${*:2}" "$green$tick$plain"; }

# progress DONE TOTAL TEXT: redraws the bar in place; without a terminal it says a line at every quarter.
progress() {
    local share=$(($2 > 0 ? $1 * 100 / $2 : 100)) filled bar
    ((share <= 100)) || share=100
    if [[ $live == no ]]; then
        ((share / 25 > progress_quarter)) || return 0
        progress_quarter=$((share / 25))
        fact "" "$share %  $3"
        return
    fi
    filled=$((share * bar_width / 100))
    bar=$(printf "%${filled}s" | sed "s/ /$full/g")$(printf "%$((bar_width - filled))s" | sed "s/ /$empty/g")
    printf '\r   %s %3d %%  %s\e[K' "$bar" "$share" "$3"
}
progress_start() { progress_quarter=0; }
progress_end() { [[ $live == no ]] || printf '\r\e[K'; }

# busy TEXT COMMAND…: runs a quiet command with its seconds shown; its output appears only when it fails.
busy() {
    local log pid start=$SECONDS status=0
    log=$(mktemp)
    "${@:2}" >"$log" 2>&1 </dev/null &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        [[ $live == no ]] || printf '\r   %s%-26s%s %d s\e[K' "$dim" "$1" "$plain" $((SECONDS - start))
        sleep 0.2
    done
    wait $pid || status=$?
    progress_end
    ((status == 0)) || tail -n 30 "$log"
    rm -f "$log"
    ((status == 0)) || fail "$1 failed"
    good "$1" "$((SECONDS - start)) s"
}

# thousands NUMBER: with separators.
thousands() { sed -E ':a; s/^(-?[0-9]+)([0-9]{3})/\1,\2/; ta' <<<"$1"; }
