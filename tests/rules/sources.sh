#!/bin/sh
# What the compiler does not see of the way we write. One line for each break; see the house's
# reasons beside each rule.
#
# usage: sources.sh ROOT
set -u
cd "$1" || exit 2
broken=$(mktemp)
trap 'rm -f "$broken"' EXIT

# refuse WHY PATTERN FILE...: none of the files has a line like this.
refuse() {
    why=$1
    pattern=$2
    shift 2
    [ $# -gt 0 ] || return 0
    grep -nHE -e "$pattern" "$@" /dev/null | sed "s|^|$why: |" >>"$broken"
}

files_below() { find "$@" -name '*.[ch]' ! -path 'src/forbidden/*' 2>/dev/null | LC_ALL=C sort; }

# shellcheck disable=SC2046 # our file names have no spaces
{
    include='^[[:space:]]*#[[:space:]]*include[[:space:]]*["<](\.\./)*'
    refuse "arrows point inwards" "${include}orderly/(domain|flowcheck|app|infra)/" $(files_below src/base include/orderly/base)
    refuse "arrows point inwards" "${include}orderly/(flowcheck|app|infra)/" $(files_below src/domain include/orderly/domain)
    refuse "arrows point inwards" "${include}orderly/(app|infra)/" \
        $(files_below src/flowcheck include/orderly/flowcheck)
    refuse "arrows point inwards" "${include}orderly/infra/" $(files_below src/app include/orderly/app)

    # Contexts hear of an order by messages only, so that any of them can be moved out.
    refuse "a context knows no order" "${include}.*(order|flow)(_[a-z_]+)?\.h\"" \
        $(files_below src/app/contexts include/orderly/app/contexts)

    refuse "a struct keeps its name" '^[[:space:]]*typedef[[:space:]]+struct' $(files_below include src tests bench)
    refuse "checks stay on; use REQUIRE" '(^|[^_[:alnum:]])assert\(' $(files_below include src)
    refuse "a NOLINT gives its reason" 'NOLINT[A-Z]*(\([^)]*\))?[[:space:]]*(\*/)?[[:space:]]*$' \
        $(files_below include src tests bench)
    # Who knows the key of a hash table can make its keys collide. These use one of their own: the
    # tools, on a store that nobody asks anything of meanwhile, and the simulators, for chance that
    # is a function of the order.
    refuse "a table's key is drawn at the start" 'map_key[[:space:]]+[a-z_]+(\[[A-Z_]*\])?[[:space:]]*=' \
        $(files_below src include | grep -v -e src/infra/operate/verify.c -e src/infra/operate/rebuild.c \
            -e src/app/contexts/context.c)

    refuse "tests wait for events, not for time" '(^|[^_[:alnum:]])(sleep|usleep|nanosleep)\(' $(files_below tests)
}

if [ -s "$broken" ]; then
    cat "$broken"
    exit 1
fi
echo "ok: the sources keep the rules"
