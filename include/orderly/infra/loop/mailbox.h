/* Letters from any thread to the loop thread.
 *
 * The uv_async handle is only a doorbell: libuv may fold many rings into one call, so each call
 * takes the whole box. The bell is rung inside the lock so that the last letter cannot be drained,
 * and the box closed, between the push and the ring.
 *
 * Order:  FIFO per posting thread. None against lanes of the bus.
 * Thread: mailbox_post from any thread, everything else on the loop thread. */
#ifndef ORDERLY_INFRA_LOOP_MAILBOX_H
#define ORDERLY_INFRA_LOOP_MAILBOX_H
#include "orderly/base/list.h"
#include <stdbool.h>
#include <uv.h>

struct mailbox;

/* Takes letters out of the list, oldest first. What it leaves there, because a turn of the loop has its
 * bounds, comes again in a later turn, before what is posted meanwhile. */
typedef void (*mailbox_drain_cb)(struct mailbox *m, struct list *letters);
typedef void (*mailbox_close_cb)(struct mailbox *m);

struct mailbox {
    /* Loop thread only. */
    uv_async_t doorbell;
    mailbox_drain_cb drain;
    mailbox_close_cb on_closed;
    struct list left; /* by drain, for the next turn */
    bool is_rung, is_closing;

    /* Guarded by lock. */
    uv_mutex_t lock;
    struct list letters;
};

void mailbox_init(struct mailbox *m, uv_loop_t *loop, mailbox_drain_cb drain);
/* Nobody may post any more; letters that were not drained are dropped. on_closed (may be NULL) runs
 * later, and is the last to touch m. */
void mailbox_close(struct mailbox *m, mailbox_close_cb on_closed);
/* drain runs in a later turn, whether or not there are letters. Harmless when it is closed. */
void mailbox_ring(struct mailbox *m);
/* The letter is the mailbox's until drain gets it. */
void mailbox_post(struct mailbox *m, struct list *letter);
#endif
