#include "orderly/infra/render/percent.h"

static bool is_plain(uint8_t c)
{
    return c >= 0x21 && c <= 0x7e && c != '"' && c != '%';
}

void percent_encode(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *p = buf_reserve(out, 3 * text.n);

    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = (uint8_t)text.p[i];

        if (is_plain(c)) {
            *p++ = (char)c;
            continue;
        }
        *p++ = '%';
        *p++ = digits[c >> 4];
        *p++ = digits[c & 15];
    }
    if (text.n)
        out->n = (size_t)(p - out->p);
}

/* -1: no digit. */
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is not printable ASCII had to be escaped; blanks had not, at one time. */
static bool is_raw_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];

        if ((c < 0x20 && c != '\t') || c > 0x7e)
            return false;
    }
    return true;
}

/* What stands between the quotes, as it is meant. */
static enum err unquote(struct arena *a, struct str value, struct str *out)
{
    struct str inner = { value.p + 1, value.n - 2 };
    char *p;
    size_t n = 0;

    if (value.n < 2 || value.p[value.n - 1] != '"')
        return ERR_INVALID;
    p = arena_alloc(a, inner.n + 1);
    for (size_t i = 0; i < inner.n; i++) {
        if (inner.p[i] == '"')
            return ERR_INVALID;
        if (inner.p[i] == '\\' && ++i == inner.n) /* it escapes the last quote */
            return ERR_INVALID;
        p[n++] = inner.p[i];
    }
    *out = (struct str){ p, n };
    return ERR_OK;
}

enum err percent_decode(struct arena *a, struct str value, struct str *out)
{
    char *p;
    size_t n = 0;

    if (!is_raw_text(value))
        return ERR_INVALID;
    if (value.n && value.p[0] == '"') {
        if (unquote(a, value, &value) != ERR_OK)
            return ERR_INVALID;
    } else if (value.n && memchr(value.p, '"', value.n)) {
        return ERR_INVALID;
    }
    *out = value;
    if (value.n == 0 || !memchr(value.p, '%', value.n))
        return ERR_OK;
    p = arena_alloc(a, value.n);
    for (size_t i = 0; i < value.n; i++) {
        int high, low;

        if (value.p[i] != '%') {
            p[n++] = value.p[i];
            continue;
        }
        if (value.n - i < 3)
            return ERR_INVALID;
        high = digit_of(value.p[i + 1]);
        low = digit_of(value.p[i + 2]);
        if (high < 0 || low < 0)
            return ERR_INVALID;
        p[n++] = (char)(high << 4 | low);
        i += 2;
    }
    *out = (struct str){ p, n };
    return str_is_utf8(*out) ? ERR_OK : ERR_INVALID;
}
