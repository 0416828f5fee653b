/* The timer wheel against the plainest model: a deadline for each node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../../src/infra/http/wheel.h"
#include "orderly/base/mem.h"

#define NODES 200

struct timer {
    struct wheel_node node;
    int64_t expected_ms; /* WHEEL_NEVER: not set */
    unsigned fired;
};

static struct http_wheel wheel;
static int64_t now_ms;

static void fire(struct wheel_node *n)
{
    struct timer *t = container_of(n, struct timer, node);

    assert_true(t->expected_ms <= now_ms);
    t->expected_ms = WHEEL_NEVER;
    t->fired++;
}

static void advance_to(int64_t ms)
{
    now_ms = ms;
    wheel_advance(&wheel, now_ms);
}

static void start(struct timer *timers, unsigned n, int64_t at_ms)
{
    now_ms = at_ms;
    wheel_init(&wheel, at_ms);
    for (unsigned i = 0; i < n; i++) {
        wheel_node_init(&timers[i].node, fire);
        timers[i].expected_ms = WHEEL_NEVER;
        timers[i].fired = 0;
    }
}

static void set(struct timer *t, int64_t ms)
{
    t->expected_ms = ms;
    wheel_set(&wheel, &t->node, ms);
}

static void wheel__fires_at_the_deadline_and_not_before(void **state)
{
    static const int64_t delays[] = { 0, 1, 63, 64, 65, 1000, 65535, 65536, 65537, 1000000 };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(delays); i++) {
        struct timer t;

        start(&t, 1, 12345);
        set(&t, 12345 + delays[i]);
        for (int64_t ms = 12346; ms < 12345 + delays[i]; ms += 97) {
            advance_to(ms);
            assert_int_equal(t.fired, 0);
        }
        advance_to(12345 + delays[i]);
        assert_int_equal(t.fired, 1);
        advance_to(12345 + delays[i] + 100000);
        assert_int_equal(t.fired, 1);
    }
}

static void wheel__lets_a_deadline_move_both_ways(void **state)
{
    struct timer t;

    (void)state;
    start(&t, 1, 0);
    set(&t, 1000);
    set(&t, 5000);
    advance_to(4999);
    assert_int_equal(t.fired, 0);
    set(&t, 9000);
    set(&t, 6000);
    advance_to(6000);
    assert_int_equal(t.fired, 1);
}

static void wheel__forgets_what_is_cleared_or_removed(void **state)
{
    struct timer timers[2];

    (void)state;
    start(timers, 2, 0);
    set(&timers[0], 100);
    set(&timers[1], 100);
    wheel_clear(&timers[0].node);
    wheel_remove(&timers[1].node);
    advance_to(200);
    assert_int_equal(timers[0].fired + timers[1].fired, 0);
    set(&timers[0], 300);
    advance_to(300);
    assert_int_equal(timers[0].fired, 1);
}

static void wheel__catches_up_after_a_long_sleep(void **state)
{
    struct timer timers[3];

    (void)state;
    start(timers, 3, 0);
    set(&timers[0], 10);
    set(&timers[1], 40000);
    set(&timers[2], 10000000);
    advance_to(9999999);
    assert_int_equal(timers[0].fired, 1);
    assert_int_equal(timers[1].fired, 1);
    assert_int_equal(timers[2].fired, 0);
    advance_to(10000000);
    assert_int_equal(timers[2].fired, 1);
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void wheel__agrees_with_a_list_of_deadlines(void **state)
{
    struct timer *timers = mem_zalloc(NODES * sizeof(*timers));
    unsigned seed = 77;

    (void)state;
    print_message("seed %u\n", seed);
    start(timers, NODES, 1000000);
    for (unsigned round = 0; round < 20000; round++) {
        struct timer *t = &timers[next_random(&seed) % NODES];

        switch (next_random(&seed) % 8) {
        case 0:
            wheel_clear(&t->node);
            t->expected_ms = WHEEL_NEVER;
            break;
        case 1:
            advance_to(now_ms + next_random(&seed) % 300);
            for (unsigned i = 0; i < NODES; i++)
                assert_true(timers[i].expected_ms > now_ms);
            break;
        case 2:
            wheel_remove(&t->node);
            t->expected_ms = WHEEL_NEVER;
            break;
        default:
            set(t, now_ms + 1 + next_random(&seed) % 100000);
            break;
        }
    }
    mem_free(timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wheel__fires_at_the_deadline_and_not_before),
        cmocka_unit_test(wheel__lets_a_deadline_move_both_ways),
        cmocka_unit_test(wheel__forgets_what_is_cleared_or_removed),
        cmocka_unit_test(wheel__catches_up_after_a_long_sleep),
        cmocka_unit_test(wheel__agrees_with_a_list_of_deadlines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
