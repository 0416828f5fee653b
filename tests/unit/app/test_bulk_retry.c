/* Retry of many dead letters: what is counted, at what pace they follow, and where it ends. */
#include "../../../src/app/app_private.h"
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct app_fixture world;

/* A process that is killed frees nothing. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static int setup(void **state)
{
    struct app_config config = app_fixture_config();

    config.retries = 0;
    app_fixture_init(&world, &config);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    app_fixture_deinit(*state);
    return 0;
}

static void poison_payments(struct app_fixture *f, double rate)
{
    struct simulators s = simulators_default;

    s.payments.poison_rate = rate;
    assert_int_equal(set_simulators(f, SIMULATOR_PAYMENTS, &s), REPLY_OK);
}

static void park(struct app_fixture *f, unsigned n)
{
    poison_payments(f, 1.0);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
    app_fixture_pass_ms(f, 5000);
    poison_payments(f, 0);
}

static enum reply_code retry_many(struct app_fixture *f, struct bulk_retry b)
{
    struct command keyed = b.command;

    b.command = app_fixture_command(f);
    b.command.user_id = STR("operator-1");
    b.command.has_key = keyed.has_key;
    b.command.key = keyed.key;
    if (!b.per_second)
        b.per_second = BULK_PER_SECOND_DEFAULT;
    if (!b.filter.states)
        b.filter.states = 1u << DEAD_LETTER_PARKED | 1u << DEAD_LETTER_OPEN;
    bulk_retry_start(&b);
    app_fixture_settle(f);
    REQUIRE(f->is_done);
    return f->code;
}

static unsigned n_retried(struct app_fixture *f)
{
    return app_fixture_count_events(f, EVENT_DEAD_LETTER_RETRIED);
}

static void a_dry_run_counts_and_changes_nothing(void **state)
{
    struct app_fixture *f = *state;

    park(f, 5);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .is_dry_run = true }), REPLY_OK);
    assert_int_equal(f->bulk_matched, 5);
    assert_int_equal(
        retry_many(f, (struct bulk_retry){ .is_dry_run = true,
                                           .filter.subscription = SUBSCRIPTION_ORDERS }),
        REPLY_OK);
    assert_int_equal(f->bulk_matched, 0);
    app_fixture_pass_ms(f, 5000);
    assert_int_equal(n_retried(f), 0);
    assert_int_equal(app_bus(f->app)->n_dead_letters_open, 5);
}

static void a_count_takes_as_many_reads_as_it_needs(void **state)
{
    struct app_fixture *f = *state;

    park(f, 6);
    f->store.reads_are_late = true; /* one letter a read */
    assert_int_equal(retry_many(f, (struct bulk_retry){ .is_dry_run = true }), REPLY_OK);
    assert_int_equal(f->bulk_matched, 6);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 10000 }), REPLY_OK);
    app_fixture_pass_ms(f, 5000);
    f->store.reads_are_late = false;
    assert_int_equal(n_retried(f), 6);
}

static void the_letters_follow_at_their_pace(void **state)
{
    struct app_fixture *f = *state;

    park(f, 12);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 2 }), REPLY_OK);
    assert_int_equal(f->bulk_matched, 12);
    app_fixture_pass_ms(f, 40);
    assert_int_equal(n_retried(f), 1); /* the first at once */
    app_fixture_pass_ms(f, 1500);
    assert_in_range(n_retried(f), 3, 4);
    app_fixture_pass_ms(f, 2000);
    assert_in_range(n_retried(f), 7, 8);
    app_fixture_pass_ms(f, 4000);
    assert_int_equal(n_retried(f), 12);
    assert_int_equal(app_bus(f->app)->n_dead_letters_open, 0);
    assert_int_equal(app_fixture_count_events(f, EVENT_ORDER_SHIPPED), 12);
}

static void the_pace_is_no_debt(void **state)
{
    struct app_fixture *f = *state;

    park(f, 8);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    manual_scheduler_advance_us(&f->ms, 60 * 1000000); /* the process was stopped for a minute */
    app_fixture_pass_ms(f, 500);
    assert_in_range(n_retried(f), 2, 3);
}

static void a_fast_run_takes_more_than_one_page(void **state)
{
    struct app_fixture *f = *state;
    assert_int_equal(a_product(f, "GADGET-1", "5.00", 10000), REPLY_CREATED);
    poison_payments(f, 1.0);
    for (unsigned i = 0; i < BULK_PAGE_MAX + 10; i++)
        assert_int_equal(an_order(f, "GADGET-1", 1), REPLY_CREATED);
    app_fixture_pass_ms(f, 5000);
    poison_payments(f, 0);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = BULK_PER_SECOND_MAX }),
                     REPLY_OK);
    assert_int_equal(f->bulk_matched, BULK_PAGE_MAX + 10);
    assert_int_equal(f->bulk_shown, BULK_SHOWN_MAX);
    app_fixture_pass_ms(f, 3000);
    assert_int_equal(n_retried(f), BULK_PAGE_MAX + 10);
    assert_int_equal(app_fixture_count_events(f, EVENT_ORDER_SHIPPED), BULK_PAGE_MAX + 10);
}

