#include "orderly/infra/http/limits.h"

const struct http_limit_row http_limit_rows[] = {
#define X(name, value, unit, beyond)                                                               \
    { #name, value, unit, beyond, offsetof(struct http_limits, name) },
    HTTP_LIMITS_MAP(X)
#undef X
};
const unsigned http_limit_rows_len = ARRAY_LEN(http_limit_rows);

_Static_assert(sizeof(struct http_limits) == ARRAY_LEN(http_limit_rows) * sizeof(size_t),
               "every limit is a size_t and has a row");

void http_limits_set_defaults(struct http_limits *l)
{
    for (unsigned i = 0; i < http_limit_rows_len; i++)
        memcpy((char *)l + http_limit_rows[i].offset, &http_limit_rows[i].value, sizeof(size_t));
}

size_t http_limits_get(const struct http_limits *l, const struct http_limit_row *row)
{
    size_t value;

    memcpy(&value, (const char *)l + row->offset, sizeof(value));
    return value;
}

const struct http_limit_row *http_limits_find(struct str name)
{
    for (unsigned i = 0; i < http_limit_rows_len; i++)
        if (str_eq(name, str_of(http_limit_rows[i].name)))
            return &http_limit_rows[i];
    return NULL;
}

enum err http_limits_set(struct http_limits *l, const struct http_limit_row *row, size_t value)
{
    if (value == 0)
        return ERR_INVALID;
    memcpy((char *)l + row->offset, &value, sizeof(value));
    return ERR_OK;
}
