#include "schedule.h"
#include "orderly/base/check.h"
#include <math.h>

void schedule_init(struct schedule *s, uint64_t start_ns, double rate_per_s, uint64_t duration_ns,
                   uint64_t count_max)
{
    double total = ceil((double)duration_ns * rate_per_s / 1e9);

    REQUIRE(rate_per_s > 0.0);
    REQUIRE(total < 1e15); /* keeps index / rate exact to a nanosecond in a double */
    s->start_ns = start_ns;
    s->rate_per_s = rate_per_s;
    s->total = (uint64_t)total < count_max ? (uint64_t)total : count_max;
}

uint64_t schedule_due_ns(const struct schedule *s, uint64_t index)
{
    return s->start_ns + (uint64_t)((double)index * 1e9 / s->rate_per_s);
}

uint64_t schedule_due_count(const struct schedule *s, uint64_t from, uint64_t now_ns)
{
    uint64_t end;

    if (from >= s->total || schedule_due_ns(s, from) > now_ns)
        return 0;
    /* The estimate may be off by the rounding of one division; the two loops make it agree with
     * schedule_due_ns, which is the one that latencies count from. */
    end = (uint64_t)((double)(now_ns - s->start_ns) * s->rate_per_s / 1e9);
    if (end < from + 1)
        end = from + 1;
    while (end > from + 1 && schedule_due_ns(s, end - 1) > now_ns)
        end--;
    while (end < s->total && schedule_due_ns(s, end) <= now_ns)
        end++;
    if (end > s->total)
        end = s->total;
    return end - from;
}
