/* Chance for tests that try many cases: SplitMix64 from one seed, which is printed, so that a run
 * can be repeated with ORDERLY_TEST_SEED (empty: a new one). Include cmocka.h first. */
#ifndef TESTS_SUPPORT_CHANCE_H
#define TESTS_SUPPORT_CHANCE_H
#include "orderly/base/str.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct chance {
    uint64_t state;
};

static inline struct chance chance_init(const char *who)
{
    const char *given = getenv("ORDERLY_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec;
    if (given && given[0] && !str_to_u64(str_of(given), &seed))
        abort();
    printf("%s: seed %llu\n", who, (unsigned long long)seed);
    return (struct chance){ seed };
}

static inline uint64_t chance_next(struct chance *c)
{
    uint64_t z = c->state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* 0 .. n-1 */
static inline size_t chance_below(struct chance *c, size_t n)
{
    return (size_t)(chance_next(c) % n);
}
#endif
