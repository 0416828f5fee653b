/* The monotonic clock in nanoseconds; on Linux the same clock as Python's time.monotonic(). */
#ifndef BENCH_LIB_CLOCK_NS_H
#define BENCH_LIB_CLOCK_NS_H
#include <stdint.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

static inline uint64_t clock_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}
#endif
