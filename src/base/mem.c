#include "orderly/base/mem.h"
#include <stdio.h>
#include <stdlib.h>

/* Set by a process with one thread only, so all others read what it was at their start: NULL. */
static struct mem_source *source;

struct mem_source *mem_use(struct mem_source *s)
{
    struct mem_source *before = source;

    source = s;
    return before;
}

static _Noreturn void mem_exhausted(size_t size)
{
    fprintf(stderr, "out of memory: could not allocate %zu bytes\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = source ? source->alloc(source, size) : malloc(size ? size : 1);

    if (!p)
        mem_exhausted(size);
    return p;
}

void *mem_zalloc(size_t size)
{
    /* calloc, not malloc and memset: large tables then come as untouched pages. */
    void *p = source ? source->zalloc(source, size) : calloc(1, size ? size : 1);

    if (!p)
        mem_exhausted(size);
    return p;
}

void *mem_realloc(void *p, size_t size)
{
    void *q = source ? source->realloc(source, p, size) : realloc(p, size ? size : 1);

    if (!q)
        mem_exhausted(size);
    return q;
}

void mem_free(void *p)
{
    if (source)
        source->free(source, p);
    else
        free(p);
}
