/* A turn: the exclusive right to decide on one aggregate. First come first served, taken by
 * commands, handlers and timers alike, held from load to durable; never while waiting for a retry,
 * a delay, a person or another turn. Not a lane (bus.h). Thread: loop. */
#ifndef ORDERLY_APP_TURN_H
#define ORDERLY_APP_TURN_H
#include "orderly/base/check.h"
#include "orderly/base/list.h"

#define TURN_COMMANDS_WAITING_MAX 64 /* commands that wait for one turn */

struct turn_wait;
typedef void (*turn_cb)(struct turn_wait *w);

struct turn_wait {
    struct list link;
    turn_cb granted;
    bool is_command;
};

struct turn {
    struct turn_wait *holder;
    struct list waiting;
    unsigned commands_waiting;
};

void turn_init(struct turn *t);
/* True: taken; granted runs inside this call when the turn is free, else later when it is handed
 * on. False: TURN_COMMANDS_WAITING_MAX commands wait already (only for is_command). */
MUST_CHECK bool turn_take(struct turn *t, struct turn_wait *w, turn_cb granted, bool is_command);
/* The holder gives it back; the next one's granted runs inside this call. */
void turn_give(struct turn *t, struct turn_wait *w);
static inline bool turn_is_idle(const struct turn *t)
{
    return t->holder == NULL && list_is_empty(&t->waiting);
}
#endif
