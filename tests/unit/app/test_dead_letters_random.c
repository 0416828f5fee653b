/* Contexts that fail now and then, an operator who retries and discards what it meets, processes
 * that end at any commit, and a store that is full at times. Whatever comes: each context hears an
 * order's messages in their order, nothing has its effect twice or is a dead letter afterwards, and
 * the numbers of the letters are those of their rows. */
#include "orderly/app/event_codec.h"
#include "orderly/base/bytes.h"
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/chance.h"

#define ORDERS 8
#define STEPS 60
#define STORIES 60
#define EVENTS_MAX 4096

/* A process that is killed frees nothing. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

struct world {
    struct app_fixture f;
    struct chance chance;
    struct order_id orders[ORDERS];
    bool has_gap[ORDERS]; /* a message of it was discarded */
    unsigned n_orders, n_messages;
};

static unsigned draw(struct world *w, unsigned n)
{
    return (unsigned)chance_below(&w->chance, n);
}

/* ---- what is in the log ---------------------------------------------------------------------- */

struct log_read {
    struct store_read read;
    struct arena arena;
    struct event *events;
    unsigned n;
};

static void log_run(struct store_read *read, const struct store_view *v)
{
    struct log_read *r = container_of(read, struct log_read, read);
    char key[8];
    struct str row;

    for (;; r->n++) {
        bytes_put_u64(key, r->n + 1);
        if (store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, &r->arena, &row) != ERR_OK)
            return;
        REQUIRE(r->n < EVENTS_MAX);
        REQUIRE(event_decode(row, r->n + 1, &r->events[r->n], &r->arena) == ERR_OK);
    }
}

static void log_done(struct store_read *read)
{
    (void)read;
}

static uint64_t position_of(const struct log_read *r, struct event_id id)
{
    for (unsigned i = 0; i < r->n; i++)
        if (uuid_eq(r->events[i].id.u, id.u))
            return r->events[i].position;
    fail_msg("an event names a cause that is not in the log");
    return 0;
}

/* Later events of the same lane that the same subscription made. */
static void check_after(const struct log_read *r, unsigned at, uint64_t cause)
{
    const struct event *e = &r->events[at];
    bool is_letter = e->type == EVENT_DEAD_LETTERED;

    for (unsigned i = at + 1; i < r->n; i++) {
        const struct event *later = &r->events[i];
        uint64_t later_cause;

        if (later->handled_by != e->handled_by || !uuid_eq(later->lane.u, e->lane.u))
            continue;
        later_cause = position_of(r, later->cause);
        if (later_cause < cause)
            fail_msg("position %u was handled after position %u", (unsigned)later_cause,
                     (unsigned)cause);
        if (later_cause > cause || is_letter)
            continue;
        if (later->type == EVENT_DEAD_LETTERED)
            fail_msg("position %u was handled, and is a dead letter afterwards", (unsigned)cause);
        for (unsigned k = at + 1; k < i; k++) /* one append's events lie side by side */
            if (!uuid_eq(r->events[k].cause.u, e->cause.u))
                fail_msg("position %u was handled twice", (unsigned)cause);
    }
}

static void check_log(struct world *w)
{
    struct log_read r = { .read = { .run = log_run, .done = log_done } };

    arena_init(&r.arena, NULL, 0);
    r.events = arena_alloc(&r.arena, EVENTS_MAX * sizeof(*r.events));
    assert_int_equal(store_read_start(&w->f.store.port, &r.read), ERR_OK);
    app_fixture_settle(&w->f);
    for (unsigned i = 0; i < r.n; i++) {
        if (r.events[i].handled_by != SUBSCRIPTION_NONE)
            check_after(&r, i, position_of(&r, r.events[i].cause));
    }
    arena_deinit(&r.arena);
}

