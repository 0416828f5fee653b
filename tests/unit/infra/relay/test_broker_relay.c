/* A relay with a broker that does as it is told: the real bus, log and loop, memory as the store, and
 * an adapter in the test's hands. Waiting is for something to happen, with a deadline of a minute. */
#include "../../../../src/app/app_private.h"
#include "../../../../src/infra/relay/relay_private.h"
#include "orderly/base/mem.h"
#include "orderly/infra/loop/random_sodium.h"
#include "orderly/infra/loop/scheduler_uv.h"
#include "orderly/infra/relay/broker_relay.h"
#include "orderly/infra/store/memory.h"
#include "orderly/infra/store/store_thread.h"
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define WAIT_MS 60000
#define WINDOW 8
#define SEEN_MAX 4096
#define UNACKED_MAX 1024
#define LONG_BYTES (256u << 10)
#define ORIGIN "0f00" /* of the world's log */

/* What the broker was given, and how it answers; everything under the lock. */
struct scripted_broker {
    struct broker broker;
    struct broker_host *host;
    uv_mutex_t lock;
    bool is_away;      /* connect fails; a connection that there is, is lost */
    bool is_slow;      /* a connect does not come back while it is */
    bool is_silent;    /* publishes are not answered */
    bool is_full;      /* publish says busy */
    bool is_blocked;   /* it says that it takes nothing, and answers nothing */
    unsigned again;    /* so many are not taken */
    const char *never; /* this topic is refused; NULL: none is */
    /* What it has, in the order in which it took it. */
    struct {
        char key[64], topic[64], id[64];
        uint64_t position;
        unsigned turn;
    } seen[SEEN_MAX];
    unsigned n_seen, n_published, n_connects, n_disconnects, n_while_blocked;
    unsigned most_unanswered, n_slow;
    unsigned says;          /* so many messages come in, of handles from 1 */
    const char *origins[2]; /* of these in turn; NULL: says none */
    unsigned says_long;     /* the same, as long as may be, where there is room */
    bool was_full;          /* there was none */
    size_t most_held;
    unsigned n_said, n_acked;                 /* of these */
    unsigned refuses_to_be_made, n_made;      /* an adapter is not made so many times */
    unsigned n_refused_to_be_made, n_listens; /* of the last one that was */
    /* Its thread only. */
    struct {
        uint64_t tag;
        unsigned seen; /* index; what is not taken has none */
        enum { ANSWER_ACK, ANSWER_AGAIN } how;
    } waiting[RELAY_WINDOW_MAX];
    unsigned n_waiting, n_turns;
    bool is_block_told;
};

static struct scripted_broker *the_broker;

static struct scripted_broker *scripted(struct broker *b)
{
    return container_of(b, struct scripted_broker, broker);
}

static void broker_destroy(struct broker *b)
{
    (void)b;
}

static enum broker_result broker_connect(struct broker *b, int timeout_ms)
{
    struct scripted_broker *s = scripted(b);
    bool is_away;

    (void)timeout_ms;
    s->is_block_told = false;
    uv_mutex_lock(&s->lock);
    while (s->is_slow) {
        s->n_slow++;
        uv_mutex_unlock(&s->lock);
        (void)poll(NULL, 0, 1);
        uv_mutex_lock(&s->lock);
    }
    is_away = s->is_away;
    s->n_connects += !is_away;
    uv_mutex_unlock(&s->lock);
    if (is_away)
        (void)snprintf(b->why, sizeof(b->why), "connection refused");
    return is_away ? BROKER_LOST : BROKER_OK;
}

static void copy(char out[64], struct str text)
{
    (void)snprintf(out, 64, STR_FMT, STR_ARG(text));
}

static uint64_t position_of(struct str body)
{
    const char *at = memmem(body.p, body.n, "\"position\":", 11);

    return at ? strtoull(at + 11, NULL, 10) : 0;
}

static enum broker_result broker_publish(struct broker *b, const struct broker_message *m)
{
    struct scripted_broker *s = scripted(b);
    enum broker_result result = BROKER_OK;

    uv_mutex_lock(&s->lock);
    if (s->is_away) {
        (void)snprintf(b->why, sizeof(b->why), "connection reset");
        result = BROKER_LOST;
    } else if (s->is_full || s->is_block_told) {
        s->n_while_blocked += s->is_block_told;
        result = BROKER_BUSY;
    } else if (s->never && str_eq(m->topic, str_of(s->never))) {
        (void)snprintf(b->why, sizeof(b->why), "too large");
        result = BROKER_REFUSED;
    } else {
        unsigned i = s->n_waiting++;

        s->waiting[i].tag = m->tag;
        s->waiting[i].how = s->again ? ANSWER_AGAIN : ANSWER_ACK;
        s->n_published++;
        if (s->again) {
            s->again--;
        } else {
            assert_true(s->n_seen < SEEN_MAX);
            copy(s->seen[s->n_seen].key, m->key);
            copy(s->seen[s->n_seen].topic, m->topic);
            copy(s->seen[s->n_seen].id, m->id);
            s->seen[s->n_seen].turn = s->n_turns;
            s->seen[s->n_seen++].position = position_of(m->body);
        }
        if (s->n_waiting > s->most_unanswered)
            s->most_unanswered = s->n_waiting;
    }
    uv_mutex_unlock(&s->lock);
    return result;
}

