/* What a broker delivers to a server that ended in between. */
#include "inlet_fixture.h"

/* A crash leaks what the dead process held. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void poison__comes_again_after_a_crash_and_is_one_letter(void **state)
{
    struct post *p = *state;
    struct inlet *before = p->inlet;

    (void)deliver(p, "payment.declined", "poison");
    (void)deliver(p, "payment.declined", "poison"); /* while the first is on its way */
    app_fixture_pass_ms(&p->app, 10000);
    assert_int_equal(p->n_told, 2);
    assert_int_equal(refused(p), 1);
    app_fixture_crash(&p->app);
    assert_int_equal(app_bus(p->app.app)->n_dead_letters_open, 1);
    assert_int_equal(app_metrics(p->app.app)->dead_letters_open[SUBSCRIPTION_NATS], 1);
    open_inlet(p, 16);
    (void)deliver(p, "payment.declined", "poison");
    (void)deliver(p, "payment.declined", "other poison");
    app_fixture_pass_ms(&p->app, 10000);
    assert_int_equal(p->n_told, 4);
    assert_int_equal(refused(p), 2);
    assert_int_equal(app_bus(p->app.app)->n_dead_letters_open, 2);
    inlet_destroy(before);
}

static void a_refused_message__is_an_operators_without_its_relay(void **state)
{
    struct post *p = *state;
    struct inlet *before = p->inlet;
    struct dead_letter_id id;
    struct event message;
    struct arena a;

    arena_init(&a, NULL, 0);
    (void)deliver(p, "payment.declined", "poison");
    app_fixture_settle(&p->app);
    app_fixture_crash(&p->app); /* and nobody sets a reader */
    id = the_refused(p, 0, &message, &a).letter.id;
    assert_int_equal(retry_letter(&p->app, id, NULL), REPLY_ILLEGAL_STATE);
    assert_int_equal(discard_letter(&p->app, id, false), REPLY_OK);
    assert_int_equal(app_bus(p->app.app)->n_dead_letters_open, 0);
    open_inlet(p, 16);
    inlet_destroy(before);
    arena_deinit(&a);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(poison__comes_again_after_a_crash_and_is_one_letter),
        T(a_refused_message__is_an_operators_without_its_relay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
