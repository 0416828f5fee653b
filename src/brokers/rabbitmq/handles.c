#include "handles.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <string.h>

/* Handles are numbered in the order they come, and twice as many places as there may be of them are
 * kept: so a handle's own place is its number, and mostly free. */
void handles_init(struct handles *h, size_t max)
{
    size_t n = 2;

    while (n < max * 2)
        n *= 2;
    *h = (struct handles){ mem_zalloc(n * sizeof(*h->slots)), n - 1, 0, max };
}

void handles_deinit(struct handles *h)
{
    mem_free(h->slots);
}

void handles_clear(struct handles *h)
{
    memset(h->slots, 0, (h->mask + 1) * sizeof(*h->slots));
    h->n = 0;
}

static size_t place_of(const struct handles *h, uint64_t handle)
{
    size_t at = handle & h->mask;

    while (h->slots[at] && h->slots[at] != handle)
        at = (at + 1) & h->mask;
    return at;
}

bool handles_add(struct handles *h, uint64_t handle)
{
    size_t at = place_of(h, handle);

    REQUIRE(handle != 0);
    REQUIRE(h->slots[at] == 0);
    if (h->n == h->max)
        return false;
    h->slots[at] = handle;
    h->n++;
    return true;
}

bool handles_remove(struct handles *h, uint64_t handle)
{
    size_t hole, at;

    if (handle == 0)
        return false;
    hole = at = place_of(h, handle);
    if (h->slots[hole] == 0)
        return false;
    h->n--;
    /* Those behind it that were pushed away from before the hole move up. */
    for (;;) {
        size_t own;

        h->slots[hole] = 0;
        do {
            at = (at + 1) & h->mask;
            if (h->slots[at] == 0)
                return true;
            own = h->slots[at] & h->mask;
        } while (((at - own) & h->mask) < ((at - hole) & h->mask));
        h->slots[hole] = h->slots[at];
        hole = at;
    }
}
