/* Orders whose payments are outside, and a broker between the two that loses acknowledgements, takes
 * messages in whatever order it is let to, says them again, and brings nonsense; with a relay and an
 * inlet on an app on virtual time that crashes and whose commits are late. Whatever happens:
 *
 *   - the broker gets all that this server decided itself, nothing else, and of each lane in the order
 *     of the log;
 *   - what it brings is in the log once, however often it comes, poison too, and nothing is told to be
 *     durable that is not;
 *   - each order is settled, and charged or refunded once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../../src/app/app_private.h"
#include "orderly/app/event_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/infra/inbound/inlet.h"
#include "orderly/infra/virtual/payment_service.h"
#include "support/app_fixture.h"
#include "support/chance.h"

/* What a dead process held is leaked on purpose. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

#define STORIES 40
#define STEPS 400
#define ORDERS_MAX 12
#define WINDOW 8
#define ITEMS_MAX 6
#define TAKEN_MAX 8192
#define SAID_MAX 256
#define CALM_STEPS_MAX 20000

/* In the relay's hands. */
struct flight {
    struct delivery *d;
    bool is_taken; /* the broker has it, and has not said so */
};

/* What the payment service says; the broker has it until it is acknowledged. */
struct said {
    char id[PAYMENT_WORD_ID_MAX], topic[32];
    struct buf body;
    enum { SAID_WAITS, SAID_GIVEN, SAID_ACKED } state;
    bool is_poison;
    bool was_durable;
};

struct world {
    struct app_fixture f;
    struct chance chance;
    struct payment_service service;
    struct relay relay;
    struct inbound_reader reader;
    struct inlet *inlet;
    struct flight air[WINDOW];
    unsigned n_air;
    /* The broker, which survives: positions in the order in which it took them. */
    uint64_t taken[TAKEN_MAX];
    unsigned n_taken;
    struct said said[SAID_MAX];
    unsigned n_said, n_poison, n_charges, n_refunds, n_given;
    struct order_id orders[ORDERS_MAX];
    unsigned n_orders, n_crashes, n_lost, n_refused;
    bool is_calm;
};

static struct world world;

static unsigned draw(struct world *w, unsigned n)
{
    return (unsigned)chance_below(&w->chance, n);
}

/* ---- the payment service --------------------------------------------------------------------- */

static struct said *say(struct world *w, const char *id, const char *topic)
{
    struct said *s;

    for (unsigned i = 0; i < w->n_said; i++)
        assert_string_not_equal(w->said[i].id, id); /* the service remembers */
    assert_true(w->n_said < SAID_MAX);
    s = &w->said[w->n_said++];
    *s = (struct said){ .state = SAID_WAITS };
    (void)snprintf(s->id, sizeof(s->id), "%s", id);
    (void)snprintf(s->topic, sizeof(s->topic), "%s", topic);
    return s;
}

/* One order in five is declined, whenever it is asked for. */
static void service_hears(struct world *w, const struct event *e)
{
    struct payment_word word;
    struct said *s;

    if (!payment_service_hear(&w->service, e,
                              e->p.order_id.u.b[15] % 5 == 0 ? PAYMENT_SERVICE_DECLINES
                                                             : PAYMENT_SERVICE_CHARGES,
                              &word))
        return;
    s = say(w, word.id, event_infos[word.type].topic.p);
    payment_word_body(&word, &s->body);
    w->n_charges += word.type == EVENT_PAYMENT_APPROVED || word.type == EVENT_PAYMENT_PROCESSED;
    w->n_refunds += word.type == EVENT_PAYMENT_REFUNDED;
}

/* ---- out ------------------------------------------------------------------------------------- */

static void on_handed(struct relay *r, struct delivery *d)
{
    struct world *w = &world;

    assert_ptr_equal(r, &w->relay);
    assert_true(w->n_air < WINDOW);
    assert_int_equal(d->message->event.message_id.n, 0);
    for (unsigned i = 0; i < w->n_air; i++) /* of each lane one at a time */
        assert_false(uuid_eq(w->air[i].d->message->event.lane.u, d->message->event.lane.u));
    w->air[w->n_air++] = (struct flight){ .d = d };
}

static void on_contexts_changed(struct relay *r)
{
    (void)r;
}

static struct delivery *land(struct world *w, unsigned i)
{
    struct delivery *d = w->air[i].d;

