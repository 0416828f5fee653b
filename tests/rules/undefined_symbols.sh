#!/bin/sh
# What an archive leaves to others. Every symbol that it needs must be in one of the archives that
# it may stand on, or in the list of C functions that it may call; anything else is a way round the
# ports and fails.
#
# usage: undefined_symbols.sh ALLOWED_LIST ARCHIVE [ARCHIVE IT MAY STAND ON]...
set -eu

allowed=$1
archive=$2
shift

defined() { nm --defined-only "$@" | awk 'NF == 3 { print $3 }'; }

defined "$@" | LC_ALL=C sort -u >"$archive.defined"
# What compilers add by themselves: sanitizers, coverage, stack protector, checked copies.
nm --undefined-only "$archive" | awk '$1 == "U" { print $2 }' |
    grep -Ev '^(__asan|__ubsan|__tsan|__sanitizer|__gcov|__llvm|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__mem[a-z]+_chk)' |
    LC_ALL=C sort -u >"$archive.undefined"
sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$allowed" | LC_ALL=C sort -u >"$archive.allowed"

LC_ALL=C sort -u "$archive.defined" "$archive.allowed" >"$archive.known"
strange=$(LC_ALL=C comm -23 "$archive.undefined" "$archive.known")
if [ -n "$strange" ]; then
    printf 'not ok: %s asks for what it may not know:\n' "$(basename "$archive")"
    printf '%s\n' "$strange" | while read -r symbol; do
        printf '  %s, in' "$symbol"
        nm --undefined-only --print-file-name "$archive" | awk -v s="$symbol" '
            $NF == s { n = split($1, part, ":"); printf " %s", part[n - 1] == "" ? $1 : part[n - 1] }'
        printf '\n'
    done
    exit 1
fi
printf 'ok: %s symbols asked for, all known\n' "$(wc -l <"$archive.undefined" | tr -d ' ')"
