/* The pace of a relay on a machine made of two numbers: how long an event waits when nothing is
 * published, and how many messages a second the broker can be given before that wait grows. */
#include "orderly/infra/relay/relay_pace.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BASE_US 2000.0
#define ORDERS 10000.0 /* events a second */
#define SLACK_PERCENT 25

struct machine {
    struct relay_pace pace;
    struct relay_pace_totals totals;
    double events;  /* a second */
    double base_us; /* that each waits, with nothing published */
    double room;    /* messages a second at which the wait is twice as long */
    double demand;  /* messages a second that there are to publish, and that a broker takes */
    int64_t now_ms;
};

static void start(struct machine *m)
{
    relay_pace_init(&m->pace, SLACK_PERCENT, m->now_ms, &m->totals);
}

static double published_now(const struct machine *m)
{
    return m->pace.limit && (double)m->pace.limit < m->demand ? (double)m->pace.limit : m->demand;
}

static void run(struct machine *m, int64_t ms)
{
    const double look_s = RELAY_PACE_LOOK_MS / 1000.0;

    for (int64_t end_ms = m->now_ms + ms; m->now_ms < end_ms;) {
        double published = published_now(m);
        double wait_us = m->base_us * (1.0 + published / m->room);

        m->totals.events += (uint64_t)(m->events * look_s);
        m->totals.waited_us += m->events * look_s * wait_us;
        m->totals.published += (uint64_t)(published * look_s);
        m->now_ms += RELAY_PACE_LOOK_MS;
        assert_true(relay_pace_look(&m->pace, m->now_ms, &m->totals));
    }
}

static struct machine busy_machine(void)
{
    return (struct machine){
        .events = ORDERS, .base_us = BASE_US, .room = 20000.0, .demand = 100000.0, .now_ms = 1000
    };
}

static void pace__is_free_where_nothing_is_appended(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    m.events = 0;
    start(&m);
    run(&m, 20000);
    assert_int_equal(m.pace.state, RELAY_PACE_FREE);
    assert_int_equal(m.pace.limit, 0);
}

static void pace__is_free_up_to_the_number_of_events_that_is_busy(void **state)
{
    struct machine below = busy_machine(), at = busy_machine();

    (void)state;
    below.events = RELAY_PACE_BUSY - 10; /* one less for each look */
    at.events = RELAY_PACE_BUSY;
    start(&below);
    start(&at);
    run(&below, 10000);
    run(&at, 1000);
    assert_int_equal(below.pace.state, RELAY_PACE_FREE);
    assert_int_not_equal(at.pace.state, RELAY_PACE_FREE);
}

static void pace__is_free_up_to_the_rate_that_can_t_be_what_disturbs(void **state)
{
    struct machine at = busy_machine(), above = busy_machine();

    (void)state;
    at.demand = RELAY_PACE_FROM;
    above.demand = RELAY_PACE_FROM + 10;
    start(&at);
    start(&above);
    run(&at, 10000);
    run(&above, 1000);
    assert_int_equal(at.pace.state, RELAY_PACE_FREE);
    assert_int_not_equal(above.pace.state, RELAY_PACE_FREE);
}

/* The most that leaves the wait within the slack, and a step beyond. */
static double most_published(const struct machine *m)
{
    return m->room * (SLACK_PERCENT / 100.0 + 50.0 / m->base_us) * 1.25;
}

static void pace__is_slowed_down_to_what_keeps_events_from_waiting_long(void **state)
{
    struct machine m = busy_machine();
    double sum = 0;
    int n = 0;

    (void)state;
    start(&m);
    run(&m, 10000);
    for (; n < 600; n++) { /* three probes, and what is between them */
        run(&m, RELAY_PACE_LOOK_MS);
        assert_true(published_now(&m) <= most_published(&m));
        sum += published_now(&m);
    }
    assert_true(sum / n > 3000.0); /* and makes use of it */
}

static void pace__leaves_a_least_rate_to_a_relay_that_costs_more_than_it_may(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    m.room = 100.0;
    start(&m);
    run(&m, 3000);
    for (int n = 0; n < 300; n++) {
        run(&m, RELAY_PACE_LOOK_MS);
        assert_true(m.pace.limit <= RELAY_PACE_MIN);
        assert_true(m.pace.state != RELAY_PACE_PACED || m.pace.limit == RELAY_PACE_MIN);
    }
}

static void pace__goes_by_the_slack_that_it_was_given(void **state)
{
    struct machine little = busy_machine(), much = busy_machine();

    (void)state;
    start(&little);
    start(&much);
    little.pace.slack_percent = 0;
    much.pace.slack_percent = 200;
    run(&little, 12000);
    run(&much, 12000);
    assert_true(little.pace.limit < 1000);
    assert_true(much.pace.limit > 25000);
}

