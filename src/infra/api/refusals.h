/* Refusals under pressure are paced. A client that is told 503 at once asks again at once; with
 * thousands of them the refusing alone would take the loop's time, and least would be done when most
 * is asked for. So refusals leave oldest first, at most REFUSALS_PER_MS for each millisecond that
 * has passed: five thousand a second. What waits is bounded by the connections and their requests in
 * flight. Thread: loop. */
#ifndef ORDERLY_INFRA_API_REFUSALS_H
#define ORDERLY_INFRA_API_REFUSALS_H
#include "orderly/app/timers.h"
#include "orderly/base/list.h"

#define REFUSALS_TICK_MS 5
#define REFUSALS_PER_MS 5
#define REFUSALS_AT_ONCE 256 /* after a long turn of the loop */

struct call;

struct refusals {
    struct timers *timers;
    struct timer tick;
    int64_t ticked_us;
    struct list waiting; /* call.refusal */
};

void refusals_init(struct refusals *r, struct timers *timers);
void refusals_deinit(struct refusals *r);
/* The call is answered with 503 `overloaded`, never inside this call. */
void refusals_add(struct refusals *r, struct call *c);
#endif
