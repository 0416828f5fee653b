/* The random port (app/random.h) from libsodium, drawn in 4 KiB pieces: one system call for many
 * ids. What was handed out is wiped from the pool. A process that forks must not use the pool on
 * both sides. Thread: loop. */
#ifndef ORDERLY_INFRA_LOOP_RANDOM_SODIUM_H
#define ORDERLY_INFRA_LOOP_RANDOM_SODIUM_H
#include "orderly/app/random.h"
#include "orderly/base/err.h"
#include <stdint.h>

#define RANDOM_SODIUM_POOL 4096

struct random_sodium {
    struct random port;
    size_t at; /* pool[at..] is fresh */
    uint8_t pool[RANDOM_SODIUM_POOL];
};

/* ERR_IO: the system has no source of randomness. Also initialises libsodium; may run again. */
MUST_CHECK enum err random_sodium_init(struct random_sodium *r);
void random_sodium_deinit(struct random_sodium *r);
#endif