/* Of four looks up to two: a disk that stalls by itself, or a neighbour. */
static void pace__is_not_slowed_down_by_single_looks_that_are_long(void **state)
{
    struct machine m = busy_machine();
    uint64_t limit;

    (void)state;
    m.room = 1e9;
    m.demand = 50000.0;
    start(&m);
    run(&m, 12000);
    limit = m.pace.limit;
    assert_true(limit >= 50000);
    for (int n = 0; n < 40; n++) {
        m.base_us = n % 4 < 2 ? BASE_US : 4 * BASE_US;
        run(&m, RELAY_PACE_LOOK_MS);
        assert_true(m.pace.limit >= limit || m.pace.state != RELAY_PACE_PACED);
    }
}

/* All that waits from a rush makes waits long that are measured while it is worked off. */
static void pace__mends_a_base_that_was_measured_too_long(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    m.base_us = 6 * BASE_US;
    start(&m);
    while (m.pace.state != RELAY_PACE_PACED)
        run(&m, RELAY_PACE_LOOK_MS);
    m.base_us = BASE_US;
    run(&m, 8000);
    assert_true(m.pace.base_us < 1.2 * BASE_US);
    assert_true(published_now(&m) <= 1.2 * most_published(&m));
}

static void pace__lets_everything_pass_where_the_machine_has_room(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    m.room = 1e9;
    m.demand = 50000.0;
    start(&m);
    run(&m, 12000);
    assert_int_equal(m.pace.state, RELAY_PACE_PACED);
    assert_true(m.pace.limit >= 50000);
}

static void pace__is_free_again_soon_after_the_last_order(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    start(&m);
    run(&m, 3000);
    assert_int_equal(m.pace.state, RELAY_PACE_PACED);
    m.events = 0;
    run(&m, (RELAY_PACE_QUIET_LOOKS - 1) * RELAY_PACE_LOOK_MS);
    assert_int_equal(m.pace.state, RELAY_PACE_PACED);
    run(&m, RELAY_PACE_LOOK_MS);
    assert_int_equal(m.pace.state, RELAY_PACE_FREE);
    assert_int_equal(m.pace.limit, 0);
}

static void pace__is_free_when_orders_end_while_it_is_probed(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    start(&m);
    while (m.pace.state != RELAY_PACE_PROBE)
        run(&m, RELAY_PACE_LOOK_MS);
    m.events = 0;
    run(&m, RELAY_PACE_LOOKS * RELAY_PACE_LOOK_MS);
    assert_int_equal(m.pace.state, RELAY_PACE_FREE);
}

/* A disk that takes longer than a look for a commit: in some looks nothing becomes durable, and what does
 * in the others has waited longer. */
static void pace__is_found_on_a_disk_that_is_slower_than_a_look(void **state)
{
    struct machine slow = busy_machine();
    int n_paced = 0;

    (void)state;
    slow.base_us = 150000.0;
    start(&slow);
    for (int n = 0; n < 600; n++) {
        slow.events = n % 3 == 1 ? 0 : 1.5 * ORDERS;
        run(&slow, RELAY_PACE_LOOK_MS);
        n_paced += slow.pace.state == RELAY_PACE_PACED;
    }
    assert_true(n_paced > 500);
}

/* A slower disk, or more orders: what an event waits without the relay is not the relay's fault. */
static void pace__finds_a_longer_wait_that_is_not_its_own(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    m.room = 1e9;
    m.demand = 50000.0;
    start(&m);
    run(&m, 12000);
    m.base_us *= 4;
    run(&m, 1500);
    assert_true(m.pace.limit < 50000); /* it may be the one */
    run(&m, RELAY_PACE_RUN_MS + 12000);
    assert_true(m.pace.limit >= 50000);
}

static void pace__slows_down_when_the_broker_begins_to_cost(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    m.room = 1e9;
    m.now_ms = 0;
    start(&m);
    run(&m, 14000);
    assert_true(m.pace.limit >= 100000);
    m.room = 5000.0;
    run(&m, 6000);
    assert_true(m.pace.limit <= 5000);
}

/* Each begins while those before it are at it, so that what it finds to be the base at first is wrong. At
 * the next probe all of them find it together. */
