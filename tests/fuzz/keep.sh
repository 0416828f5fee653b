#!/bin/sh
# Writes a target's corpus anew: the fewest inputs that reach every edge which the corpus, the seeds
# of make_seeds.py and all that './dev fuzz' has found interesting here reach together.
#
# usage: keep.sh TARGET...      after './dev fuzz TARGET SECONDS'; commit tests/fuzz/corpus/TARGET.txt
set -eu
cd "$(dirname "$0")/../.."
build=build/fuzz
pack="/usr/bin/python3 -B tests/fuzz/pack.py"
without=
! setarch -R true 2>/dev/null || without="setarch -R"
rm -rf "$build/seeds"
/usr/bin/python3 -B tests/fuzz/make_seeds.py "$build/seeds"
for target in "$@"; do
    text=tests/fuzz/corpus/$target.txt
    rm -rf "$build/corpus/$target" "$build/kept/$target"
    mkdir -p "$build/corpus/$target" "$build/grown/$target" "$build/kept/$target"
    [ ! -e "$text" ] || $pack unpack "$text" "$build/corpus/$target"
    # Without counters: how often an edge is passed is no reason to keep an input.
    $without "$build/fuzz/fuzz_$target" -set_cover_merge=1 -use_counters=0 -max_len=4096 \
        "$build/kept/$target" "$build/seeds/$target" "$build/corpus/$target" \
        "$build/grown/$target" >"$build/log/keep-$target" 2>&1 || {
        tail -n 20 "$build/log/keep-$target" >&2
        exit 1
    }
    mkdir -p tests/fuzz/corpus
    $pack pack "$build/kept/$target" "$text"
    echo "$target: $(wc -l <"$text") inputs, $(wc -c <"$text") bytes"
done
