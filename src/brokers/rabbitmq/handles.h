/* The set of messages that were handed over and not acked: at most as many as it was made for. */
#ifndef ORDERLY_BROKERS_RABBITMQ_HANDLES_H
#define ORDERLY_BROKERS_RABBITMQ_HANDLES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handles {
    uint64_t *slots; /* 0: free; a handle stands at or soon behind its own place */
    size_t mask, n, max;
};

void handles_init(struct handles *h, size_t max);
void handles_deinit(struct handles *h);
void handles_clear(struct handles *h);
/* handle: not 0, and not in it. False: it is full. */
bool handles_add(struct handles *h, uint64_t handle);
/* False: it was not in it. */
bool handles_remove(struct handles *h, uint64_t handle);
#endif
