/* Port: chance. Cryptographic in the server, a seeded generator in tests. Thread: loop. */
#ifndef ORDERLY_APP_RANDOM_H
#define ORDERLY_APP_RANDOM_H
#include <stddef.h>

struct random {
    void (*fill)(struct random *r, void *out, size_t n);
};
static inline void random_fill(struct random *r, void *out, size_t n)
{
    r->fill(r, out, n);
}
#endif
