#include "histogram.h"
#include "orderly/base/check.h"
#include <math.h>
#include <string.h>

static const uint64_t VALUE_MAX = (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1;

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
}

size_t histogram_bucket_of(uint64_t value)
{
    unsigned top, shift;

    if (value > VALUE_MAX)
        value = VALUE_MAX;
    if (value >> HISTOGRAM_SUB_BITS == 0)
        return (size_t)value;
    top = 63U - (unsigned)__builtin_clzll(value);
    shift = top - HISTOGRAM_SUB_BITS;
    /* value >> shift keeps the leading bit and the seven below it, so it lies in 128..255 and the
     * rows of two neighbouring powers of two meet without a gap. */
    return ((size_t)shift << HISTOGRAM_SUB_BITS) + (size_t)(value >> shift);
}

uint64_t histogram_bucket_end(size_t bucket)
{
    size_t row = bucket >> HISTOGRAM_SUB_BITS;
    size_t shift;
    uint64_t leading;

    REQUIRE(bucket < HISTOGRAM_BUCKETS);
    if (row <= 1)
        return bucket;
    shift = row - 1;
    leading = bucket - (shift << HISTOGRAM_SUB_BITS);
    return ((leading + 1) << shift) - 1;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
    h->buckets[histogram_bucket_of(value)]++;
}

void histogram_merge(struct histogram *h, const struct histogram *other)
{
    h->count += other->count;
    h->sum += other->sum;
    if (other->max > h->max)
        h->max = other->max;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += other->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
    uint64_t rank, seen = 0;

    REQUIRE(q >= 0.0);
    REQUIRE(q <= 1.0);
    if (h->count == 0)
        return 0;
    rank = (uint64_t)ceil(q * (double)h->count);
    if (rank == 0)
        rank = 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= rank) {
            uint64_t end = histogram_bucket_end(i);
            return end < h->max ? end : h->max;
        }
    }
    return h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
    return h->count ? h->sum / h->count : 0;
}
