/* A growing byte buffer on the heap. */
#ifndef ORDERLY_BASE_BUF_H
#define ORDERLY_BASE_BUF_H
#include "orderly/base/str.h"
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *p;
    size_t n, cap;
};

void buf_deinit(struct buf *b);
/* Makes room for n more bytes and returns where they go; b->n is not changed. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){ b->p, b->n };
}
#endif
