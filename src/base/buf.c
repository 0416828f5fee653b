#include "orderly/base/buf.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <stdarg.h>
#include <stdio.h>

#define BUF_CAP_MIN ((size_t)256)

void buf_deinit(struct buf *b)
{
    mem_free(b->p);
    *b = (struct buf){ 0 };
}

char *buf_reserve(struct buf *b, size_t n)
{
    REQUIRE(n <= SIZE_MAX / 4);
    if (b->cap - b->n < n) {
        size_t cap = b->cap ? b->cap : BUF_CAP_MIN;

        while (cap - b->n < n)
            cap *= 2;
        b->p = mem_realloc(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), p, n);
    b->n += n;
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    char *p = buf_reserve(b, 1);
    size_t room = b->cap - b->n;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(p, room, fmt, ap);
    va_end(ap);
    REQUIRE(n >= 0);
    if ((size_t)n >= room) {
        p = buf_reserve(b, (size_t)n + 1); /* vsnprintf wants room for a NUL */
        va_start(ap, fmt);
        (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->n += (size_t)n;
}
