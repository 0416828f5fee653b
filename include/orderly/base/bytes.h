/* Fixed-order integers in rows and keys, and a reader of rows that never reads past the end.
 *
 * Keys are big endian, so that byte order is number order. */
#ifndef ORDERLY_BASE_BYTES_H
#define ORDERLY_BASE_BYTES_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline void bytes_put_u16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, 2);
}
static inline void bytes_put_u32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}
static inline void bytes_put_u64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}
static inline uint16_t bytes_get_u16(const void *p)
{
    uint16_t v;

    memcpy(&v, p, 2);
    return __builtin_bswap16(v);
}
static inline uint32_t bytes_get_u32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}
static inline uint64_t bytes_get_u64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

/* Sticky: after a short read `bad` stays set and every further read gives zero or nothing. Check
 * `bad` once at the end. */
struct bytes_reader {
    const uint8_t *at, *end;
    bool bad;
};

static inline struct bytes_reader bytes_reader_of(struct str s)
{
    const uint8_t *p = (const uint8_t *)(s.n ? s.p : ""); /* never NULL: it is added to */

    return (struct bytes_reader){ p, p + s.n, false };
}

static inline const uint8_t *bytes_read(struct bytes_reader *r, size_t n)
{
    if ((size_t)(r->end - r->at) < n || r->bad) {
        r->bad = true;
        return NULL;
    }
    r->at += n;
    return r->at - n;
}
static inline uint8_t bytes_read_u8(struct bytes_reader *r)
{
    const uint8_t *p = bytes_read(r, 1);

    return p ? *p : 0;
}
static inline uint32_t bytes_read_u32(struct bytes_reader *r)
{
    const uint8_t *p = bytes_read(r, 4);

    return p ? bytes_get_u32(p) : 0;
}
static inline uint64_t bytes_read_u64(struct bytes_reader *r)
{
    const uint8_t *p = bytes_read(r, 8);

    return p ? bytes_get_u64(p) : 0;
}
/* Length-prefixed by 32 bits. */
static inline struct str bytes_read_str(struct bytes_reader *r)
{
    uint32_t n = bytes_read_u32(r);
    const uint8_t *p = bytes_read(r, n);

    return p ? (struct str){ (const char *)p, n } : STR_NONE;
}
#endif
