/* Chance from a seed: SplitMix64. Each part of the world has a stream of its own, so that less of one
 * thing leaves the others as they were.
 *
 * Never two draws in one expression: which is first would be the compiler's wish. */
#ifndef SRC_SIM_CHANCE_H
#define SRC_SIM_CHANCE_H
#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
    uint64_t z = c->state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* What the stream is for, and which of its kind. */
static inline struct chance chance_of_seed(uint64_t seed, uint64_t what, uint64_t which)
{
    struct chance c = { seed };

    c.state = chance_next(&c) ^ what * UINT64_C(0xD6E8FEB86659FD93);
    c.state = chance_next(&c) ^ which;
    return c;
}

/* 0..n-1; n > 0. The bias is far below what a simulation can see. */
static inline uint64_t chance_below(struct chance *c, uint64_t n)
{
    return chance_next(c) % n;
}

/* from..to, both included. */
static inline int64_t chance_between(struct chance *c, int64_t from, int64_t to)
{
    return from + (int64_t)chance_below(c, (uint64_t)(to - from) + 1);
}

/* True ppm times in a million. */
static inline bool chance_hits(struct chance *c, unsigned ppm)
{
    return ppm > 0 && chance_below(c, 1000000) < ppm;
}

/* As many short spans as long ones: 2^0 .. 2^bits - 1, each length of number as likely. */
static inline int64_t chance_span(struct chance *c, unsigned bits)
{
    uint64_t n = chance_next(c), shorter = chance_below(c, bits);

    return (int64_t)(n >> (64 - bits + shorter));
}
#endif
