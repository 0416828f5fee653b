/* Engine in memory: one B+tree per database. For tests, demonstrations, and servers whose history
 * may end with the process.
 *
 * It is bounded by the number of rows in DB_EVENTS. At the bound apply answers ERR_FULL; the app
 * refuses new orders long before (see store_stats.events_max). */
#ifndef ORDERLY_INFRA_STORE_MEMORY_H
#define ORDERLY_INFRA_STORE_MEMORY_H
#include "orderly/infra/store/engine.h"
#include <stdint.h>

#define MEMORY_EVENTS_MAX_DEFAULT 5000000

/* events_max: at least 1. The engine ends with memory_engine_destroy, when nobody uses it. */
struct engine *memory_engine_create(uint64_t events_max);
void memory_engine_destroy(struct engine *e);
#endif