    w->air[i] = w->air[--w->n_air];
    return d;
}

static void broker_takes(struct world *w, unsigned i)
{
    const struct event *e = &w->air[i].d->message->event;

    w->air[i].is_taken = true;
    assert_true(w->n_taken < TAKEN_MAX);
    w->taken[w->n_taken++] = e->position;
    service_hears(w, e);
}

static bool is_of_a_cart(const struct delivery *d)
{
    return str_starts_with(d->message->topic, STR("cart."));
}

/* Whatever the broker and the connection can do to one message. */
static void flight_step(struct world *w)
{
    static const struct failure never = { .code = FAILURE_CODE_REFUSED_BY_BROKER,
                                          .detail = { "too large", 9 } };
    unsigned i;

    if (w->n_air == 0)
        return;
    i = draw(w, w->n_air);
    if (!w->air[i].is_taken && !w->is_calm && is_of_a_cart(w->air[i].d) && draw(w, 10) == 0) {
        w->n_refused++;
        delivery_failed(land(w, i), &never);
    } else if (!w->air[i].is_taken && !w->is_calm && draw(w, 30) == 0) {
        delivery_unavailable(land(w, i));
    } else if (!w->air[i].is_taken) {
        broker_takes(w, i);
    } else if (!w->is_calm && draw(w, 6) == 0) {
        w->n_lost++;
        w->air[i].is_taken = false; /* published again */
    } else {
        delivery_done(land(w, i));
    }
}

/* ---- in -------------------------------------------------------------------------------------- */

static void on_done(void *ctx, uint64_t handle, bool is_durable)
{
    struct world *w = ctx;
    struct said *s = &w->said[handle];

    assert_true(handle < w->n_said);
    assert_int_equal(s->state, SAID_GIVEN);
    s->was_durable |= is_durable;
    s->state = is_durable && (w->is_calm || draw(w, 5) > 0) ? SAID_ACKED : SAID_WAITS;
}

static void give_one(struct world *w)
{
    unsigned i = w->n_said ? draw(w, w->n_said) : 0;
    struct broker_delivery d;

    if (inlet_counts(w->inlet)->items == ITEMS_MAX)
        return;
    for (unsigned n = 0; n < w->n_said; n++, i = (i + 1) % w->n_said) {
        struct said *s = &w->said[i];

        if (s->state == SAID_GIVEN || (s->state == SAID_ACKED && (w->is_calm || draw(w, 8) > 0)))
            continue;
        s->state = SAID_GIVEN;
        w->n_given++;
        d = (struct broker_delivery){ .handle = i,
                                      .topic = str_of(s->topic),
                                      .body = buf_str(&s->body) };
        inlet_take(w->inlet, &d);
        return;
    }
}

static void say_nonsense(struct world *w)
{
    char id[PAYMENT_WORD_ID_MAX];
    struct buf body = { 0 };
    struct str topic;
    struct said *s;

    if (w->n_poison >= 20)
        return;
    payment_nonsense(draw(w, PAYMENT_NONSENSE_KINDS), w->n_poison++, id, &topic, &body);
    s = say(w, id, topic.p);
    s->body = body;
    s->is_poison = true;
}

/* ---- the process ----------------------------------------------------------------------------- */

static void before_start(struct app_fixture *f)
{
    struct world *w = container_of(f, struct world, f);
    const struct inlet_config config = { .app = f->app,
                                         .id = SUBSCRIPTION_NATS,
                                         .reader = &w->reader,
                                         .items_max = ITEMS_MAX,
                                         .done = on_done,
                                         .ctx = w };

    w->relay = (struct relay){ .id = SUBSCRIPTION_NATS,
                               .window = WINDOW,
                               .handle = on_handed,
                               .contexts_changed = on_contexts_changed };
    for (unsigned t = 0; t < EVENT_TYPE_COUNT; t++)
        w->relay.topics[t] = event_infos[t].topic.n > 0;
    app_add_relay(f->app, &w->relay);
    app_set_message_reader(f->app, &w->reader.base);
    w->inlet = inlet_create(&config);
}

static void crash(struct world *w)
{
    w->n_crashes++;
    w->n_air = 0;
    for (unsigned i = 0; i < w->n_said; i++)
        if (w->said[i].state == SAID_GIVEN)
            w->said[i].state = SAID_WAITS; /* the broker gives it to the next */
    w->f.is_store_held = false;
    app_fixture_crash(&w->f);
}

