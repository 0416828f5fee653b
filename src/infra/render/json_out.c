#include "orderly/infra/render/json_out.h"
#include "orderly/base/timetext.h"
#include <stdio.h>
#include <stdlib.h>

#define JSON_OUT_KEPT_MAX ((size_t)256 * 1024)

void json_out_deinit(struct json_out *o)
{
    buf_deinit(&o->buf);
}

void json_out_reset(struct json_out *o)
{
    if (o->buf.cap > JSON_OUT_KEPT_MAX)
        buf_deinit(&o->buf);
    o->buf.n = 0;
}

struct str json_out_take(struct json_out *o, struct arena *a)
{
    return arena_str(a, buf_str(&o->buf));
}

/* 1: must be escaped (RFC 8259 §7): quote, backslash and what is below a blank. */
static const uint8_t escaped[256] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,         1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ['"'] = 1, ['\\'] = 1,
};

static char *put_escape(char *p, uint8_t c)
{
    static const char digits[16] = { '0', '1', '2', '3', '4', '5', '6', '7',
                                     '8', '9', 'a', 'b', 'c', 'd', 'e', 'f' };

    *p++ = '\\';
    switch (c) {
    case '"':
    case '\\':
        *p++ = (char)c;
        return p;
    case '\n':
        *p++ = 'n';
        return p;
    case '\r':
        *p++ = 'r';
        return p;
    case '\t':
        *p++ = 't';
        return p;
    default:
        memcpy(p, "u00", 3);
        p[3] = digits[c >> 4];
        p[4] = digits[c & 15];
        return p + 5;
    }
}

static size_t plain_prefix(const char *s, size_t n)
{
    size_t i = 0;

    while (i < n && !escaped[(uint8_t)s[i]])
        i++;
    return i;
}

void json_str(struct json_out *o, struct str s)
{
    json_raw(o, "\"", 1);
    for (size_t i = 0; i < s.n;) {
        size_t plain = plain_prefix(s.p + i, s.n - i);

        json_raw_str(o, (struct str){ s.p + i, plain });
        i += plain;
        if (i < s.n) {
            char *p = json_room(o, 6);

            o->buf.n += (size_t)(put_escape(p, (uint8_t)s.p[i++]) - p);
        }
    }
    json_raw(o, "\"", 1);
}

void json_plain(struct json_out *o, struct str s)
{
    char *p = json_room(o, s.n + 2);

    *p = '"';
    if (s.n)
        memcpy(p + 1, s.p, s.n);
    p[s.n + 1] = '"';
    o->buf.n += s.n + 2;
}

void json_key(struct json_out *o, struct str name)
{
    json_item(o);
    json_plain(o, name);
    json_raw(o, ":", 1);
}

void json_u64(struct json_out *o, uint64_t v)
{
    char text[20];
    unsigned at = sizeof(text);

    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    json_raw(o, text + at, sizeof(text) - at);
}

void json_i64(struct json_out *o, int64_t v)
{
    if (v < 0)
        json_raw(o, "-", 1);
    json_u64(o, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void json_double(struct json_out *o, double v)
{
    char text[40];
    int n = 0;

    for (int precision = 1; precision <= 17; precision++) {
        n = snprintf(text, sizeof(text), "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    json_raw(o, text, (size_t)n);
    if (!strpbrk(text, ".e"))
        JSON_LITERAL(o, ".0");
}

void json_money(struct json_out *o, int64_t minor, struct currency c)
{
    o->buf.n += money_to_text(minor, c, json_room(o, MONEY_TEXT_MAX));
}

void json_uuid(struct json_out *o, struct uuid u)
{
    char *p;

    if (uuid_is_nil(u)) {
        JSON_LITERAL(o, "null");
        return;
    }
    p = json_room(o, UUID_TEXT_LEN + 2);
    *p = '"';
    uuid_format(u, p + 1);
    p[UUID_TEXT_LEN + 1] = '"';
    o->buf.n += UUID_TEXT_LEN + 2;
}

void json_time(struct json_out *o, int64_t ms)
{
    char *p;

    if (ms == 0) {
        JSON_LITERAL(o, "null");
        return;
    }
    p = json_room(o, TIMETEXT_LEN + 2);
    *p = '"';
    timetext_format(ms, p + 1);
    p[TIMETEXT_LEN + 1] = '"';
    o->buf.n += TIMETEXT_LEN + 2;
}

void json_base64(struct json_out *o, struct str bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    json_raw(o, "\"", 1);
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t n = bytes.n - i < 3 ? bytes.n - i : 3;
        uint32_t v = 0;
        char four[4];

        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < n ? (uint8_t)bytes.p[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            four[k] = k <= n ? digits[v >> (18 - 6 * k) & 63] : '=';
        json_raw(o, four, sizeof(four));
    }
    json_raw(o, "\"", 1);
}
