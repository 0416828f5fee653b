#include "orderly/app/metrics.h"
#include "orderly/base/check.h"

const int64_t histogram_bounds_us[HISTOGRAM_BUCKETS - 1] = {
    10,    20,    50,     100,    200,    500,     1000,    2000,    5000,     10000,
    20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000,
};

void histogram_add(struct histogram *h, int64_t us)
{
    unsigned i = 0;

    if (us < 0) /* two readings of a clock on two processors may differ by a little */
        us = 0;
    /* Most of what is measured is short, so the first compares decide. */
    while (i < ARRAY_LEN(histogram_bounds_us) && us > histogram_bounds_us[i])
        i++;
    h->counts[i]++;
    h->n++;
    h->sum_us += (double)us;
    if (us > h->max_us)
        h->max_us = us;
}
