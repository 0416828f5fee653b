/* Flushes log lines from a loop: before each wait for events, so that a turn's lines share a write,
 * and every LOG_PUMP_RETRY_MS while a slow reader leaves some over. Thread: loop. */
#ifndef ORDERLY_INFRA_OBSERVE_LOG_PUMP_H
#define ORDERLY_INFRA_OBSERVE_LOG_PUMP_H
#include "orderly/infra/observe/log_lines.h"
#include <uv.h>

#define LOG_PUMP_RETRY_MS 50

struct log_pump {
    struct log_lines *lines; /* borrowed */

    /* Log pump only. */
    uv_prepare_t prepare;
    uv_timer_t retry;
};

void log_pump_init(struct log_pump *p, uv_loop_t *loop, struct log_lines *lines);
/* p stays put until the loop has closed its handles. */
void log_pump_close(struct log_pump *p);
#endif