static enum broker_result broker_ack(struct broker *b, uint64_t handle)
{
    struct scripted_broker *s = scripted(b);

    assert_true(handle > 0);
    uv_mutex_lock(&s->lock);
    s->n_acked++;
    uv_mutex_unlock(&s->lock);
    return BROKER_OK;
}

/* All of them at once. */
static void say_messages(struct scripted_broker *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const char *origin = s->origins[i % ARRAY_LEN(s->origins)];
        char body[160];
        int length = snprintf(body, sizeof(body),
                              "{\"messageId\":\"m-%u\",\"payload\":{\"orderId\":\"o-%u\","
                              "\"reason\":\"no\"}}",
                              i, i);
        const struct broker_delivery d = { .handle = i + 1,
                                           .topic = STR("payment.declined"),
                                           .id = STR("m"),
                                           .origin = origin ? str_of(origin) : STR_NONE,
                                           .body = { body, (size_t)length } };

        s->host->received(s->host, &d);
    }
    uv_mutex_lock(&s->lock);
    s->n_said += n;
    uv_mutex_unlock(&s->lock);
}

static void say_long_messages(struct scripted_broker *s)
{
    struct broker_relay *r = container_of(s->host, struct broker_relay, host);

    uv_mutex_lock(&s->lock);
    while (s->says_long && s->host->room(s->host) > 0) {
        char head[160];
        char *body = mem_alloc(LONG_BYTES);
        int n = snprintf(head, sizeof(head),
                         "{\"messageId\":\"l-%u\",\"payload\":{\"orderId\":\"o-%u\","
                         "\"reason\":\"no\"}}",
                         s->n_said, s->n_said);
        const struct broker_delivery d = { .handle = s->n_said + 1,
                                           .topic = STR("payment.declined"),
                                           .body = { body, LONG_BYTES } };

        memset(body, ' ', LONG_BYTES);
        memcpy(body, head, (size_t)n);
        s->host->received(s->host, &d);
        mem_free(body);
        s->n_said++;
        s->says_long--;
        if (atomic_load(&r->held) > s->most_held)
            s->most_held = atomic_load(&r->held);
    }
    s->was_full |= s->says_long > 0;
    uv_mutex_unlock(&s->lock);
}

static enum broker_result broker_serve(struct broker *b, int wake_fd, int wait_ms)
{
    struct scripted_broker *s = scripted(b);
    struct pollfd wake = { .fd = wake_fd, .events = POLLIN };
    unsigned n = 0, says;
    bool is_blocked;

    s->n_turns++;
    uv_mutex_lock(&s->lock);
    if (s->is_away) {
        uv_mutex_unlock(&s->lock);
        (void)snprintf(b->why, sizeof(b->why), "connection reset");
        return BROKER_LOST;
    }
    is_blocked = s->is_blocked;
    if (!s->is_silent && !is_blocked)
        n = s->n_waiting;
    says = s->says;
    s->says = 0;
    uv_mutex_unlock(&s->lock);
    say_messages(s, says);
    say_long_messages(s);
    if (is_blocked != s->is_block_told) {
        s->is_block_told = is_blocked;
        s->host->blocked(s->host, is_blocked ? STR("low on disk") : STR_NONE);
        return BROKER_OK;
    }
    for (unsigned i = 0; i < n; i++) {
        if (s->waiting[i].how == ANSWER_ACK)
            s->host->acked(s->host, s->waiting[i].tag);
        else
            s->host->again(s->host, s->waiting[i].tag, STR("no room"));
    }
    if (n) {
        s->n_waiting = 0;
        return BROKER_OK;
    }
    (void)poll(&wake, 1, wait_ms < 5 ? wait_ms : 5); /* the script is looked at again soon */
    return BROKER_OK;
}

static void broker_stop_receiving(struct broker *b)
{
    (void)b;
}

static void broker_disconnect(struct broker *b)
{
    struct scripted_broker *s = scripted(b);

    s->n_waiting = 0;
    uv_mutex_lock(&s->lock);
    s->n_disconnects++;
    uv_mutex_unlock(&s->lock);
}

static struct broker *broker_make(const struct broker_config *config, struct broker_host *host,
                                  char *why)
{
    static const struct broker_ops ops = {
        broker_destroy, broker_connect,        broker_publish,    broker_ack,
        broker_serve,   broker_stop_receiving, broker_disconnect,
    };

    bool is_refused;

    uv_mutex_lock(&the_broker->lock);
    is_refused = the_broker->refuses_to_be_made > 0;
    if (is_refused) {
        the_broker->refuses_to_be_made--;
        the_broker->n_refused_to_be_made++;
        (void)snprintf(why, BROKER_WHY_MAX, "no memory");
    } else {
        the_broker->n_made++;
        the_broker->n_listens = config->n_listens;
    }
    uv_mutex_unlock(&the_broker->lock);
    if (is_refused)
        return NULL;
    the_broker->broker.ops = &ops;
    the_broker->host = host;
    return &the_broker->broker;
}

