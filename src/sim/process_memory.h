/* The memory of a simulated process: it can be dropped as a whole, as a crash does. */
#ifndef SRC_SIM_PROCESS_MEMORY_H
#define SRC_SIM_PROCESS_MEMORY_H
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include <stdint.h>

struct process_memory {
    struct mem_source source;
    struct list blocks;
    uint64_t n_blocks;
};

void process_memory_init(struct process_memory *m);
/* Frees all that is held. */
void process_memory_drop(struct process_memory *m);
#endif
