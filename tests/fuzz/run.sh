#!/bin/sh
# Runs one fuzz target of the fuzz build; './dev fuzz' calls it.
#
# usage: run.sh TARGET SECONDS [SEED]
#
# Without a seed: draws one, starts from the corpus and from all that earlier runs have found
# interesting (build/fuzz/grown), and keeps what it finds interesting there. With a seed: starts from
# the corpus alone and keeps nothing, so that every run of one seed begins alike.
#
# No run fails because the machine is slow or was asleep: only an input that takes ten minutes
# counts as one that does not come back.
set -u
cd "$(dirname "$0")/../.." || exit 2
target=$1
seconds=$2
seed=${3:-}

build=build/fuzz
program=$build/fuzz/fuzz_$target
log=$build/log/$target
mkdir -p "$build/log" "$build/findings" "$build/grown/$target"

set -- "-max_total_time=$seconds" -timeout=600 -report_slow_units=600 -rss_limit_mb=2048 -max_len=4096 \
    -print_final_stats=1 "-artifact_prefix=$build/findings/$target-"
[ ! -e "tests/fuzz/dict/$target.dict" ] || set -- "$@" "-dict=tests/fuzz/dict/$target.dict"
corpus=$build/corpus/$target
rm -rf "$corpus"
/usr/bin/python3 -B tests/fuzz/pack.py unpack "tests/fuzz/corpus/$target.txt" "$corpus" || exit 2
if [ -n "$seed" ]; then
    # What it finds interesting it writes into the first folder: this one is made anew each time.
    set -- "$@" "-seed=$seed" "$corpus"
else
    set -- "$@" "$build/grown/$target" "$corpus"
fi
[ ! -d "tests/fuzz/regressions/$target" ] || set -- "$@" "tests/fuzz/regressions/$target"

without=
! setarch -R true 2>/dev/null || without="setarch -R"
told() { sed -n "$1" "$log" | tail -n 1; }

# shellcheck disable=SC2086 # the command and its flag are two words
$without "$program" "$@" >"$log" 2>&1
code=$?
runs=$(told 's/^stat::number_of_executed_units: *//p')
finding=$(told 's/.*Test unit written to //p')
# A machine that slept looks like an input that does not come back; one that does is none.
case $finding in
*-timeout-*)
    if $without "$program" -timeout=600 "$finding" >>"$log" 2>&1; then
        echo "$target: an input took ten minutes, and no time at all when it was tried again"
        rm -f "$finding"
        code=0
    fi
    ;;
esac
if [ $code = 0 ]; then
    echo "$target: $runs inputs, $(told 's/.* cov: \([0-9]*\) .*/\1/p') edges, no finding"
    exit 0
fi
if grep -q 'run interrupted' "$log"; then
    echo "$target: interrupted after $runs inputs, without a finding so far" >&2
    exit 1
fi
grep -v '^#[0-9]' "$log" | tail -n 60 >&2
cat >&2 <<END
$target: a finding, see $log; the input is in ${finding:-no file}
  again:        $without $program $finding
  smaller:      $without $program -minimize_crash=1 -max_total_time=60 $finding
  to keep it:   cp $finding tests/fuzz/regressions/$target/what-it-was
                (then every build's ctest fuzz_$target runs it)
END
exit 1
