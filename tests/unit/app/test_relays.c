/* Where a relay begins in the log, on virtual time: a relay of the test's own, whose broker takes what
 * it is told to. The processes end by crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../src/app/app_private.h"
#include "orderly/infra/observe/metrics_text.h"
#include "support/app_fixture.h"

/* What a dead process held is leaked on purpose. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

#define SEEN_MAX 64
#define CARTS 3

struct broker {
    struct relay relay;
    bool begins_now, takes; /* what it is handed */
    /* In the order in which it was handed over, by the present process. */
    uint64_t seen[SEEN_MAX];
    unsigned n_seen;
    struct delivery *handed[SEEN_MAX];
};

static struct broker broker;
static struct app_fixture fixture;

static void on_handed(struct relay *r, struct delivery *d)
{
    (void)r;
    assert_true(broker.n_seen < SEEN_MAX);
    broker.handed[broker.n_seen] = d;
    broker.seen[broker.n_seen++] = d->message->event.position;
    if (broker.takes)
        delivery_done(d);
}

static void on_contexts_changed(struct relay *r)
{
    (void)r;
}

static void add_relay(struct app_fixture *f)
{
    broker.relay = (struct relay){ .id = SUBSCRIPTION_KAFKA,
                                   .window = 16,
                                   .begins_now = broker.begins_now,
                                   .handle = on_handed,
                                   .contexts_changed = on_contexts_changed };
    for (unsigned t = 0; t < EVENT_TYPE_COUNT; t++)
        broker.relay.topics[t] = t == EVENT_CART_CREATED;
    broker.n_seen = 0;
    app_add_relay(f->app, &broker.relay);
}

static int setup(void **state)
{
    struct app_config config = app_fixture_config();

    memset(&broker, 0, sizeof(broker));
    broker.takes = true;
    app_fixture_init(&fixture, &config); /* no relay yet */
    *state = &fixture;
    return 0;
}

static int setup_with_relay_from_now(void **state)
{
    struct app_config config = app_fixture_config();

    memset(&broker, 0, sizeof(broker));
    broker.takes = broker.begins_now = true;
    app_fixture_init_with(&fixture, &config, add_relay);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    broker.takes = true;
    app_fixture_crash(*state); /* what it was handed and did not take is in nobody's hands */
    app_fixture_deinit(*state);
    return 0;
}

static uint64_t some_carts(struct app_fixture *f)
{
    uint64_t before = app_event_log(f->app)->durable_position;

    for (unsigned i = 0; i < CARTS; i++)
        assert_int_equal(a_cart(f), REPLY_CREATED);
    return before;
}

/* The next process, with a relay. */
static void start_with_relay(struct app_fixture *f)
{
    f->before_start = add_relay;
    app_fixture_crash(f);
    app_fixture_settle(f);
}

