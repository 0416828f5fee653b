/* The load itself: keep-alive connections on one thread and one epoll.
 *
 * Closed loop: each connection keeps `pipeline` requests outstanding; a new one goes out when one is
 * answered. Shows how much a server can do, and hides what its clients waited for.
 *
 * Open loop: request i is due at its time whatever the server does. It is sent on the next free
 * connection, and its latency counts from when it was due, so a stall shows in every request that was
 * due while it lasted. What is due waits in a queue without a bound, which costs no memory because a
 * due time follows from the index. After the last due time the queue and the answers outstanding are
 * given drain_ns; what is left then is counted as unsent and unanswered.
 *
 * A load always ends: by count, by time, or by drain. Its memory does not grow with its length, but
 * for one line of `seconds` each second. */
#ifndef BENCH_LIB_LOAD_H
#define BENCH_LIB_LOAD_H
#include "histogram.h"
#include "request.h"
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    LOAD_CONNECTIONS_MAX = 10000,
    LOAD_PIPELINE_MAX = 256,
    LOAD_SECONDS_MAX = 3600,
    LOAD_STATUS_MAX = 600,
};

struct load_options {
    struct sockaddr_in address;
    struct request_template request;
    bool head_only;        /* the method is HEAD */
    double rate_per_s;     /* 0: closed loop */
    unsigned connections;  /* 1..LOAD_CONNECTIONS_MAX */
    unsigned pipeline;     /* requests outstanding on a connection, 1..LOAD_PIPELINE_MAX */
    uint64_t duration_ns;  /* nothing new is sent after it, at most LOAD_SECONDS_MAX */
    uint64_t count;        /* nor after so many requests; with retry_503 resent ones not counted */
    uint64_t timeout_ns;   /* an answer later than this closes its connection */
    uint64_t drain_ns;     /* for what is outstanding or due at the end */
    uint64_t number_first; /* the {n} of the first request */
    bool drop_unsent;      /* open loop: what is due but not sent at the end stays unsent */
    bool retry_503;    /* closed loop: after a 503 the connection rests for Retry-After (1 s when
                              * there is none), and the request is sent again */
    bool keep_seconds; /* fill load_result.seconds */
    FILE *locations;   /* NULL, or gets the Location of each 201 on a line */
    const volatile sig_atomic_t *stop; /* not 0: end as if the duration were over */
};

/* One second of the run, by the time of the answer. */
struct load_second {
    uint64_t sent;
    uint64_t answered;
    uint64_t succeeded;              /* 2xx */
    uint64_t p50_ns, p99_ns, max_ns; /* of the 2xx */
};

struct load_result {
    uint64_t sent; /* written to a connection, resent ones included */
    uint64_t answered;
    uint64_t by_status[LOAD_STATUS_MAX];
    uint64_t resent;       /* after a 503 */
    uint64_t unsent;       /* open loop: due and never written */
    uint64_t unanswered;   /* outstanding when the drain was over */
    uint64_t lost_closed;  /* outstanding on a connection that the peer closed or reset */
    uint64_t lost_timeout; /* outstanding on a connection that was closed for a timeout */
    uint64_t connects;     /* connections opened, the first ones included */
    uint64_t connect_failures;
    uint64_t start_ns; /* CLOCK_MONOTONIC: the clock starts once every connection is up */
    uint64_t last_answer_ns;
    uint64_t end_ns;
    uint64_t user_ns, system_ns; /* processor time of this process */
    const char *refusal;      /* not NULL: an answer could not be read, the load was ended for it */
    struct histogram latency; /* of every answer */
    struct histogram latency_ok; /* of the 2xx */
    struct histogram send_delay; /* open loop: from due to written */
    struct load_second *seconds;
    size_t seconds_n;
};

/* Runs the load to its end. Returns NULL, or why it did not begin: a connection that could not be made.
 * options->request stays the caller's. The result is released by load_result_deinit in both cases. */
const char *load_run(const struct load_options *options, struct load_result *result);
void load_result_deinit(struct load_result *result);
#endif
