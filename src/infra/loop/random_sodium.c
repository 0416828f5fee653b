#include "orderly/infra/loop/random_sodium.h"
#include "orderly/base/list.h"
#include <sodium.h>
#include <string.h>

/* A larger request would empty the pool for everybody else, and gains nothing by it. */
#define RANDOM_FROM_POOL_MAX (RANDOM_SODIUM_POOL / 4)

static void random_sodium_fill(struct random *port, void *out, size_t n)
{
    struct random_sodium *r = container_of(port, struct random_sodium, port);

    if (n == 0)
        return;
    if (n > RANDOM_FROM_POOL_MAX) {
        randombytes_buf(out, n);
        return;
    }
    if (n > sizeof(r->pool) - r->at) {
        randombytes_buf(r->pool, sizeof(r->pool));
        r->at = 0;
    }
    memcpy(out, r->pool + r->at, n);
    sodium_memzero(r->pool + r->at, n);
    r->at += n;
}

enum err random_sodium_init(struct random_sodium *r)
{
    *r = (struct random_sodium){ .port.fill = random_sodium_fill, .at = sizeof(r->pool) };
    return sodium_init() < 0 ? ERR_IO : ERR_OK;
}

void random_sodium_deinit(struct random_sodium *r)
{
    sodium_memzero(r, sizeof(*r));
}
