/* Letters from any thread to the loop thread.
 *
 * The uv_async handle is only a doorbell: libuv may fold many rings into one call, so each call
 * drains the whole box. The bell is rung inside the lock so that the last letter cannot be drained,
 * and the box closed, between the push and the ring.
 *
 * Order:  FIFO per posting thread. None against lanes of the bus.
 * Thread: mailbox_post from any thread, everything else on the loop thread. */
#ifndef ORDERLY_INFRA_LOOP_MAILBOX_H
#define ORDERLY_INFRA_LOOP_MAILBOX_H
#include "orderly/base/list.h"
#include <uv.h>

struct mailbox;

/* Must take every letter out of the list. */
typedef void (*mailbox_drain_cb)(struct mailbox *m, struct list *letters);
typedef void (*mailbox_close_cb)(struct mailbox *m);

struct mailbox {
    /* Loop thread only. */
    uv_async_t doorbell;
    mailbox_drain_cb drain;
    mailbox_close_cb on_closed;

    /* Guarded by lock. */
    uv_mutex_t lock;
    struct list letters;
};

void mailbox_init(struct mailbox *m, uv_loop_t *loop, mailbox_drain_cb drain);
/* Nobody may post any more; letters that were not drained are dropped. on_closed (may be NULL) runs
 * later, and is the last to touch m. */
void mailbox_close(struct mailbox *m, mailbox_close_cb on_closed);
/* The letter is the mailbox's until drain gets it. */
void mailbox_post(struct mailbox *m, struct list *letter);
#endif
