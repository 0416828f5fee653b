/* The API's own state, for its files. Loop thread only. */
#ifndef ORDERLY_INFRA_API_API_PRIVATE_H
#define ORDERLY_INFRA_API_API_PRIVATE_H
#include "access.h"
#include "call.h"
#include "orderly/app/metrics.h"
#include "orderly/infra/api/api.h"
#include "orderly/infra/inbound/reader.h"
#include "refusals.h"
#include "routes.h"

/* Statuses that we answer; what is none of them counts as the last. */
#define API_STATUS_MAP(X)                                                                          \
    X(200)                                                                                         \
    X(201)                                                                                         \
    X(202)                                                                                         \
    X(204)                                                                                         \
    X(304)                                                                                         \
    X(400)                                                                                         \
    X(401)                                                                                         \
    X(403)                                                                                         \
    X(404)                                                                                         \
    X(405)                                                                                         \
    X(406)                                                                                         \
    X(408)                                                                                         \
    X(409)                                                                                         \
    X(410)                                                                                         \
    X(412)                                                                                         \
    X(413)                                                                                         \
    X(414)                                                                                         \
    X(415)                                                                                         \
    X(417)                                                                                         \
    X(421)                                                                                         \
    X(422)                                                                                         \
    X(431)                                                                                         \
    X(500)                                                                                         \
    X(501)                                                                                         \
    X(503)                                                                                         \
    X(505)
enum api_status {
#define X(status) API_STATUS_##status,
    API_STATUS_MAP(X)
#undef X
        API_STATUS_OTHER,
    API_STATUS_COUNT
};

#define API_METHOD_NONE HTTP_METHODS /* the request has none, as its line could not be read */

/* What was asked of one pattern; the last one is for requests that match none. */
struct api_counters {
    uint64_t answered[HTTP_METHODS + 1][API_STATUS_COUNT];
    struct histogram duration;
};

struct api {
    struct api_config config;
    struct inbound_reader reader; /* where the configuration has none */
    struct route_table table;
    struct access access;
    char *token_path;
    char why[ACCESS_WHY_MAX];
    struct http_server *server; /* NULL until attached */
    struct json_out out;
    struct refusals refusals;
    struct api_counters counters[ROUTE_PATTERNS_MAX + 1];
    int64_t told_failures_ms; /* when the log last heard of refused tokens */
    uint64_t untold_failures;
    struct list streams;     /* open, streams.c */
    int64_t told_cut_off_ms; /* the same of streams that were cut off */
    uint64_t untold_cut_off;
};

/* streams.c: says how the feed of the app renders events. */
void streams_init(struct api *a);
/* Ends those whose token is not good any more. */
void streams_recheck(struct api *a);

/* health.c: the text of /metrics. */
void api_write_metrics(struct api *a, struct buf *out);
#endif
