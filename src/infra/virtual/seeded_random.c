#include "orderly/infra/virtual/seeded_random.h"
#include "orderly/base/list.h"
#include <string.h>

/* SplitMix64. */
static uint64_t seeded_next(struct seeded_random *r)
{
    uint64_t z = r->state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void seeded_fill(struct random *random, void *out, size_t n)
{
    struct seeded_random *r = container_of(random, struct seeded_random, random);
    char *at = out;

    while (n > 0) {
        uint64_t v = seeded_next(r);
        size_t k = n < sizeof(v) ? n : sizeof(v);

        memcpy(at, &v, k);
        at += k;
        n -= k;
    }
}

void seeded_random_init(struct seeded_random *r, uint64_t seed)
{
    *r = (struct seeded_random){ .random = { .fill = seeded_fill }, .state = seed };
}