static void one_run_at_a_time_and_then_the_next(void **state)
{
    struct app_fixture *f = *state;

    park(f, 3);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_RETRY_RUNNING);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .is_dry_run = true }), REPLY_OK);
    app_fixture_pass_ms(f, 5000);
    assert_int_equal(n_retried(f), 3);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
    assert_int_equal(f->bulk_matched, 0);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
}

/* It was asked to come again, so it may come with the same key. */
static void a_run_that_had_to_wait_for_another_keeps_its_key(void **state)
{
    struct app_fixture *f = *state;
    struct bulk_retry keyed = { .command.has_key = true, .command.key.b = { 1 }, .per_second = 1 };

    park(f, 2);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
    assert_int_equal(retry_many(f, keyed), REPLY_RETRY_RUNNING);
    app_fixture_pass_ms(f, 5000);
    assert_int_equal(retry_many(f, keyed), REPLY_OK);
    assert_int_equal(f->answer.status, 200);
}

/* Who is told that nothing was changed finds nothing changed. */
static void a_run_whose_answer_can_t_be_kept_does_not_begin(void **state)
{
    struct app_fixture *f = *state;
    struct bulk_retry keyed = { .command.has_key = true, .command.key.b = { 1 } };

    park(f, 2);
    store_virtual_fail_write(&f->store, 1, ERR_FULL);
    assert_int_equal(retry_many(f, keyed), REPLY_DISK_FULL);
    app_fixture_pass_ms(f, 10000);
    assert_int_equal(n_retried(f), 0);
    assert_int_equal(retry_many(f, keyed), REPLY_OK);
    app_fixture_pass_ms(f, 5000);
    assert_int_equal(n_retried(f), 2);
}

static void what_fails_again_is_left_for_the_next_run(void **state)
{
    struct app_fixture *f = *state;

    park(f, 4);
    poison_payments(f, 1.0);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 10 }), REPLY_OK);
    app_fixture_pass_ms(f, 20000);
    assert_int_equal(n_retried(f), 4);
    assert_int_equal(app_bus(f->app)->n_dead_letters_open, 4);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .is_dry_run = true }), REPLY_OK);
    assert_int_equal(f->bulk_matched, 4);
}

static void a_crash_ends_the_run_and_the_rest_is_open_as_before(void **state)
{
    struct app_fixture *f = *state;
    unsigned done;

    park(f, 6);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
    app_fixture_pass_ms(f, 2500);
    app_fixture_crash(f);
    app_fixture_pass_ms(f, 10000);
    done = n_retried(f);
    assert_in_range(done, 2, 4);
    assert_int_equal(app_bus(f->app)->n_dead_letters_open, 6 - done);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 100 }), REPLY_OK);
    assert_int_equal(f->bulk_matched, 6 - done);
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(app_bus(f->app)->n_dead_letters_open, 0);
}

static void a_letter_that_a_full_store_refused_is_tried_again(void **state)
{
    struct app_fixture *f = *state;

    park(f, 3);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
    store_virtual_fail_write(&f->store, 1, ERR_FULL);
    app_fixture_pass_ms(f, 10000);
    assert_int_equal(n_retried(f), 3);
    assert_int_equal(app_bus(f->app)->n_dead_letters_open, 0);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
}

static void a_letter_that_somebody_else_saw_to_is_passed_over(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_item *items;
    unsigned n;

    park(f, 3);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
    items = the_letters(f, &n);
    assert_int_equal(discard_letter(f, items[2].letter.id, true), REPLY_OK);
    app_fixture_pass_ms(f, 5000);
    assert_int_equal(n_retried(f), 2);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
}

/* teardown drains */
static void a_drain_does_not_wait_for_a_run(void **state)
{
    struct app_fixture *f = *state;
    int64_t began_us;

    park(f, 5);
    assert_int_equal(retry_many(f, (struct bulk_retry){ .per_second = 1 }), REPLY_OK);
    app_fixture_pass_ms(f, 1500);
    began_us = f->ms.now_us;
    store_virtual_fail_write(&f->store, 1, ERR_FULL); /* and one letter waits to be tried again */
    app_fixture_pass_ms(f, 500);
    app_fixture_deinit(f);
    assert_true(f->ms.now_us - began_us < 5 * 1000000);
    setup(state);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_dry_run_counts_and_changes_nothing),
        T(a_count_takes_as_many_reads_as_it_needs),
        T(the_letters_follow_at_their_pace),
        T(the_pace_is_no_debt),
        T(a_fast_run_takes_more_than_one_page),
        T(one_run_at_a_time_and_then_the_next),
        T(a_run_that_had_to_wait_for_another_keeps_its_key),
        T(a_run_whose_answer_can_t_be_kept_does_not_begin),
        T(what_fails_again_is_left_for_the_next_run),
        T(a_crash_ends_the_run_and_the_rest_is_open_as_before),
        T(a_letter_that_a_full_store_refused_is_tried_again),
        T(a_letter_that_somebody_else_saw_to_is_passed_over),
        T(a_drain_does_not_wait_for_a_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
