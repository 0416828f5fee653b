/* Loop lag counts what the loop worked, not what it waited; the log pump writes a turn's lines
 * before the loop waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "orderly/base/check.h"
#include "orderly/infra/observe/log_pump.h"
#include "orderly/infra/observe/loop_lag.h"
#include <unistd.h>

#define BUSY_MS 30
#define WAIT_MS 120

static void busy(uv_timer_t *timer)
{
    uint64_t end = uv_hrtime() + BUSY_MS * UINT64_C(1000000);

    while (uv_hrtime() < end)
        ;
    uv_close((uv_handle_t *)timer, NULL);
}

static void end(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
}

static void loop_lag__counts_work_and_not_waiting(void **state)
{
    struct loop_lag lag;
    uv_loop_t loop;
    uv_timer_t timer;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    loop_lag_init(&lag, &loop);
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, busy, WAIT_MS, 0), 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    /* The timer's turn is counted when the next one begins. */
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, end, 1, 0), 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_true(lag.histogram.n >= 2);
    assert_true(lag.histogram.max_us >= BUSY_MS * 1000);
    /* A machine under load may add to the work, but the wait itself is not in it. */
    assert_true(lag.histogram.counts[0] + lag.histogram.counts[1] < lag.histogram.n);
    loop_lag_close(&lag);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void log_pump__writes_what_a_turn_logged(void **state)
{
    struct log_lines lines;
    struct log_pump pump;
    uv_loop_t loop;
    uv_timer_t timer;
    char text[256];
    int fds[2];
    long n;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    log_lines_init(&lines, fds[1], LOG_INFO, NULL, NULL);
    log_pump_init(&pump, &loop, &lines);
    log_write(&lines.log, LOG_INFO, "one", NULL, 0);
    log_write(&lines.log, LOG_INFO, "two", NULL, 0);
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, end, 1, 0), 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    n = read(fds[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = 0;
    assert_non_null(strstr(text, "event=one\n"));
    assert_non_null(strstr(text, "event=two\n"));
    log_pump_close(&pump);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    log_lines_deinit(&lines);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loop_lag__counts_work_and_not_waiting),
        cmocka_unit_test(log_pump__writes_what_a_turn_logged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