static void pace__of_several_relays_is_not_measured_by_what_the_others_cost(void **state)
{
    enum { RELAYS = 3, STEP_MS = 10 };
    const struct machine one = busy_machine();
    struct relay_pace pace[RELAYS];
    struct relay_pace_totals totals[RELAYS] = { { 0 } };
    const double step_s = STEP_MS / 1000.0;
    double least = 1e9, sum = 0;
    int n = 0;

    (void)state;
    for (int i = 0; i < RELAYS; i++)
        relay_pace_init(&pace[i], SLACK_PERCENT, i, &totals[i]);
    for (int64_t now_ms = 0; now_ms < 20 * RELAY_PACE_RUN_MS; now_ms += STEP_MS) {
        double published[RELAYS], all = 0, wait_us;

        for (int i = 0; i < RELAYS; i++) {
            published[i] = pace[i].limit ? (double)pace[i].limit : one.demand;
            if (published[i] > one.demand)
                published[i] = one.demand;
            if (now_ms < i * INT64_C(3300))
                published[i] = 0;
            all += published[i];
        }
        wait_us = one.base_us * (1.0 + all / one.room);
        for (int i = 0; i < RELAYS; i++) {
            totals[i].events += (uint64_t)(one.events * step_s);
            totals[i].waited_us += one.events * step_s * wait_us;
            totals[i].published += (uint64_t)(published[i] * step_s);
            (void)relay_pace_look(&pace[i], now_ms + STEP_MS + i, &totals[i]);
        }
        if (now_ms >= 4 * RELAY_PACE_RUN_MS) {
            sum += wait_us;
            n++;
            least = wait_us < least ? wait_us : least;
        }
    }
    /* The base, with slack and a step for each. */
    assert_true(sum / n < one.base_us * 2);
    assert_true(least < one.base_us * 1.4);
}

static void pace__probes_at_the_same_time_whenever_it_began(void **state)
{
    (void)state;
    for (int64_t began_ms = 0; began_ms < RELAY_PACE_RUN_MS; began_ms += 700) {
        struct machine m = busy_machine();

        m.now_ms = began_ms;
        start(&m);
        while (m.pace.state != RELAY_PACE_PACED)
            run(&m, RELAY_PACE_LOOK_MS);
        assert_int_equal(m.pace.run_until_ms % RELAY_PACE_RUN_MS, 0);
        assert_in_range(m.pace.run_until_ms - m.now_ms, RELAY_PACE_RUN_MS / 2,
                        RELAY_PACE_RUN_MS + RELAY_PACE_RUN_MS / 2 - 1);
        while (m.pace.state == RELAY_PACE_PACED)
            run(&m, RELAY_PACE_LOOK_MS);
        assert_in_range(m.now_ms % RELAY_PACE_RUN_MS, 0, RELAY_PACE_LOOK_MS - 1);
    }
}

static void pace__looks_no_more_often_than_it_says(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    start(&m);
    assert_false(relay_pace_look(&m.pace, m.now_ms + RELAY_PACE_LOOK_MS - 1, &m.totals));
    assert_true(relay_pace_look(&m.pace, m.now_ms + RELAY_PACE_LOOK_MS, &m.totals));
}

/* 90,000 events a second and a free relay: for a whole look orders would wait for what it publishes. */
static void pace__does_not_wait_for_the_end_of_a_look_when_a_rush_begins(void **state)
{
    struct machine m = busy_machine();

    (void)state;
    start(&m);
    m.totals.published = 400;
    m.totals.waited_us = RELAY_PACE_RUSH * BASE_US;
    m.totals.events = RELAY_PACE_RUSH - 1;
    assert_false(relay_pace_look(&m.pace, m.now_ms + 10, &m.totals));
    m.totals.events = RELAY_PACE_RUSH;
    assert_true(relay_pace_look(&m.pace, m.now_ms + 10, &m.totals));
    assert_int_equal(m.pace.state, RELAY_PACE_SETTLE);
    assert_int_equal(m.pace.limit, RELAY_PACE_STILL);
    m.totals.events += RELAY_PACE_RUSH; /* and then only in its time */
    assert_false(relay_pace_look(&m.pace, m.now_ms + 20, &m.totals));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pace__is_free_where_nothing_is_appended),
        cmocka_unit_test(pace__is_free_up_to_the_number_of_events_that_is_busy),
        cmocka_unit_test(pace__is_free_up_to_the_rate_that_can_t_be_what_disturbs),
        cmocka_unit_test(pace__is_slowed_down_to_what_keeps_events_from_waiting_long),
        cmocka_unit_test(pace__leaves_a_least_rate_to_a_relay_that_costs_more_than_it_may),
        cmocka_unit_test(pace__goes_by_the_slack_that_it_was_given),
        cmocka_unit_test(pace__is_not_slowed_down_by_single_looks_that_are_long),
        cmocka_unit_test(pace__mends_a_base_that_was_measured_too_long),
        cmocka_unit_test(pace__lets_everything_pass_where_the_machine_has_room),
        cmocka_unit_test(pace__is_free_again_soon_after_the_last_order),
        cmocka_unit_test(pace__is_free_when_orders_end_while_it_is_probed),
        cmocka_unit_test(pace__is_found_on_a_disk_that_is_slower_than_a_look),
        cmocka_unit_test(pace__finds_a_longer_wait_that_is_not_its_own),
        cmocka_unit_test(pace__slows_down_when_the_broker_begins_to_cost),
        cmocka_unit_test(pace__of_several_relays_is_not_measured_by_what_the_others_cost),
        cmocka_unit_test(pace__probes_at_the_same_time_whenever_it_began),
        cmocka_unit_test(pace__looks_no_more_often_than_it_says),
        cmocka_unit_test(pace__does_not_wait_for_the_end_of_a_look_when_a_rush_begins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
