/* When the requests of an open loop are due: request i at start + i / rate, whatever the server does.
 * What is due and not yet sent needs no queue, its due time follows from its index. */
#ifndef BENCH_LIB_SCHEDULE_H
#define BENCH_LIB_SCHEDULE_H
#include <stdint.h>

struct schedule {
    uint64_t start_ns;
    double rate_per_s;
    uint64_t total; /* how many requests there will be */
};

/* Requests are due from start_ns on and before start_ns + duration_ns, at most count_max of them. */
void schedule_init(struct schedule *s, uint64_t start_ns, double rate_per_s, uint64_t duration_ns,
                   uint64_t count_max);
uint64_t schedule_due_ns(const struct schedule *s, uint64_t index);
/* How many of the requests from index `from` on are due at now_ns. */
uint64_t schedule_due_count(const struct schedule *s, uint64_t from, uint64_t now_ns);
#endif
