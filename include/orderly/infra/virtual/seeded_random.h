/* The random port from a seed, for tests and the simulator, which must be repeatable. */
#ifndef ORDERLY_INFRA_VIRTUAL_SEEDED_RANDOM_H
#define ORDERLY_INFRA_VIRTUAL_SEEDED_RANDOM_H
#include "orderly/app/random.h"
#include <stdint.h>

struct seeded_random {
    struct random random;
    uint64_t state;
};

void seeded_random_init(struct seeded_random *r, uint64_t seed);
#endif
