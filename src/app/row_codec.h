/* Puts into reserved memory and reads that never pass the end: what the codecs of rows share. */
#ifndef ORDERLY_SRC_APP_ROW_CODEC_H
#define ORDERLY_SRC_APP_ROW_CODEC_H
#include "orderly/base/bytes.h"
#include "orderly/domain/ids.h"
#include "orderly/domain/money.h"

/* Room that a text of n bytes takes at most. */
#define ROW_TEXT_ROOM(n) ((n) + 5)
#define ROW_ID_ROOM (1 + TEXT_ID_MAX)
#define ROW_SKU_ROOM (1 + SKU_MAX)

static inline uint8_t *row_put_u8(uint8_t *p, unsigned v)
{
    *p = (uint8_t)v;
    return p + 1;
}
static inline uint8_t *row_put_u16(uint8_t *p, unsigned v)
{
    bytes_put_u16(p, (uint16_t)v);
    return p + 2;
}
static inline uint8_t *row_put_u32(uint8_t *p, uint32_t v)
{
    bytes_put_u32(p, v);
    return p + 4;
}
static inline uint8_t *row_put_u64(uint8_t *p, uint64_t v)
{
    bytes_put_u64(p, v);
    return p + 8;
}
static inline uint8_t *row_put_i64(uint8_t *p, int64_t v)
{
    return row_put_u64(p, (uint64_t)v);
}
static inline uint8_t *row_put_uuid(uint8_t *p, struct uuid u)
{
    memcpy(p, u.b, sizeof(u.b));
    return p + sizeof(u.b);
}
static inline uint8_t *row_put_bytes(uint8_t *p, const char *s, size_t n)
{
    if (n)
        memcpy(p, s, n);
    return p + n;
}
static inline uint8_t *row_put_id(uint8_t *p, const struct text_id *t)
{
    return row_put_bytes(row_put_u8(p, t->n), t->s, t->n);
}
static inline uint8_t *row_put_sku(uint8_t *p, const struct sku *s)
{
    return row_put_bytes(row_put_u8(p, s->n), s->s, s->n);
}
/* Almost all texts are short: one byte of length, or 255 and four more. */
static inline uint8_t *row_put_text(uint8_t *p, struct str s)
{
    if (s.n < 255)
        p = row_put_u8(p, (unsigned)s.n);
    else
        p = row_put_u32(row_put_u8(p, 255), (uint32_t)s.n);
    return row_put_bytes(p, s.p, s.n);
}
static inline uint8_t *row_put_currency(uint8_t *p, struct currency c)
{
    memcpy(p, c.code, 3);
    return p + 3;
}

static inline int64_t row_read_i64(struct bytes_reader *r)
{
    return (int64_t)bytes_read_u64(r);
}
static inline uint16_t row_read_u16(struct bytes_reader *r)
{
    const uint8_t *p = bytes_read(r, 2);

    return p ? bytes_get_u16(p) : 0;
}
static inline void row_read_uuid(struct bytes_reader *r, struct uuid *out)
{
    const uint8_t *p = bytes_read(r, sizeof(out->b));

    if (p)
        memcpy(out->b, p, sizeof(out->b));
}
/* A number below `end`; anything else is damage. */
static inline unsigned row_read_enum(struct bytes_reader *r, unsigned end)
{
    unsigned v = bytes_read_u8(r);

    if (v >= end) {
        r->bad = true;
        return 0;
    }
    return v;
}
static inline bool row_read_bool(struct bytes_reader *r)
{
    return row_read_enum(r, 2) != 0;
}
/* A text's length has one encoding only. */
static inline struct str row_read_text(struct bytes_reader *r)
{
    size_t n = bytes_read_u8(r);
    const uint8_t *p;

    if (n == 255) {
        n = bytes_read_u32(r);
        r->bad |= n < 255;
    }
    p = bytes_read(r, n);
    return p && n ? (struct str){ (const char *)p, n } : STR_NONE;
}
/* The rest of the target must be zero already. */
static inline void row_read_short(struct bytes_reader *r, uint8_t *n, char *s, size_t max)
{
    size_t len = bytes_read_u8(r);
    const uint8_t *p;

    r->bad |= len > max;
    p = bytes_read(r, len);
    if (p) {
        *n = (uint8_t)len;
        memcpy(s, p, len);
    }
}
static inline void row_read_id(struct bytes_reader *r, struct text_id *out)
{
    row_read_short(r, &out->n, out->s, TEXT_ID_MAX);
}
static inline void row_read_sku(struct bytes_reader *r, struct sku *out)
{
    row_read_short(r, &out->n, out->s, SKU_MAX);
}
/* Three capitals or three zero bytes. Not the list of today: a row outlives a currency. */
static inline void row_read_currency(struct bytes_reader *r, struct currency *out)
{
    const uint8_t *p = bytes_read(r, 3);

    if (!p)
        return;
    for (unsigned i = 0; i < 3; i++)
        r->bad |= (p[i] < 'A' || p[i] > 'Z') && (p[0] | p[1] | p[2]) != 0;
    memcpy(out->code, p, 3);
    out->code[3] = '\0';
}
/* A count whose items take at least `least` bytes each: never more than the row can hold. */
static inline unsigned row_read_count(struct bytes_reader *r, size_t least)
{
    unsigned n = row_read_u16(r);

    if (n > (size_t)(r->end - r->at) / least) {
        r->bad = true;
        return 0;
    }
    return n;
}
static inline bool row_ended_well(const struct bytes_reader *r)
{
    return !r->bad && r->at == r->end;
}
#endif
