#include "orderly/base/mem.h"
#include <stdio.h>
#include <stdlib.h>

static _Noreturn void mem_exhausted(size_t size)
{
    fprintf(stderr, "out of memory: could not allocate %zu bytes\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        mem_exhausted(size);
    return p;
}

void *mem_zalloc(size_t size)
{
    /* calloc, not malloc and memset: large tables then come as untouched pages. */
    void *p = calloc(1, size ? size : 1);

    if (!p)
        mem_exhausted(size);
    return p;
}

void *mem_realloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);

    if (!q)
        mem_exhausted(size);
    return q;
}

void mem_free(void *p)
{
    free(p);
}