static const struct broker_module scripted_module = {
    .abi = BROKER_ABI,
    .name = "nats",
    .schemes = "nats",
    .library = "none",
    .attribute_prefix = "ce-",
    .create = broker_make,
};

/* ---- the server around it -------------------------------------------------------------------- */

struct world {
    uv_loop_t loop;
    uv_timer_t ticks;
    struct scheduler_uv scheduler;
    struct random_sodium random;
    struct engine *engine;
    struct store_thread *store;
    struct app *app;
    struct log log;
    struct inbound_reader reader;
    struct broker_relay *relay;
    bool topics[EVENT_TYPE_COUNT];
    struct arena arena;
    bool is_ready, is_answered, is_drained, is_relay_closed, is_closed;
    bool is_threadless; /* as where the system has no thread for the relay */
    uint64_t deadline_ms;
    bool (*reached)(struct world *w);
    unsigned wanted, in_the_air;
    uint64_t settled_wanted;
    char lines[4096]; /* names of log lines */
};

static void quiet(struct log *l, enum log_level level, const char *event,
                  const struct log_field *fields, unsigned n_fields)
{
    struct world *w = container_of(l, struct world, log);
    size_t n = strlen(w->lines);

    (void)level;
    (void)fields;
    (void)n_fields;
    (void)snprintf(w->lines + n, sizeof(w->lines) - n, "%s ", event);
}

static void on_tick(uv_timer_t *t)
{
    struct world *w = t->data;

    if (w->reached && w->reached(w)) {
        uv_stop(&w->loop);
    } else if (uv_hrtime() / 1000000 > w->deadline_ms) {
        (void)fprintf(stderr, "not within a minute; log: %s\n", w->lines);
        uv_stop(&w->loop);
    }
}

static void run_until(struct world *w, bool (*reached)(struct world *w))
{
    w->reached = reached;
    w->deadline_ms = uv_hrtime() / 1000000 + WAIT_MS;
    assert_int_equal(uv_timer_start(&w->ticks, on_tick, 0, 1), 0);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    w->reached = NULL;
    assert_true(reached(w));
}

static void on_ready(void *ctx, enum err status)
{
    struct world *w = ctx;

    assert_int_equal(status, ERR_OK);
    w->is_ready = true;
}
static bool is_ready(struct world *w)
{
    return w->is_ready;
}
static bool is_answered(struct world *w)
{
    return w->is_answered;
}
static bool is_drained(struct world *w)
{
    return w->is_drained;
}
static bool is_relay_closed(struct world *w)
{
    return w->is_relay_closed;
}
static void on_drained(void *ctx)
{
    ((struct world *)ctx)->is_drained = true;
}
static void on_relay_closed(void *ctx)
{
    ((struct world *)ctx)->is_relay_closed = true;
}
static void on_fatal(void *ctx, enum err why)
{
    (void)ctx;
    (void)why;
    fail();
}
static void on_store_closed(void *ctx)
{
    struct world *w = ctx;

    scheduler_uv_close(&w->scheduler, NULL);
    uv_close((uv_handle_t *)&w->ticks, NULL);
}

static void build(struct world *w)
{
    struct app_config config = app_config_default;
    struct broker_relay_config relay = {
        .id = SUBSCRIPTION_NATS,
        .module = &scripted_module,
        .slack_percent = RELAY_SLACK_PERCENT_DEFAULT,
        .origin = STR(ORIGIN),
        .broker = { .address = STR("broker:1"), .window = WINDOW, .unacked_max = UNACKED_MAX },
        .listens = true,
        .topics = w->topics,
        .cloud = { STR("/orderly"), STR_NONE },
        .reader = &w->reader,
        .log = &w->log,
        .loop = &w->loop,
    };
    char why[BROKER_WHY_MAX];

    config.audit = false;
    config.simulators = simulators_default;
    inbound_reader_init(&w->reader);
    w->store = store_thread_create(&w->loop, w->engine, on_fatal, w);
    w->app = app_create(&config, &w->scheduler.port, store_thread_port(w->store), &w->random.port,
                        &w->log);
    for (unsigned t = 0; t < EVENT_TYPE_COUNT; t++)
        w->topics[t] = event_infos[t].topic.n > 0;
    relay.app = w->app;
    w->relay = broker_relay_create(&relay, why);
    assert_non_null(w->relay);
    w->is_ready = false;
    app_start(w->app, on_ready, w);
    run_until(w, is_ready);
    if (!w->is_threadless)
        broker_relay_start(w->relay);
}

static int setup(void **state)
{
    struct world *w = mem_zalloc(sizeof(*w));

    the_broker = mem_zalloc(sizeof(*the_broker));
    assert_int_equal(uv_mutex_init(&the_broker->lock), 0);
    w->log = (struct log){ quiet, LOG_DEBUG };
    arena_init(&w->arena, NULL, 0);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &w->ticks), 0);
    w->ticks.data = w;
    assert_int_equal(random_sodium_init(&w->random), ERR_OK);
    scheduler_uv_init(&w->scheduler, &w->loop);
    w->engine = memory_engine_create(100000);
    build(w);
    *state = w;
    return 0;
}

