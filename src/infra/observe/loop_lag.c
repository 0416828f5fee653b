#include "orderly/infra/observe/loop_lag.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop_lag *l = container_of(prepare, struct loop_lag, prepare);
    uint64_t now_ns = uv_hrtime();
    uint64_t idle_ns = uv_metrics_idle_time(prepare->loop);
    uint64_t passed_ns = now_ns - l->last_ns;
    uint64_t waited_ns = idle_ns - l->last_idle_ns;

    /* The two clocks are read at slightly different moments. */
    histogram_add(&l->histogram,
                  passed_ns > waited_ns ? (int64_t)((passed_ns - waited_ns) / 1000) : 0);
    l->last_ns = now_ns;
    l->last_idle_ns = idle_ns;
}

void loop_lag_init(struct loop_lag *l, uv_loop_t *loop)
{
    *l = (struct loop_lag){ .last_ns = uv_hrtime() };
    /* ENOSYS would mean a libuv before 1.39, which the build refuses. */
    ENSURE(uv_loop_configure(loop, UV_METRICS_IDLE_TIME) == 0);
    ENSURE(uv_prepare_init(loop, &l->prepare) == 0);
    ENSURE(uv_prepare_start(&l->prepare, on_prepare) == 0);
    uv_unref((uv_handle_t *)&l->prepare);
}

void loop_lag_close(struct loop_lag *l)
{
    uv_close((uv_handle_t *)&l->prepare, NULL);
}
