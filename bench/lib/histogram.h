/* Latencies in log-linear buckets: 128 buckets for each power of two, so a value is known to 0.8 %
 * whatever its size, and recording is a shift and an addition. */
#ifndef BENCH_LIB_HISTOGRAM_H
#define BENCH_LIB_HISTOGRAM_H
#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7,
    HISTOGRAM_VALUE_BITS =
        40, /* about 18 minutes in nanoseconds; larger values are counted there */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_reset(struct histogram *h);
void histogram_record(struct histogram *h, uint64_t value);
/* Adds everything that other holds to h. */
void histogram_merge(struct histogram *h, const struct histogram *other);
/* The smallest value that at least the share q (0..1) of the recorded values does not exceed, rounded
 * up to the end of its bucket, never beyond the largest recorded value. 0 when nothing was recorded. */
uint64_t histogram_quantile(const struct histogram *h, double q);
uint64_t histogram_mean(const struct histogram *h);

/* Where a value is counted, and the largest value counted there. */
size_t histogram_bucket_of(uint64_t value);
uint64_t histogram_bucket_end(size_t bucket);
#endif