static void check_counters(struct world *w)
{
    struct bus *b = app_bus(w->f.app);
    uint64_t open[SUBSCRIPTION_COUNT] = { 0 }, parked[SUBSCRIPTION_COUNT] = { 0 }, all = 0;
    unsigned n;
    struct dead_letter_item *items = the_letters(&w->f, &n);

    for (unsigned i = 0; i < n; i++) {
        const struct dead_letter *d = &items[i].letter;

        open[d->subscription] += dead_letter_is_open(d);
        parked[d->subscription] += d->state == DEAD_LETTER_PARKED;
        all += dead_letter_is_open(d);
    }
    assert_int_equal(b->n_dead_letters_open, all);
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (!b->subscriptions[i])
            continue;
        assert_int_equal(b->subscriptions[i]->n_letters, open[i]);
        assert_int_equal(app_metrics(w->f.app)->dead_letters_open[i], open[i]);
        assert_int_equal(b->subscriptions[i]->n_parked, parked[i]);
        assert_true(b->subscriptions[i]->n_deferred >= parked[i]);
    }
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void place_one(struct world *w)
{
    if (w->n_orders == ORDERS)
        return;
    while (an_order_of(&w->f, draw(w, 2) ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST, "WIDGET-001", 1,
                       NULL) != REPLY_CREATED)
        app_fixture_pass_ms(&w->f, 1000);
    w->orders[w->n_orders++] = w->f.order_id;
}

static void change_one(struct world *w)
{
    w->f.order_id = w->orders[draw(w, w->n_orders)];
    if (draw(w, 3) == 0)
        (void)do_order(&w->f, ORDER_INPUT_CANCEL, "no");
    else
        (void)do_order(&w->f, ORDER_INPUT_PAY, NULL);
}

static void set_failures(struct world *w, bool is_fine)
{
    struct simulators s = simulators_default;
    enum reply_code code;

    if (!is_fine) {
        s.payments.poison_rate = draw(w, 2) ? 0.5 : 0;
        s.payments.fail_first = draw(w, 4);
        s.inventory.fail_first = draw(w, 4);
        s.shipments.fail_first = draw(w, 4);
    }
    for (unsigned i = 0; i < SIMULATOR_COUNT; i++) {
        do {
            code = set_simulators(&w->f, (enum simulator)i, &s);
            if (code != REPLY_OK)
                app_fixture_pass_ms(&w->f, 1000);
        } while (code != REPLY_OK);
    }
}

/* From outside, and wrong in one way or another. */
static void say_something_wrong(struct world *w)
{
    static const enum event_type types[] = { EVENT_SHIPMENT_DISPATCHED, EVENT_SHIPMENT_DELIVERED,
                                             EVENT_PAYMENT_APPROVED, EVENT_STOCK_RELEASED };
    char id[32];

    snprintf(id, sizeof(id), "m-%u", w->n_messages++);
    w->f.order_id = w->orders[draw(w, w->n_orders)];
    if (draw(w, 3) == 0)
        w->f.order_id.u.b[0] ^= 0x40; /* nobody's */
    (void)a_message(&w->f, types[draw(w, ARRAY_LEN(types))], id, draw(w, 2) ? "x-1" : "x-2",
                    draw(w, 2) ? "19.99" : "1.00");
}

static void note_gap(struct world *w, struct lane_id lane)
{
    for (unsigned i = 0; i < w->n_orders; i++)
        w->has_gap[i] |= uuid_eq(lane_of_order(w->orders[i]).u, lane.u);
}

static struct dead_letter_command redrives[2];
static struct arena redrive_arenas[2];

static void redrive_render(struct command *c, const struct reply *r)
{
    c->answer.status = reply_status(r->code);
}

static void redrive_done(struct command *c)
{
    (void)c;
}

/* Up to two commands on letters, often on the same one; the process may end under them. */
static void see_to_letters(struct world *w)
{
    unsigned n, commands = 1 + draw(w, 2);
    struct dead_letter_item *items = the_letters(&w->f, &n);
    const struct dead_letter *letter = n ? &items[draw(w, n)].letter : NULL;

    for (unsigned i = 0; letter && i < commands; i++) {
        arena_reset(&redrive_arenas[i]);
        redrives[i] = (struct dead_letter_command){
            .receive.command = { .app = w->f.app,
                                 .arena = &redrive_arenas[i],
                                 .render = redrive_render,
                                 .done = redrive_done },
            .id = letter->id,
            .is_discard = draw(w, 4) == 0,
            .is_forced = draw(w, 2),
            .reason = STR("no"),
        };
        if (redrives[i].is_discard)
            note_gap(w, letter->lane);
        dead_letter_command_start(&redrives[i]);
        if (draw(w, 2))
            letter = &items[draw(w, n)].letter;
    }
    if (draw(w, 3) == 0) {
        app_fixture_pass_commits(&w->f, draw(w, 6));
        app_fixture_crash(&w->f);
    }
    app_fixture_settle(&w->f);
}

