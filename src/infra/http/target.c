#include "orderly/infra/http/target.h"

bool http_path_next(struct str *rest, struct str *segment)
{
    const char *slash;
    size_t n;

    if (rest->n == 0 || rest->p[0] != '/')
        return false;
    slash = rest->n > 1 ? memchr(rest->p + 1, '/', rest->n - 1) : NULL;
    n = slash != NULL ? (size_t)(slash - rest->p) : rest->n;
    *segment = (struct str){ rest->p + 1, n - 1 };
    *rest = (struct str){ rest->p + n, rest->n - n };
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static enum err decode(struct arena *a, struct str raw, bool plus_is_blank, struct str *out)
{
    char *p;
    size_t n = 0;

    if (raw.n == 0 || (memchr(raw.p, '%', raw.n) == NULL &&
                       (!plus_is_blank || memchr(raw.p, '+', raw.n) == NULL))) {
        *out = raw;
        return ERR_OK;
    }
    p = arena_alloc(a, raw.n);
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];

        if (c == '%') {
            int high = i + 2 < raw.n ? hex_value(raw.p[i + 1]) : -1;
            int low = i + 2 < raw.n ? hex_value(raw.p[i + 2]) : -1;

            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return ERR_INVALID;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        p[n++] = c;
    }
    *out = (struct str){ p, n };
    return ERR_OK;
}

enum err http_percent_decode(struct arena *a, struct str raw, struct str *out)
{
    return decode(a, raw, false, out);
}

/* Takes what is before the separator (or everything) off *rest. */
static struct str take_until(struct str *rest, char separator)
{
    const char *at = rest->n > 0 ? memchr(rest->p, separator, rest->n) : NULL;
    struct str part = *rest;

    if (at == NULL) {
        *rest = STR_NONE;
        return part;
    }
    part.n = (size_t)(at - rest->p);
    *rest = (struct str){ at + 1, rest->n - part.n - 1 };
    return part;
}

enum err http_query_parse(struct arena *a, struct str raw, struct http_query *out)
{
    struct http_param *params;
    size_t n_max = 1;
    unsigned n = 0;

    *out = (struct http_query){ NULL, 0 };
    if (raw.n == 0)
        return ERR_OK;
    for (size_t i = 0; i < raw.n; i++)
        n_max += raw.p[i] == '&';
    if (n_max > HTTP_QUERY_PARAMS_MAX)
        return ERR_LIMIT;
    params = arena_alloc(a, n_max * sizeof(*params));
    while (raw.n > 0) {
        struct str value = take_until(&raw, '&');
        struct str name;

        if (value.n == 0)
            continue;
        name = take_until(&value, '=');
        if (decode(a, name, true, &params[n].name) != ERR_OK ||
            decode(a, value, true, &params[n].value) != ERR_OK)
            return ERR_INVALID;
        n++;
    }
    *out = (struct http_query){ params, n };
    return ERR_OK;
}

unsigned http_query_find(const struct http_query *q, struct str name, struct str *value)
{
    unsigned count = 0;

    if (value != NULL)
        *value = STR_NONE;
    for (unsigned i = 0; i < q->n; i++) {
        if (!str_eq(q->params[i].name, name))
            continue;
        if (count++ == 0 && value != NULL)
            *value = q->params[i].value;
    }
    return count;
}
