/* What is in a request's target: path segments and query parameters, decoded strictly. An escape
 * that is none, or %00, makes the whole thing invalid (400); nothing is repaired. */
#ifndef ORDERLY_INFRA_HTTP_TARGET_H
#define ORDERLY_INFRA_HTTP_TARGET_H
#include "orderly/base/arena.h"
#include "orderly/base/err.h"
#include <stdbool.h>

#define HTTP_QUERY_PARAMS_MAX 100

/* Takes the next raw segment off *rest, which starts with '/' or is empty. "/a//b/" has the
 * segments "a", "", "b" and "". False when nothing is left. */
bool http_path_next(struct str *rest, struct str *segment);

/* ERR_INVALID: broken escape or %00. Without an escape *out is the input itself, no copy. */
MUST_CHECK enum err http_percent_decode(struct arena *a, struct str raw, struct str *out);

struct http_param {
    struct str name, value;
};
struct http_query {
    const struct http_param *params; /* in the order of the query, duplicates kept */
    unsigned n;
};

/* Splits at '&' and the first '='; '+' is a blank. Empty parts ("a=1&&b=2") are left out.
 * ERR_INVALID: broken escape, %00. ERR_LIMIT: more than HTTP_QUERY_PARAMS_MAX. */
MUST_CHECK enum err http_query_parse(struct arena *a, struct str raw, struct http_query *out);

/* How often the parameter occurs; *value is that of the first (STR_NONE if none), may be NULL. */
unsigned http_query_find(const struct http_query *q, struct str name, struct str *value);
#endif
