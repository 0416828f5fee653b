#include "orderly/base/arena.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <stdarg.h>
#include <stdio.h>

#define ARENA_ALIGN _Alignof(max_align_t)
#define ARENA_FIRST_DEFAULT ((size_t)4096)
#define ARENA_BLOCK ((size_t)16384)

/* A request above this gets a block of its own, so that it does not throw away the free part of the
 * current block. */
#define ARENA_BIG (ARENA_BLOCK / 4)

struct arena_block {
    struct arena_block *next;
    bool kept; /* the arena's own first block, which survives a reset */
    _Alignas(max_align_t) char data[];
};

static size_t arena_round_up(size_t n)
{
    REQUIRE(n <= SIZE_MAX - sizeof(struct arena_block) - ARENA_ALIGN);
    return (n + (ARENA_ALIGN - 1)) & ~(ARENA_ALIGN - 1);
}

/* Makes [p, p + size) the free part, cut to aligned bounds. */
static void arena_use(struct arena *a, char *p, size_t size)
{
    size_t skip = (size_t)(-(uintptr_t)p & (ARENA_ALIGN - 1));

    if (skip >= size) {
        a->at = a->end = NULL;
        return;
    }
    a->at = p + skip;
    a->end = a->at + ((size - skip) & ~(ARENA_ALIGN - 1));
}

static void arena_free_blocks(struct arena *a, bool also_kept)
{
    struct arena_block *b = a->blocks;
    struct arena_block *kept = NULL;

    while (b) {
        struct arena_block *next = b->next;

        if (b->kept && !also_kept)
            kept = b;
        else
            mem_free(b);
        b = next;
    }
    if (kept)
        kept->next = NULL;
    a->blocks = kept;
}

void arena_init(struct arena *a, void *first, size_t first_size)
{
    *a = (struct arena){ .first = first, .first_size = first_size };
    if (first)
        arena_use(a, first, first_size);
}

void arena_reset(struct arena *a)
{
    arena_free_blocks(a, false);
    a->at = a->end = NULL;
    a->total = 0;
    if (a->first)
        arena_use(a, a->first, a->first_size);
    else if (a->blocks)
        arena_use(a, a->blocks->data, a->first_size);
}

void arena_deinit(struct arena *a)
{
    arena_free_blocks(a, true);
    *a = (struct arena){ 0 };
}

static struct arena_block *arena_block_create(struct arena *a, size_t size)
{
    struct arena_block *b = mem_alloc(sizeof(*b) + size);

    b->next = a->blocks;
    b->kept = false;
    a->blocks = b;
    return b;
}

static void *arena_alloc_slowly(struct arena *a, size_t size)
{
    struct arena_block *b;

    if (!a->first && !a->blocks) {
        if (a->first_size == 0)
            a->first_size = ARENA_FIRST_DEFAULT;
        a->first_size = arena_round_up(a->first_size);
        b = arena_block_create(a, a->first_size);
        b->kept = true;
        arena_use(a, b->data, a->first_size);
        if (size <= a->first_size)
            return arena_alloc(a, size);
    }
    if (size > ARENA_BIG) {
        a->total += size;
        return arena_block_create(a, size)->data;
    }
    b = arena_block_create(a, ARENA_BLOCK);
    arena_use(a, b->data, ARENA_BLOCK);
    return arena_alloc(a, size);
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *p = a->at;

    size = arena_round_up(size ? size : 1);
    if (size > (size_t)(a->end - a->at))
        return arena_alloc_slowly(a, size);
    a->at += size;
    a->total += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct str){ p, s.n };
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    size_t room = (size_t)(a->end - a->at);
    char *p;
    int n;

    /* Straight into the free part, which is usually large enough: then the allocation only claims
     * what is already printed there. */
    va_start(ap, fmt);
    n = vsnprintf(a->at, room, fmt, ap);
    va_end(ap);
    REQUIRE(n >= 0);
    p = arena_alloc(a, (size_t)n + 1);
    if ((size_t)n >= room) {
        va_start(ap, fmt);
        (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    return (struct str){ p, (size_t)n };
}