/* Drains and closes as the server does. */
static void close_world(struct world *w)
{
    broker_relay_drain(w->relay);
    app_drain(w->app, on_drained, w);
    run_until(w, is_drained);
    broker_relay_close(w->relay, on_relay_closed, w);
    run_until(w, is_relay_closed);
    store_thread_close(w->store, on_store_closed, w);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
}

static int teardown(void **state)
{
    struct world *w = *state;

    if (!w->is_closed)
        close_world(w);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    app_destroy(w->app);
    broker_relay_destroy(w->relay);
    memory_engine_destroy(w->engine);
    random_sodium_deinit(&w->random);
    arena_deinit(&w->arena);
    uv_mutex_destroy(&the_broker->lock);
    mem_free(the_broker);
    mem_free(w);
    return 0;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Carts make messages without anybody's help: cart.created, then cart.item_added for each item. */
struct step {
    union {
        struct command command;
        struct create_cart create;
        struct change_cart change;
        struct change_settings settings;
    } u;
    struct world *world;
    struct cart_id cart_id;
};

static void render_status(struct command *c, const struct reply *r)
{
    struct step *step = container_of(c, struct step, u.command);

    c->answer.status = reply_status(r->code);
    if (r->cart)
        step->cart_id = r->cart->id;
}

static void on_answer(struct command *c)
{
    container_of(c, struct step, u.command)->world->is_answered = true;
}

static void begin(struct world *w, struct step *step)
{
    *step = (struct step){ .world = w };
    step->u.command = (struct command){
        .app = w->app, .arena = &w->arena, .render = render_status, .done = on_answer
    };
    w->is_answered = false;
}

static void end(struct world *w, const struct step *step, int status)
{
    run_until(w, is_answered);
    assert_int_equal(step->u.command.answer.status, status);
    arena_reset(&w->arena);
}

static struct cart_id a_cart(struct world *w)
{
    struct step step;

    begin(w, &step);
    assert_true(text_id_parse(STR("me"), &step.u.create.customer_id.t));
    create_cart_start(&step.u.create);
    end(w, &step, 201);
    return step.cart_id;
}

static void an_item(struct world *w, struct cart_id cart, unsigned i)
{
    struct step step;
    char sku[32];

    begin(w, &step);
    (void)snprintf(sku, sizeof(sku), "SKU-%u", i);
    step.u.change.cart_id = cart;
    step.u.change.change = CART_ADD;
    assert_true(sku_parse(str_of(sku), &step.u.change.sku));
    step.u.change.quantity = 1;
    change_cart_start(&step.u.change);
    end(w, &step, 200);
}

/* n messages: carts of four each, taking turns. */
static void some_messages(struct world *w, unsigned n)
{
    struct cart_id carts[8];

    for (unsigned i = 0; i < n; i++) {
        if (i % 32 < 8)
            carts[i % 8] = a_cart(w);
        else
            an_item(w, carts[i % 8], i);
    }
    w->wanted += n;
}

static bool is_all_passed(struct world *w)
{
    return subscription_lag(app_relay(w->app, SUBSCRIPTION_NATS)->subscription) == 0;
}

#define SCRIPT(...)                                                                                \
    do {                                                                                           \
        uv_mutex_lock(&the_broker->lock);                                                          \
        __VA_ARGS__;                                                                               \
        uv_mutex_unlock(&the_broker->lock);                                                        \
    } while (0)

/* Everything is there; what is there for the first time is in the order of its cart. */
static void assert_whole_and_in_order(const struct world *w)
{
    static bool is_seen[100000];
    unsigned n = 0;

    memset(is_seen, 0, sizeof(is_seen));
    for (unsigned i = 0; i < the_broker->n_seen; i++) {
        uint64_t position = the_broker->seen[i].position;

        assert_true(position > 0 && position < ARRAY_LEN(is_seen));
        if (is_seen[position])
            continue;
        is_seen[position] = true;
        n++;
        for (unsigned j = 0; j < i; j++)
            if (strcmp(the_broker->seen[j].key, the_broker->seen[i].key) == 0)
                assert_true(the_broker->seen[j].position <= position);
    }
    assert_int_equal(n, w->wanted);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void relay__passes_on_every_message_in_the_order_of_its_key(void **state)
{
    struct world *w = *state;

    some_messages(w, 200);
    run_until(w, is_all_passed);
    assert_whole_and_in_order(w);
    assert_int_equal(the_broker->n_seen, 200);
    assert_string_equal(the_broker->seen[0].topic, "cart.created");
    assert_int_equal(app_relay(w->app, SUBSCRIPTION_NATS)->counts.acked, 200);
}

static bool has_tried(struct world *w)
{
    return strstr(w->lines, "relay_unreachable") != NULL;
}

static void relay__waits_for_a_broker_that_is_away_at_the_start_and_no_command_waits_for_it(
    void **state)
{
    struct world *w = *state;

    some_messages(w, 3);
    run_until(w, is_all_passed);
    SCRIPT(the_broker->is_away = true);
    some_messages(w, 100); /* each of them answered */
    run_until(w, has_tried);
    assert_false(app_relay(w->app, SUBSCRIPTION_NATS)->is_connected);
    assert_string_equal(app_relay(w->app, SUBSCRIPTION_NATS)->why, "connection refused");
    assert_non_null(strstr(w->lines, "relay_lost"));
    SCRIPT(the_broker->is_away = false);
    run_until(w, is_all_passed);
    assert_whole_and_in_order(w);
}

static bool is_window_full(struct world *w)
{
    unsigned n;

    (void)w;
    SCRIPT(n = the_broker->most_unanswered);
    return n >= WINDOW;
}

static void relay__publishes_again_what_was_not_acknowledged_when_the_connection_was_lost(
    void **state)
{
    struct world *w = *state;

    SCRIPT(the_broker->is_silent = true);
    some_messages(w, 100);
    run_until(w, is_window_full);
    SCRIPT(the_broker->is_away = true);
    run_until(w, has_tried);
    SCRIPT(the_broker->is_away = the_broker->is_silent = false);
    run_until(w, is_all_passed);
    assert_whole_and_in_order(w);
    assert_true(the_broker->n_seen > w->wanted); /* some of them twice */
    assert_int_equal(the_broker->n_connects, 2);
}

static void relay__hands_over_no_more_than_its_window_to_a_broker_that_says_nothing(void **state)
{
    struct world *w = *state;

    SCRIPT(the_broker->is_silent = true);
    some_messages(w, 200);
    run_until(w, is_window_full);
    SCRIPT(the_broker->is_silent = false);
    run_until(w, is_all_passed);
    assert_int_equal(the_broker->most_unanswered, WINDOW);
    assert_whole_and_in_order(w);
}

static void set_limit(struct world *w, uint64_t limit)
{
    uv_mutex_lock(&w->relay->lock);
    w->relay->limit_wanted = limit;
    uv_mutex_unlock(&w->relay->lock);
}

static bool is_as_much_in_the_air_as_may_be(struct world *w)
{
    unsigned n;

    SCRIPT(n = the_broker->most_unanswered);
    return n >= w->in_the_air;
}

/* A second's. */
static void relay__under_a_limit_gives_a_slow_broker_no_more_than_it_can_work_off(void **state)
{
    struct world *w = *state;

    SCRIPT(the_broker->is_silent = true);
    set_limit(w, 6);
    some_messages(w, 100);
    for (w->in_the_air = 6; w->in_the_air < WINDOW; w->in_the_air++) {
        run_until(w, is_as_much_in_the_air_as_may_be);
        assert_int_equal(the_broker->most_unanswered, w->in_the_air);
        set_limit(w, w->in_the_air + 1);
    }
    set_limit(w, 0);
    run_until(w, is_window_full);
    SCRIPT(the_broker->is_silent = false);
    run_until(w, is_all_passed);
    assert_whole_and_in_order(w);
}

/* Which it would not be by much, either, where a machine is busy: late turns have more room. */
static void relay__under_a_limit_is_no_faster_than_it_says(void **state)
{
    struct world *w = *state;
    uint64_t began_ms = uv_hrtime() / 1000000;

    set_limit(w, 200);
    some_messages(w, 100);
    run_until(w, is_all_passed);
    /* But for what a late turn may publish: 10 of 50 ms, and one. */
    assert_in_range(uv_hrtime() / 1000000 - began_ms, (100 - 11) * 5 - 1, WAIT_MS);
    set_limit(w, 0);
    assert_whole_and_in_order(w);
}

/* Those of a quarter of a second, and one: 6 of 20 a second. */
static void relay__under_a_limit_publishes_some_together(void **state)
{
    struct world *w = *state;
    unsigned turns = 1;

    set_limit(w, 20);
    some_messages(w, 24);
    run_until(w, is_all_passed);
    for (unsigned i = 1; i < the_broker->n_seen; i++)
        turns += the_broker->seen[i].turn != the_broker->seen[i - 1].turn;
    assert_in_range(turns, 1, 12); /* four, but for a machine where not all of them were at hand */
    set_limit(w, 0);
    assert_whole_and_in_order(w);
}

static bool is_free(struct world *w)
{
    return app_relay(w->app, SUBSCRIPTION_NATS)->limit == 0;
}

/* Neither orders nor messages: also without them somebody has to look. */
static void relay__says_that_it_is_free_again_where_there_is_nothing_to_publish(void **state)
{
    struct world *w = *state;

    w->relay->pace.state = RELAY_PACE_PACED;
    w->relay->pace.run_until_ms = INT64_MAX;
    w->relay->pace.limit = w->relay->port.limit = RELAY_PACE_MIN;
    set_limit(w, RELAY_PACE_MIN);
    run_until(w, is_free);
    uv_mutex_lock(&w->relay->lock);
    assert_int_equal(w->relay->limit_wanted, 0);
    uv_mutex_unlock(&w->relay->lock);
    some_messages(w, 20);
    run_until(w, is_all_passed);
    assert_whole_and_in_order(w);
}

static bool is_stuck(struct world *w)
{
    return strstr(w->lines, "relay_stuck") != NULL;
}

static bool goes_on(struct world *w)
{
    return strstr(w->lines, "relay_goes_on") != NULL;
}

static void relay__publishes_again_what_the_broker_did_not_take(void **state)
{
    struct world *w = *state;

    SCRIPT(the_broker->again = UINT_MAX);
    some_messages(w, 50);
    run_until(w, is_stuck);
    assert_string_equal(app_relay(w->app, SUBSCRIPTION_NATS)->why, "not taken: no room");
    SCRIPT(the_broker->again = 0);
    run_until(w, is_all_passed);
    run_until(w, goes_on);
    assert_whole_and_in_order(w);
    assert_true(app_relay(w->app, SUBSCRIPTION_NATS)->counts.again > 0);
    assert_string_equal(app_relay(w->app, SUBSCRIPTION_NATS)->why, "");
}

static void relay__says_why_a_broker_takes_nothing_and_asks_no_more_until_it_does(void **state)
{
    struct world *w = *state;

    SCRIPT(the_broker->is_silent = true);
    some_messages(w, 50);
    run_until(w, is_window_full);
    SCRIPT(the_broker->is_silent = false; the_broker->is_blocked = true);
    run_until(w, is_stuck);
    assert_string_equal(app_relay(w->app, SUBSCRIPTION_NATS)->why, "low on disk");
    assert_true(app_relay(w->app, SUBSCRIPTION_NATS)->is_connected);
    some_messages(w, 50); /* no command waits for it */
    SCRIPT(the_broker->is_blocked = false);
    run_until(w, is_all_passed);
    run_until(w, goes_on);
    assert_whole_and_in_order(w);
    assert_int_equal(the_broker->n_while_blocked, 0);
    assert_int_equal(the_broker->n_connects, 1);
    assert_string_equal(app_relay(w->app, SUBSCRIPTION_NATS)->why, "");
}

static bool has_letter(struct world *w)
{
    return app_bus(w->app)->n_dead_letters_open == 1;
}

static void relay__makes_a_dead_letter_of_what_the_broker_will_never_take_and_goes_on(void **state)
{
    struct world *w = *state;
    struct cart_id cart;

    SCRIPT(the_broker->never = "cart.created");
    cart = a_cart(w);
    an_item(w, cart, 1);
    run_until(w, has_letter);
    run_until(w, is_all_passed);
    SCRIPT(the_broker->never = NULL);
    w->wanted = 1;
    assert_whole_and_in_order(w);
    assert_string_equal(the_broker->seen[0].topic, "cart.item_added");
    assert_int_equal(app_relay(w->app, SUBSCRIPTION_NATS)->counts.refused, 1);
}

static void relay__goes_on_with_a_client_that_has_room_again(void **state)
{
    struct world *w = *state;

    SCRIPT(the_broker->is_full = true);
    some_messages(w, 20);
    SCRIPT(assert_int_equal(the_broker->n_published, 0));
    SCRIPT(the_broker->is_full = false);
    run_until(w, is_all_passed);
    assert_whole_and_in_order(w);
}

static void relay__gives_back_at_a_drain_what_the_broker_does_not_have_and_the_next_start_sends_it(
    void **state)
{
    struct world *w = *state;

    SCRIPT(the_broker->is_silent = true);
    some_messages(w, 40);
    run_until(w, is_window_full);
    close_world(w);
    app_destroy(w->app);
    broker_relay_destroy(w->relay);
    SCRIPT(the_broker->is_silent = false);
    w->is_drained = w->is_relay_closed = false;
    assert_int_equal(uv_timer_init(&w->loop, &w->ticks), 0);
    w->ticks.data = w;
    scheduler_uv_init(&w->scheduler, &w->loop);
    build(w);
    assert_int_equal(w->app->handled.len, 0); /* a start reads nothing for a relay */
    run_until(w, is_all_passed);
    assert_whole_and_in_order(w);
}

static bool is_connecting(struct world *w)
{
    unsigned n;

    (void)w;
    SCRIPT(n = the_broker->n_slow);
    return n > 0;
}

static void relay__drains_while_a_connect_does_not_come_back(void **state)
{
    struct world *w = *state;

    some_messages(w, 3);
    run_until(w, is_all_passed);
    SCRIPT(the_broker->is_away = the_broker->is_slow = true);
    some_messages(w, 20);
    run_until(w, is_connecting);
    broker_relay_drain(w->relay);
    app_drain(w->app, on_drained, w);
    run_until(w, is_drained);
    SCRIPT(assert_true(the_broker->is_slow); the_broker->is_slow = false);
    broker_relay_close(w->relay, on_relay_closed, w);
    run_until(w, is_relay_closed);
    store_thread_close(w->store, on_store_closed, w);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    w->is_closed = true;
}

/* ---- what comes in --------------------------------------------------------------------------- */

struct turns {
    uv_check_t check;
    const struct inlet_counts *counts;
    uint64_t taken, most; /* by the end of the last turn; in one turn */
};

static void on_turn_ended(uv_check_t *check)
{
    struct turns *t = container_of(check, struct turns, check);
    uint64_t n = t->counts->taken - t->taken;

    if (n > t->most)
        t->most = n;
    t->taken = t->counts->taken;
}

static bool is_all_acked(struct world *w)
{
    unsigned n_said, n_acked;

    (void)w;
    SCRIPT(n_said = the_broker->n_said; n_acked = the_broker->n_acked);
    return n_said > 0 && n_acked == n_said;
}

static bool is_connected(struct world *w)
{
    return app_relay(w->app, SUBSCRIPTION_NATS)->is_connected;
}

/* The loop stands still until all of them have been said, so that they wait there together. */
static void relay__reads_no_more_of_a_flood_in_a_turn_of_the_loop_than_it_may(void **state)
{
    struct world *w = *state;
    struct turns turns = { .counts = inlet_counts(w->relay->inbound.inlet) };
    unsigned n_said = 0;

    run_until(w, is_connected);
    SCRIPT(the_broker->says = 2 * RELAY_TURN_LETTERS_MAX + 1);
    for (unsigned ms = 0; ms < WAIT_MS && n_said == 0; ms++) {
        (void)poll(NULL, 0, 1);
        SCRIPT(n_said = the_broker->n_said);
    }
    assert_int_equal(n_said, 2 * RELAY_TURN_LETTERS_MAX + 1);
    assert_int_equal(uv_check_init(&w->loop, &turns.check), 0);
    assert_int_equal(uv_check_start(&turns.check, on_turn_ended), 0);
    run_until(w, is_all_acked);
    assert_int_equal(turns.counts->taken, n_said);
    assert_int_equal(turns.counts->received, n_said);
    print_message("at most %llu of them in a turn\n", (unsigned long long)turns.most);
    assert_true(turns.most <= RELAY_TURN_LETTERS_MAX);
    uv_close((uv_handle_t *)&turns.check, NULL);
    (void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

static bool is_nothing_held(struct world *w)
{
    unsigned left;

    SCRIPT(left = the_broker->says_long);
    return left == 0 && is_all_acked(w) && atomic_load(&w->relay->held) == 0;
}

/* The loop stands still until there is no room, so that what is received stays. */
static void relay__holds_so_many_bytes_of_what_it_received_and_goes_on_when_they_are_durable(
    void **state)
{
    const unsigned n = 3 * (RELAY_HELD_BYTES_MAX / LONG_BYTES) / 2;
    struct world *w = *state;
    bool was_full = false;
    unsigned n_said;
    size_t most;

    run_until(w, is_connected);
    SCRIPT(the_broker->says_long = n);
    for (unsigned ms = 0; ms < WAIT_MS && !was_full; ms++) {
        (void)poll(NULL, 0, 1);
        SCRIPT(was_full = the_broker->was_full; n_said = the_broker->n_said);
    }
    assert_true(was_full);
    assert_true(n_said < n);
    run_until(w, is_nothing_held);
    SCRIPT(n_said = the_broker->n_said; most = the_broker->most_held);
    assert_int_equal(n_said, n);
    assert_int_equal(inlet_counts(w->relay->inbound.inlet)->received, n);
    assert_true(most >= RELAY_HELD_BYTES_MAX); /* a message is begun while a byte is left */
    assert_true(most < RELAY_HELD_BYTES_MAX + LONG_BYTES + 100);
}

static bool is_all_settled(struct world *w)
{
    const struct relay_counts *n = &app_relay(w->app, SUBSCRIPTION_NATS)->counts;

    return n->received == w->settled_wanted && n->settled == w->settled_wanted;
}

/* As a relay that listens to what this server said before hears it again. */
static void relay__acknowledges_what_its_own_log_said_and_does_not_record_it(void **state)
{
    static const struct {
        const char *origins[2];
        unsigned own;
    } cases[] = { { { ORIGIN " m", "0f01 m" }, 15 },
                  { { NULL, ORIGIN " m" }, 15 },
                  { { ORIGIN " m", ORIGIN " m" }, 30 } };
    struct world *w = *state;
    const struct relay_counts *counts = &app_relay(w->app, SUBSCRIPTION_NATS)->counts;
    const struct inlet_counts *inlet = inlet_counts(w->relay->inbound.inlet);
    uint64_t own = 0, received = 0;

    run_until(w, is_connected);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned n_acked = 0;

        SCRIPT(memcpy(the_broker->origins, cases[i].origins, sizeof(cases[i].origins));
               the_broker->n_said = the_broker->n_acked = 0; the_broker->says = 30);
        w->settled_wanted = 30 * (i + 1);
        run_until(w, is_all_settled);
        SCRIPT(n_acked = the_broker->n_acked);
        assert_int_equal(n_acked, 30);
        own += cases[i].own;
        received += 30 - cases[i].own;
        assert_int_equal(counts->own, own);
        assert_int_equal(inlet->taken, received);
        assert_int_equal(inlet->received, received);
        assert_int_equal(w->relay->inbound.n_free, UNACKED_MAX);
    }
}

static void render_nothing(struct command *c, const struct reply *r)
{
    c->answer.status = reply_status(r->code);
}

/* So that it has to be listened for what Payments says. */
static void payments_go_elsewhere(struct world *w)
{
    struct step step;

    begin(w, &step);
    step.u.command.render = render_nothing;
    step.u.settings.simulator = SIMULATOR_PAYMENTS;
    step.u.settings.settings = *app_simulators(w->app);
    step.u.settings.settings.payments.enabled = false;
    change_settings_start(&step.u.settings);
    end(w, &step, 200);
}

static bool is_made_anew(struct world *w)
{
    unsigned n;

    (void)w;
    SCRIPT(n = the_broker->n_made);
    return n == 2;
}

static bool is_well(struct world *w)
{
    const struct relay *port = app_relay(w->app, SUBSCRIPTION_NATS);

    return port->is_connected && port->why[0] == 0;
}

static void relay__tries_again_to_listen_to_other_topics_and_goes_on_meanwhile(void **state)
{
    struct world *w = *state;

    run_until(w, is_connected);
    SCRIPT(the_broker->refuses_to_be_made = UINT_MAX);
    payments_go_elsewhere(w);
    run_until(w, is_stuck);
    assert_string_equal(app_relay(w->app, SUBSCRIPTION_NATS)->why,
                        "can't listen to other topics: no memory");
    some_messages(w, 20);
    run_until(w, is_all_passed);
    assert_string_equal(app_relay(w->app, SUBSCRIPTION_NATS)->why,
                        "can't listen to other topics: no memory");
    SCRIPT(assert_int_equal(the_broker->n_made, 1); assert_int_equal(the_broker->n_connects, 1);
           the_broker->refuses_to_be_made = 1);
    run_until(w, is_made_anew);
    run_until(w, is_well);
    SCRIPT(assert_true(the_broker->n_refused_to_be_made >= 2);
           assert_int_equal(the_broker->n_listens, 1));
    some_messages(w, 20);
    run_until(w, is_all_passed);
    assert_whole_and_in_order(w);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void relay__that_can_not_be_made_anew_drains(void **state)
{
    struct world *w = *state;

    run_until(w, is_connected);
    SCRIPT(the_broker->refuses_to_be_made = UINT_MAX);
    payments_go_elsewhere(w);
    run_until(w, is_stuck);
    SCRIPT(the_broker->is_silent = true);
    some_messages(w, 40);
    run_until(w, is_window_full);
}

static int setup_threadless(void **state)
{
    struct world *w;

    if (setup(state) != 0)
        return -1;
    w = *state;
    close_world(w);
    app_destroy(w->app);
    broker_relay_destroy(w->relay);
    w->is_drained = w->is_relay_closed = false;
    assert_int_equal(uv_timer_init(&w->loop, &w->ticks), 0);
    w->ticks.data = w;
    scheduler_uv_init(&w->scheduler, &w->loop);
    w->is_threadless = true;
    build(w);
    return 0;
}

/* What it was handed it gives back, and ends. */
static void relay__without_a_thread_stops_nothing(void **state)
{
    struct world *w = *state;

    some_messages(w, 3 * WINDOW);
    assert_int_equal(app_bus(w->app)->n_in_progress, WINDOW);
    close_world(w);
    w->is_closed = true;
    assert_int_equal(app_bus(w->app)->n_in_progress, 0);
}

/* Of a start that is given up: nothing has run. */
static void relay__that_was_never_asked_for_anything_is_closed(void **state)
{
    struct world *w = *state;

    broker_relay_close(w->relay, on_relay_closed, w);
    run_until(w, is_relay_closed);
    app_drain(w->app, on_drained, w);
    run_until(w, is_drained);
    store_thread_close(w->store, on_store_closed, w);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    w->is_closed = true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(relay__passes_on_every_message_in_the_order_of_its_key),
        TEST(relay__waits_for_a_broker_that_is_away_at_the_start_and_no_command_waits_for_it),
        TEST(relay__publishes_again_what_was_not_acknowledged_when_the_connection_was_lost),
        TEST(relay__hands_over_no_more_than_its_window_to_a_broker_that_says_nothing),
        TEST(relay__under_a_limit_gives_a_slow_broker_no_more_than_it_can_work_off),
        TEST(relay__under_a_limit_is_no_faster_than_it_says),
        TEST(relay__under_a_limit_publishes_some_together),
        TEST(relay__says_that_it_is_free_again_where_there_is_nothing_to_publish),
        TEST(relay__publishes_again_what_the_broker_did_not_take),
        TEST(relay__makes_a_dead_letter_of_what_the_broker_will_never_take_and_goes_on),
        TEST(relay__goes_on_with_a_client_that_has_room_again),
        TEST(relay__reads_no_more_of_a_flood_in_a_turn_of_the_loop_than_it_may),
        TEST(relay__holds_so_many_bytes_of_what_it_received_and_goes_on_when_they_are_durable),
        TEST(relay__acknowledges_what_its_own_log_said_and_does_not_record_it),
        TEST(relay__tries_again_to_listen_to_other_topics_and_goes_on_meanwhile),
        TEST(relay__that_can_not_be_made_anew_drains),
        cmocka_unit_test_setup_teardown(relay__without_a_thread_stops_nothing, setup_threadless,
                                        teardown),
        cmocka_unit_test_setup_teardown(relay__that_was_never_asked_for_anything_is_closed,
                                        setup_threadless, teardown),
        TEST(relay__says_why_a_broker_takes_nothing_and_asks_no_more_until_it_does),
        TEST(relay__drains_while_a_connect_does_not_come_back),
        TEST(
            relay__gives_back_at_a_drain_what_the_broker_does_not_have_and_the_next_start_sends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
