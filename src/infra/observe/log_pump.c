#include "orderly/infra/observe/log_pump.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"

/* The timer does nothing but let the loop come round to on_prepare. */
static void on_retry(uv_timer_t *timer)
{
    (void)timer;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct log_pump *p = container_of(prepare, struct log_pump, prepare);

    if (p->lines->n == 0)
        return;
    if (log_lines_flush(p->lines) && !uv_is_active((uv_handle_t *)&p->retry))
        ENSURE(uv_timer_start(&p->retry, on_retry, LOG_PUMP_RETRY_MS, 0) == 0);
}

void log_pump_init(struct log_pump *p, uv_loop_t *loop, struct log_lines *lines)
{
    *p = (struct log_pump){ .lines = lines };
    ENSURE(uv_prepare_init(loop, &p->prepare) == 0);
    ENSURE(uv_timer_init(loop, &p->retry) == 0);
    ENSURE(uv_prepare_start(&p->prepare, on_prepare) == 0);
    uv_unref((uv_handle_t *)&p->prepare);
    uv_unref((uv_handle_t *)&p->retry);
}

void log_pump_close(struct log_pump *p)
{
    uv_close((uv_handle_t *)&p->prepare, NULL);
    uv_close((uv_handle_t *)&p->retry, NULL);
}
