/* Memory that is given back all at once: one arena per request or operation.
 *
 * The first block can be the caller's (no allocation for small operations). arena_reset keeps the
 * first block; big blocks are freed. Alignment is that of max_align_t. Not thread safe; one owner
 * at a time. */
#ifndef ORDERLY_BASE_ARENA_H
#define ORDERLY_BASE_ARENA_H
#include "orderly/base/str.h"
#include <stddef.h>

struct arena_block;

struct arena {
    char *at, *end;             /* free part of the current block */
    struct arena_block *blocks; /* allocated ones, newest first */
    void *first;                /* caller's or own first block */
    size_t first_size;
    size_t total; /* bytes handed out since reset */
};

/* first may be NULL: then the first block is allocated on first use. */
void arena_init(struct arena *a, void *first, size_t first_size);
void arena_reset(struct arena *a);
void arena_deinit(struct arena *a);

/* Never NULL; memory is not zeroed (arena_zalloc: zeroed). */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
/* Copies bytes; a terminating NUL follows that is not counted. */
struct str arena_str(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
#endif