static void step(struct world *w)
{
    switch (draw(w, 12)) {
    case 0:
    case 1:
        place_one(w);
        break;
    case 2:
        change_one(w);
        break;
    case 3:
        set_failures(w, false);
        break;
    case 4:
        say_something_wrong(w);
        break;
    case 5:
        store_virtual_fail_write(&w->f.store, 1 + draw(w, 6), ERR_FULL);
        break;
    case 6:
        app_fixture_pass_commits(&w->f, draw(w, 10));
        app_fixture_crash(&w->f);
        check_counters(w);
        break;
    case 7:
    case 8:
        app_fixture_pass_ms(&w->f, draw(w, 3000));
        break;
    default:
        see_to_letters(w);
        break;
    }
}

/* Everything is mended, and what is parked is retried until nothing is. */
static void mend(struct world *w)
{
    bool did = true;

    store_virtual_fail_write(&w->f.store, 1000000000, ERR_FULL);
    app_fixture_pass_ms(&w->f, 3000);
    set_failures(w, true);
    app_fixture_pass_ms(&w->f, 60000);
    while (did) {
        unsigned n;
        struct dead_letter_item *items = the_letters(&w->f, &n);
        struct dead_letter_id id = { 0 };

        did = false;
        for (unsigned i = 0; i < n && !did; i++) {
            did = items[i].letter.state == DEAD_LETTER_PARKED;
            id = items[i].letter.id;
        }
        if (did)
            assert_int_equal(retry_letter(&w->f, id, NULL), REPLY_OK);
        app_fixture_pass_ms(&w->f, 2000);
    }
    app_fixture_pass_ms(&w->f, 3600000); /* the payment deadlines too */
}

static void check_end(struct world *w)
{
    struct bus *b = app_bus(w->f.app);

    check_counters(w);
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (!b->subscriptions[i])
            continue;
        assert_int_equal(b->subscriptions[i]->n_deferred, 0);
        assert_int_equal(subscription_lag(b->subscriptions[i]), 0);
    }
    for (unsigned i = 0; i < w->n_orders; i++) {
        w->f.order_id = w->orders[i];
        if (!w->has_gap[i] && !order_is_final(the_order(&w->f)))
            assert_int_not_equal(order_legal_commands(the_order(&w->f)) & 1u << ORDER_INPUT_PAY,
                                 1u << ORDER_INPUT_PAY); /* it has come at least that far */
    }
}

static void one_story(uint64_t seed)
{
    static struct world w;
    struct app_config config = app_fixture_config();

    memset(&w, 0, sizeof(w));
    w.chance = (struct chance){ seed };
    config.retries = 1;
    app_fixture_init(&w.f, &config);
    place_one(&w);
    for (unsigned i = 0; i < STEPS; i++)
        step(&w);
    mend(&w);
    check_log(&w);
    check_end(&w);
    app_fixture_deinit(&w.f);
}

static void whatever_an_operator_does_every_context_hears_each_message_once_and_in_order(
    void **state)
{
    struct chance seeds = chance_init("dead letters");
    uint64_t seed = seeds.state; /* so that the seed of one story alone repeats it */

    (void)state;
    arena_init(&redrive_arenas[0], NULL, 0);
    arena_init(&redrive_arenas[1], NULL, 0);
    for (unsigned i = 0; i < STORIES; i++, seed++) {
        print_message("story of seed %llu\n", (unsigned long long)seed);
        one_story(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            whatever_an_operator_does_every_context_hears_each_message_once_and_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
