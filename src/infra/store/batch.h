/* What both adapters of app/store.h do with lists of writes. */
#ifndef SRC_INFRA_STORE_BATCH_H
#define SRC_INFRA_STORE_BATCH_H
#include "orderly/app/store.h"

struct batch {
    struct list writes;
    uint32_t n_writes;
    uint32_t n_events;
    size_t n_bytes;
};

void batch_init(struct batch *b);
void batch_add(struct batch *b, struct store_write *w);
/* Moves writes from the front of the queue until the next one would pass a limit of a batch; at
 * least one, since a single write may be larger than that. The queue must not be empty. */
void batch_take(struct batch *b, struct list *queue);
/* Moves everything from src, which becomes empty, to the end of the batch. */
void batch_take_all(struct batch *b, struct list *src);
/* Gives all writes their outcome. */
void batch_set_status(struct batch *b, enum err status);

/* ERR_BUSY if a queue of this length has no place for the write (STORE_QUEUE_MAX). */
MUST_CHECK enum err queue_admit(uint32_t queue_len, const struct store_write *w);
#endif
