/* Writes JSON straight into a growing buffer: no tree, no second pass. Numbers of money are written
 * from minor units as text.
 *
 *     json_open(o, '{');
 *     JSON_KEY(o, "orderId");  json_uuid(o, id);
 *     json_close(o, '}');
 *
 * Commas come by themselves: a key or an item looks at the byte before it. Not thread safe; one
 * writer per thread. */
#ifndef ORDERLY_INFRA_RENDER_JSON_OUT_H
#define ORDERLY_INFRA_RENDER_JSON_OUT_H
#include "orderly/base/arena.h"
#include "orderly/base/buf.h"
#include "orderly/base/uuid.h"
#include "orderly/domain/ids.h"
#include "orderly/domain/money.h"

struct json_out {
    struct buf buf;
};

void json_out_deinit(struct json_out *o);
/* Empties it; memory beyond a usual answer is given back. */
void json_out_reset(struct json_out *o);
/* What was written since reset, copied. */
struct str json_out_take(struct json_out *o, struct arena *a);

static inline char *json_room(struct json_out *o, size_t n)
{
    if (o->buf.cap - o->buf.n >= n)
        return o->buf.p + o->buf.n;
    return buf_reserve(&o->buf, n);
}
static inline void json_raw(struct json_out *o, const char *p, size_t n)
{
    memcpy(json_room(o, n), p, n);
    o->buf.n += n;
}
static inline void json_raw_str(struct json_out *o, struct str s)
{
    if (s.n)
        json_raw(o, s.p, s.n);
}
static inline bool json_needs_comma(const struct json_out *o)
{
    char last = o->buf.n ? o->buf.p[o->buf.n - 1] : '{';

    return last != '{' && last != '[' && last != ':';
}
/* Before a value in an array. */
static inline void json_item(struct json_out *o)
{
    if (json_needs_comma(o))
        json_raw(o, ",", 1);
}
static inline void json_open(struct json_out *o, char bracket)
{
    json_raw(o, &bracket, 1);
}
static inline void json_close(struct json_out *o, char bracket)
{
    json_raw(o, &bracket, 1);
}
/* text: "\"name\":", ready to be written. */
static inline void json_key_ready(struct json_out *o, const char *text, size_t n)
{
    char *p = json_room(o, n + 1);

    if (json_needs_comma(o)) {
        *p++ = ',';
        o->buf.n++;
    }
    memcpy(p, text, n);
    o->buf.n += n;
}
#define JSON_KEY(o, literal) json_key_ready((o), "\"" literal "\":", sizeof("\"" literal "\":") - 1)
#define JSON_LITERAL(o, literal) json_raw((o), "" literal, sizeof(literal) - 1)

void json_key(struct json_out *o, struct str name);
void json_str(struct json_out *o, struct str s);        /* well-formed UTF-8; "" if empty */
void json_base64(struct json_out *o, struct str bytes); /* RFC 4648 §4, padded */
static inline void json_str_or_null(struct json_out *o, struct str s)
{
    if (s.n)
        json_str(o, s);
    else
        JSON_LITERAL(o, "null");
}
/* Texts that need no escape by their grammar: ids, skus, names of the catalogue. */
void json_plain(struct json_out *o, struct str s);
static inline void json_text_id(struct json_out *o, const struct text_id *id)
{
    if (id->n)
        json_plain(o, text_id_str(id));
    else
        JSON_LITERAL(o, "null");
}
void json_u64(struct json_out *o, uint64_t v);
void json_i64(struct json_out *o, int64_t v);
/* The shortest text that reads back as the same number, with a point ("0.0", "0.25"). */
void json_double(struct json_out *o, double v);
static inline void json_bool(struct json_out *o, bool v)
{
    if (v)
        JSON_LITERAL(o, "true");
    else
        JSON_LITERAL(o, "false");
}
void json_money(struct json_out *o, int64_t minor, struct currency c);
void json_uuid(struct json_out *o, struct uuid u); /* nil: null */
void json_time(struct json_out *o, int64_t ms);    /* 0: null */
#endif