/* What waits to be committed is, or some of it: the process may end before the rest. */
static void commit_some(struct world *w)
{
    if (w->f.store.n_writes > 0)
        (void)store_virtual_run(&w->f.store, 1 + draw(w, w->f.store.n_writes));
}

/* A command of a person is answered before the next step, so the store is let go for it. */
static void somebody_does_something(struct world *w)
{
    struct app_fixture *f = &w->f;

    f->is_store_held = false;
    if (w->n_orders < ORDERS_MAX && draw(w, 2)) {
        assert_int_equal(an_order_of(f, draw(w, 2) ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST,
                                     "WIDGET-001", 1 + draw(w, 3), NULL),
                         REPLY_CREATED);
        w->orders[w->n_orders++] = f->order_id;
    } else if (w->n_orders > 0 && draw(w, 3) == 0) {
        f->order_id = w->orders[draw(w, w->n_orders)];
        (void)do_order(f, ORDER_INPUT_CANCEL, "no more");
    } else {
        assert_int_equal(a_cart(f), REPLY_CREATED);
        (void)an_item(f, "WIDGET-001", 1);
    }
}

static void step(struct world *w)
{
    struct app_fixture *f = &w->f;

    switch (draw(w, 16)) {
    case 0:
        somebody_does_something(w);
        break;
    case 1:
        if (draw(w, 4) == 0)
            crash(w);
        break;
    case 2:
        say_nonsense(w);
        break;
    case 3:
        f->is_store_held = !f->is_store_held;
        break;
    case 4:
    case 5:
        commit_some(w);
        break;
    case 6:
    case 7:
    case 8:
        give_one(w);
        break;
    case 9:
        /* No room for a letter, now and then: poison is held, and tried again. */
        app_bus(f->app)->dead_letters_max = draw(w, 2) ? 0 : 1000;
        break;
    case 10:
        app_fixture_pass_ms(f, draw(w, 400));
        break;
    default:
        flight_step(w);
        break;
    }
    if (draw(w, 3))
        app_fixture_pass_ms(f, 0);
}

static bool is_settled(struct world *w)
{
    for (unsigned i = 0; i < w->n_said; i++)
        if (w->said[i].state != SAID_ACKED)
            return false;
    if (w->n_air > 0 || subscription_lag(w->relay.subscription) > 0)
        return false;
    for (unsigned i = 0; i < w->n_orders; i++) {
        w->f.order_id = w->orders[i];
        if (!order_is_settled(the_order(&w->f)))
            return false;
    }
    return true;
}

static void calm(struct world *w)
{
    w->is_calm = true;
    w->f.is_store_held = false;
    app_bus(w->f.app)->dead_letters_max = 1000;
    for (unsigned n = 0; n < CALM_STEPS_MAX; n++) {
        flight_step(w);
        give_one(w);
        app_fixture_pass_ms(&w->f, 20);
        if (n % 64 == 0 && is_settled(w))
            return;
    }
    fail_msg("it does not come to rest");
}

/* ---- judging --------------------------------------------------------------------------------- */

struct look {
    struct store_read read;
    uint64_t position;
    struct arena arena;
    struct event e;
    enum err err;
};

static void look_run(struct store_read *r, const struct store_view *v)
{
    struct look *l = container_of(r, struct look, read);
    char key[8];
    struct str row;

    bytes_put_u64(key, l->position);
    l->err = store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, &l->arena, &row);
    if (l->err == ERR_OK)
        l->err = event_decode(row, l->position, &l->e, &l->arena);
}

static void look_done(struct store_read *r)
{
    (void)r;
}

static bool look(struct world *w, struct look *l, uint64_t position)
{
    arena_reset(&l->arena);
    l->read = (struct store_read){ .run = look_run, .done = look_done };
    l->position = position;
    assert_int_equal(store_read_start(&w->f.store.port, &l->read), ERR_OK);
    app_fixture_settle(&w->f);
    return l->err == ERR_OK;
}

#define EVENTS_MAX 4096

