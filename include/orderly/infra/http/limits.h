/* The one table of the HTTP server's limits. A test walks http_limit_rows and tries each with n and
 * n + 1; options and documentation are made from it too. */
#ifndef ORDERLY_INFRA_HTTP_LIMITS_H
#define ORDERLY_INFRA_HTTP_LIMITS_H
#include "orderly/base/err.h"
#include "orderly/base/str.h"
#include <stddef.h>
#include <stdint.h>

/* Of the connections beyond connections_max, one for each so many within it stays open for a moment,
 * so that its 503 arrives; the others are closed with it. */
#define HTTP_REFUSED_SHARE 8

/* name, default, unit, what happens beyond
 *
 * request_line_max counts without the line end, header_block_max the field lines with theirs and
 * without the empty line. A body has body_time_ms, and one second more for each body_rate_min bytes
 * that have come: a body that keeps the rate is not cut off, a slower one is. */
#define HTTP_LIMITS_MAP(X)                                                                         \
    X(request_line_max, 8192, "bytes", "414, close")                                               \
    X(header_block_max, 16384, "bytes", "431, close")                                              \
    X(header_fields_max, 100, "fields", "431, close")                                              \
    X(empty_lines_max, 4, "lines", "400, close")                                                   \
    X(chunk_extensions_max, 1024, "bytes per message", "400, close")                               \
    X(trailers_max, 4096, "bytes per message", "400, close")                                       \
    X(body_max, 1048576, "bytes", "413, lingering close")                                          \
    X(header_time_ms, 10000, "ms", "408, close")                                                   \
    X(body_time_ms, 30000, "ms", "408, close")                                                     \
    X(body_rate_min, 1024, "bytes/s", "408, close")                                                \
    X(idle_time_ms, 60000, "ms", "close")                                                          \
    X(pipeline_max, 16, "requests in flight", "reading stops")                                     \
    X(output_max, 1048576, "bytes waiting", "reading stops")                                       \
    X(write_stall_ms, 30000, "ms without progress", "close")                                       \
    X(stream_queue_max, 1048576, "bytes waiting", "ERR_BUSY to the writer")                        \
    X(discard_max, 65536, "bytes of an unwanted body", "lingering close")                          \
    X(linger_max, 4194304, "bytes after the last answer", "close")                                 \
    X(linger_time_ms, 2000, "ms after the last answer", "close")                                   \
    X(connections_max, 10000, "connections", "503, close")                                         \
    X(connections_per_address_max, 1024, "connections, loopback exempt", "503, close")

struct http_limits {
#define X(name, value, unit, beyond) size_t name;
    HTTP_LIMITS_MAP(X)
#undef X
};

struct http_limit_row {
    const char *name;
    size_t value; /* default */
    const char *unit, *beyond;
    size_t offset; /* in struct http_limits */
};

extern const struct http_limit_row http_limit_rows[];
extern const unsigned http_limit_rows_len;

void http_limits_set_defaults(struct http_limits *l);
size_t http_limits_get(const struct http_limits *l, const struct http_limit_row *row);
/* NULL if no row has this name. */
const struct http_limit_row *http_limits_find(struct str name);
/* A limit of zero is refused with ERR_INVALID, since the server could not work with it. */
MUST_CHECK enum err http_limits_set(struct http_limits *l, const struct http_limit_row *row,
                                    size_t value);
#endif