static void assert_seen(uint64_t after, unsigned n)
{
    assert_int_equal(broker.n_seen, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(broker.seen[i], after + 1 + i);
}

static void relay__that_is_new_begins_at_the_beginning_of_the_log(void **state)
{
    struct app_fixture *f = *state;
    uint64_t before = some_carts(f);

    start_with_relay(f);
    assert_seen(before, CARTS);
}

static void relay__may_begin_now(void **state)
{
    struct app_fixture *f = *state;
    uint64_t before;

    (void)some_carts(f);
    broker.begins_now = true;
    start_with_relay(f);
    assert_int_equal(broker.n_seen, 0);
    assert_int_equal(subscription_lag(broker.relay.subscription), 0);
    before = some_carts(f);
    app_fixture_settle(f);
    assert_seen(before, CARTS);
}

/* The broker has taken nothing when the process dies: what was said since the first start is told by the
 * next, and nothing older. */
static void relay__that_began_now_keeps_its_place_though_nothing_was_taken(void **state)
{
    struct app_fixture *f = *state;
    uint64_t before;

    (void)some_carts(f);
    broker.begins_now = true;
    broker.takes = false;
    start_with_relay(f);
    before = some_carts(f);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(broker.n_seen, CARTS);
    start_with_relay(f);
    assert_seen(before, CARTS);
    broker.takes = true;
    start_with_relay(f);
    assert_seen(before, CARTS);
    app_fixture_pass_ms(f, 1000);
    start_with_relay(f);
    assert_int_equal(broker.n_seen, 0);
}

static void relay__that_began_now_with_an_empty_log_has_all_of_it(void **state)
{
    struct app_fixture *f = *state;
    uint64_t before;

    broker.takes = false;
    before = some_carts(f); /* behind the fixture's product */
    start_with_relay(f);
    assert_seen(before, CARTS);
}

static void relay__with_a_place_goes_on_there_whatever_is_said_of_beginnings(void **state)
{
    struct app_fixture *f = *state;
    uint64_t before;

    (void)some_carts(f);
    start_with_relay(f);
    app_fixture_pass_ms(f, 1000); /* the cursor is written */
    f->before_start = NULL;
    app_fixture_crash(f); /* without a relay for a while */
    before = some_carts(f);
    broker.begins_now = true;
    start_with_relay(f);
    assert_seen(before, CARTS);
}

static void on_started(void *ctx, enum err status)
{
    *(enum err *)ctx = status;
}

/* A process that can't write down where it begins does not begin: the next would begin later. */
static void relay__does_not_begin_where_there_is_no_room_to_say_it(void **state)
{
    struct app_fixture *f = *state;
    struct manual_scheduler ms;
    struct store_virtual store;
    enum err status = ERR_BUSY; /* not yet */
    struct app_fixture next = *f;
    uint64_t before;

    (void)some_carts(f);
    manual_scheduler_init(&ms);
    store_virtual_init(&store, f->engine);
    store_virtual_fail_write(&store, 1, ERR_FULL);
    broker.begins_now = true;
    next.app = app_create(&f->config, &ms.scheduler, &store.port, &f->random.random, &f->log.log);
    add_relay(&next);
    app_start(next.app, on_started, &status);
    for (unsigned i = 0; i < 1000 && status == ERR_BUSY; i++) {
        (void)manual_scheduler_run_turn(&ms);
        (void)store_virtual_run(&store, 1000000);
        (void)store_virtual_run_reads(&store, 1000000);
        (void)manual_scheduler_run_alarm(&ms);
    }
    assert_int_equal(status, ERR_FULL);
    before = some_carts(f); /* by the process that there was */
    start_with_relay(f);
    assert_int_equal(broker.n_seen, 0);
    assert_true(app_event_log(f->app)->durable_position > before);
}

/* ---- how it gets on -------------------------------------------------------------------------- */

static void assert_progress(struct app_fixture *f, enum relay_progress progress, const char *reason)
{
    struct str why;

    assert_int_equal(relay_progress(&broker.relay), progress);
    assert_true(app_is_ready(f->app, &why)); /* no order waits for a broker */
    assert_true(str_eq(why, str_of(reason)));
}

static void assert_metric(struct app_fixture *f, const char *line)
{
    struct buf text = { NULL, 0, 0 };

    metrics_write_app(&text, f->app);
    buf_add(&text, "", 1);
    if (!strstr(text.p, line))
        fail_msg("no %s", line);
    buf_deinit(&text);
}

static void relay__that_catches_up_is_told_from_one_that_stands(void **state)
{
    struct app_fixture *f = *state;

    broker.takes = false;
    start_with_relay(f);
    app_fixture_pass_ms(f, 3600000);
    assert_progress(f, RELAY_CURRENT, ""); /* nothing waits */
    (void)some_carts(f);
    app_fixture_pass_ms(f, RELAY_LATE_MS - 1);
    assert_int_equal(broker.n_seen, CARTS);
    assert_progress(f, RELAY_CURRENT, "");
    app_fixture_pass_ms(f, 1);
    assert_progress(f, RELAY_STUCK, "relay_stuck");
    assert_metric(f, "\norderly_relay_stands_seconds{relay=\"kafka\"} 10\n");

    delivery_done(broker.handed[1]); /* the oldest waits on */
    assert_metric(f, "\norderly_relay_stands_seconds{relay=\"kafka\"} 0\n");
    assert_metric(f, "\norderly_subscription_oldest_seconds{subscription=\"kafka\"} 10\n");
    assert_progress(f, RELAY_BEHIND, "relay_behind");
    app_fixture_pass_ms(f, RELAY_LATE_MS - 1);
    assert_progress(f, RELAY_BEHIND, "relay_behind");
    app_fixture_pass_ms(f, 1);
    assert_progress(f, RELAY_STUCK, "relay_stuck");

    delivery_done(broker.handed[0]);
    delivery_done(broker.handed[2]);
    assert_progress(f, RELAY_CURRENT, "");
}

/* What waits in the log is as old as it is, though this process has read it just now. */
static void relay__of_a_new_process_is_as_far_behind_as_its_log_says(void **state)
{
    struct app_fixture *f = *state;

    (void)some_carts(f);
    app_fixture_pass_ms(f, RELAY_LATE_MS);
    broker.takes = false;
    start_with_relay(f);
    assert_int_equal(broker.n_seen, CARTS);
    assert_progress(f, RELAY_BEHIND, "relay_behind");
}

static void relay__that_has_a_reason_is_stuck_at_once(void **state)
{
    struct app_fixture *f = *state;

    start_with_relay(f);
    assert_progress(f, RELAY_CURRENT, "");
    (void)snprintf(broker.relay.why, sizeof(broker.relay.why), "it refuses connections");
    assert_progress(f, RELAY_STUCK, "relay_stuck");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(relay__that_is_new_begins_at_the_beginning_of_the_log),
        T(relay__may_begin_now),
        T(relay__that_began_now_keeps_its_place_though_nothing_was_taken),
        cmocka_unit_test_setup_teardown(relay__that_began_now_with_an_empty_log_has_all_of_it,
                                        setup_with_relay_from_now, teardown),
        T(relay__does_not_begin_where_there_is_no_room_to_say_it),
        T(relay__that_catches_up_is_told_from_one_that_stands),
        T(relay__of_a_new_process_is_as_far_behind_as_its_log_says),
        T(relay__that_has_a_reason_is_stuck_at_once),
        T(relay__with_a_place_goes_on_there_whatever_is_said_of_beginnings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