static void judge_what_left(struct world *w)
{
    static struct lane_id lanes[EVENTS_MAX];
    static bool is_wanted[EVENTS_MAX], is_taken[EVENTS_MAX], is_letter[EVENTS_MAX];
    struct look l = { 0 };
    uint64_t n = 1;

    memset(is_wanted, 0, sizeof(is_wanted));
    memset(is_taken, 0, sizeof(is_taken));
    memset(is_letter, 0, sizeof(is_letter));
    arena_init(&l.arena, NULL, 0);
    for (; look(w, &l, n); n++) {
        assert_true(n < EVENTS_MAX);
        lanes[n] = l.e.lane;
        is_wanted[n] = event_infos[l.e.type].topic.n > 0 && l.e.message_id.n == 0;
        if (l.e.type == EVENT_DEAD_LETTERED)
            is_letter[l.e.p.message_position] = true;
    }
    arena_deinit(&l.arena);
    for (unsigned i = 0; i < w->n_taken; i++) {
        uint64_t at = w->taken[i];

        assert_true(at < n);
        assert_true(is_wanted[at]);
        if (is_taken[at])
            continue;
        is_taken[at] = true;
        for (uint64_t before = 1; before < at; before++) /* nothing of its lane is overtaken */
            if (is_wanted[before] && !is_taken[before] && !is_letter[before] &&
                uuid_eq(lanes[before].u, lanes[at].u))
                fail_msg("%llu was taken before %llu", (unsigned long long)at,
                         (unsigned long long)before);
    }
    for (uint64_t at = 1; at < n; at++)
        if (is_wanted[at] && !is_taken[at] && !is_letter[at])
            fail_msg("%llu was never taken", (unsigned long long)at);
}

static void judge_what_came(struct world *w)
{
    struct app_fixture *f = &w->f;

    for (unsigned i = 0; i < w->n_said; i++)
        assert_true(w->said[i].was_durable);
    assert_int_equal(app_fixture_count_events(f, EVENT_MESSAGE_REFUSED), w->n_poison);
    assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_APPROVED) +
                         app_fixture_count_events(f, EVENT_PAYMENT_PROCESSED),
                     w->n_charges);
    assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_REFUNDED), w->n_refunds);
    assert_int_equal(app_fixture_count_events(f, EVENT_ORDER_REFUNDED), w->n_refunds);
}

static void a_story(uint64_t seed, unsigned *n_taken, unsigned *n_given)
{
    struct app_config config = app_fixture_config();
    struct world *w = &world;

    memset(w, 0, sizeof(*w));
    w->chance.state = seed;
    config.simulators.payments.enabled = false;
    inbound_reader_init(&w->reader);
    payment_service_init(&w->service, &(struct map_key){ { 1 } });
    app_fixture_init_with(&w->f, &config, before_start);
    for (unsigned i = 0; i < STEPS; i++)
        step(w);
    calm(w);
    judge_what_left(w);
    judge_what_came(w);
    *n_taken += w->n_taken;
    *n_given += w->n_given;
    app_fixture_deinit(&w->f);
    inlet_destroy(w->inlet);
    payment_service_deinit(&w->service);
    for (unsigned i = 0; i < w->n_said; i++)
        buf_deinit(&w->said[i].body);
}

static void nothing_is_lost_said_twice_or_overtaken_between_a_log_and_a_broker(void **state)
{
    struct chance chance = chance_init("relay");
    unsigned taken = 0, given = 0, charges = 0, refunds = 0, poison = 0, crashes = 0, lost = 0,
             refused = 0;

    (void)state;
    for (unsigned i = 0; i < STORIES; i++) {
        uint64_t seed = chance_next(&chance);

        print_message("story %u: seed %llu\n", i, (unsigned long long)seed);
        a_story(seed, &taken, &given);
        charges += world.n_charges;
        refunds += world.n_refunds;
        poison += world.n_poison;
        crashes += world.n_crashes;
        lost += world.n_lost;
        refused += world.n_refused;
    }
    print_message(
        "%u taken, %u given; %u charges, %u refunds, %u poison; %u crashes, %u acks lost, "
        "%u refused\n",
        taken, given, charges, refunds, poison, crashes, lost, refused);
    /* A story in which nothing happens shows nothing. */
    assert_true(charges > 0 && refunds > 0 && poison > 0 && crashes > STORIES && lost > 0 &&
                refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_said_twice_or_overtaken_between_a_log_and_a_broker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
