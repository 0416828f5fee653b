/* How long the loop was away from its events: one sample for each turn of the loop, the time that
 * it worked. An event that comes just when a turn begins waits this long until it is seen, so the
 * histogram is the worst that the loop itself adds to anything.
 *
 * Time spent waiting for events is not counted; libuv tells how much that was. Two readings of the
 * clock per turn. Thread: loop. */
#ifndef ORDERLY_INFRA_OBSERVE_LOOP_LAG_H
#define ORDERLY_INFRA_OBSERVE_LOOP_LAG_H
#include "orderly/app/metrics.h"
#include <uv.h>

struct loop_lag {
    struct histogram histogram; /* anybody on the loop thread may read it and reset its maximum */

    /* Loop lag only. */
    uv_prepare_t prepare;
    uint64_t last_ns, last_idle_ns;
};

/* Right after uv_loop_init, because libuv must be told before the loop runs. */
void loop_lag_init(struct loop_lag *l, uv_loop_t *loop);
/* l stays put until the loop has closed its handle. */
void loop_lag_close(struct loop_lag *l);
#endif
