/* Counters of the app; plain numbers that an adapter prints. Thread: loop. */
#ifndef ORDERLY_APP_METRICS_H
#define ORDERLY_APP_METRICS_H
#include "orderly/app/refund_totals.h"
#include "orderly/domain/event.h"
#include "orderly/domain/flow.h"
#include <stdint.h>

/* 1, 2, 5 per decade from 10 µs to 10 s, and more. */
#define HISTOGRAM_BUCKETS 20
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS]; /* not cumulative; the last is "more" */
    uint64_t n;
    double sum_us;
    int64_t max_us;
};
extern const int64_t histogram_bounds_us[HISTOGRAM_BUCKETS - 1];
void histogram_add(struct histogram *h, int64_t us);

enum failure_kind { FAILURE_RETRY, FAILURE_PERMANENT, FAILURE_PARKED, FAILURE_KIND_COUNT };

#define REFUSED_MAP(X)                                                                             \
    X(QUEUE_FULL, "queue_full")                                                                    \
    X(BACKLOG, "backlog")                                                                          \
    X(STORE_FULL, "store_full")                                                                    \
    X(TURN, "turn_waiters")                                                                        \
    X(IDEMPOTENCY, "idempotency_keys")                                                             \
    X(DEAD_LETTERS, "dead_letters")                                                                \
    X(READS, "reads")                                                                              \
    X(STREAMS, "stream_clients")                                                                   \
    X(SHUTTING_DOWN, "shutting_down")
enum refused {
#define X(name, text) REFUSED_##name,
    REFUSED_MAP(X)
#undef X
        REFUSED_COUNT
};

struct metrics {
    uint64_t events_appended[EVENT_TYPE_COUNT];
    struct histogram publish_accepted; /* event handed to the log -> durable */
    struct histogram publish_handled;  /* event handed to the log -> handed to a handler */
    struct histogram handler_duration[SUBSCRIPTION_COUNT];
    uint64_t handler_failures[SUBSCRIPTION_COUNT][FAILURE_KIND_COUNT];
    uint64_t dead_letters_open[SUBSCRIPTION_COUNT];
    int64_t orders[FLOW_COUNT][ORDER_STATUS_COUNT]; /* that are in the status now */
    struct refund_totals refunds_due;
    uint64_t unasked_refunds, unasked_releases;
    uint64_t refused[REFUSED_COUNT];
    uint64_t commits, commit_events;
};
#endif
