#include "app_fixture.h"
#include "orderly/base/mem.h"
#include <stdio.h>

static void on_publish(void *ctx, struct message *m)
{
    struct app_fixture *f = ctx;

    f->counts[m->event.type].n++;
    if (m->event.stream.type == AGGREGATE_PAYMENT)
        f->payment_id = m->event.p.payment_id;
    if (m->event.stream.type != AGGREGATE_PRODUCT && m->event.stream.type != AGGREGATE_CART)
        buf_printf(&f->trace, "[%4lld] " STR_FMT "\n",
                   (long long)((f->ms.now_us - f->started_us) / 1000),
                   STR_ARG(event_infos[m->event.type].type));
    f->publish(f->publish_ctx, m);
}

static void on_ready(void *ctx, enum err status)
{
    struct app_fixture *f = ctx;

    REQUIRE(status == ERR_OK);
    f->is_done = true;
}

struct app_config app_fixture_config(void)
{
    struct app_config c = app_config_default;

    c.audit = false;
    c.simulators = simulators_default;
    return c;
}

void app_fixture_init(struct app_fixture *f, const struct app_config *config)
{
    app_fixture_init_bounded(f, config, 1000000);
}

static void app_fixture_boot(struct app_fixture *f)
{
    struct event_log *log;

    store_virtual_init(&f->store, f->engine);
    f->app =
        app_create(&f->config, &f->ms.scheduler, &f->store.port, &f->random.random, &f->log.log);
    log = app_event_log(f->app);
    f->publish = log->publish;
    f->publish_ctx = log->publish_ctx;
    log->publish = on_publish;
    log->publish_ctx = f;
    f->is_done = false;
    if (f->before_start)
        f->before_start(f);
    app_start(f->app, on_ready, f);
    app_fixture_settle(f);
    REQUIRE(f->is_done);
}

void app_fixture_init_bounded(struct app_fixture *f, const struct app_config *config,
                              uint64_t events_max)
{
    app_fixture_init_on(f, config, memory_engine_create(events_max));
    f->owns_engine = true;
}

static void app_fixture_prepare(struct app_fixture *f, const struct app_config *config,
                                struct engine *engine)
{
    memset(f, 0, sizeof(*f));
    f->config = *config;
    manual_scheduler_init(&f->ms);
    seeded_random_init(&f->random, 1);
    capture_log_init(&f->log);
    f->engine = engine;
    arena_init(&f->arena, NULL, 0);
    arena_init(&f->letters, NULL, 0);
}

static void app_fixture_begin(struct app_fixture *f)
{
    app_fixture_boot(f);
    REQUIRE(a_product(f, "WIDGET-001", "19.99", 100) == REPLY_CREATED);
    trace_clear(f);
}

void app_fixture_init_on(struct app_fixture *f, const struct app_config *config,
                         struct engine *engine)
{
    app_fixture_prepare(f, config, engine);
    app_fixture_begin(f);
}

void app_fixture_init_with(struct app_fixture *f, const struct app_config *config,
                           void (*before_start)(struct app_fixture *f))
{
    app_fixture_prepare(f, config, memory_engine_create(1000000));
    f->owns_engine = true;
    f->before_start = before_start;
    app_fixture_begin(f);
}

/* What the dead process held is leaked on purpose: nothing of it may run any more. */
void app_fixture_crash(struct app_fixture *f)
{
    store_virtual_forget(&f->store);
    f->ms.is_awake = false;
    f->ms.alarm_ms = INT64_MAX;
    app_fixture_boot(f);
}

void app_fixture_pass_commits(struct app_fixture *f, unsigned n)
{
    int64_t end_us = f->ms.now_us + 5000000;

    while (n > 0 && f->ms.now_us < end_us) {
        bool did;

        do {
            did = manual_scheduler_run_turn(&f->ms);
            did |= store_virtual_run_reads(&f->store, 1000000) > 0;
            did |= manual_scheduler_run_alarm(&f->ms);
        } while (did);
        if (store_virtual_run(&f->store, 1) > 0)
            n--;
        else if (f->ms.alarm_ms != INT64_MAX)
            manual_scheduler_advance_us(&f->ms, f->ms.alarm_ms * 1000 - f->ms.now_us);
        else
            return;
    }
}

struct count {
    struct store_read read;
    enum event_type type;
    unsigned n;
};

static void count_run(struct store_read *r, const struct store_view *v)
{
    struct count *c = container_of(r, struct count, read);
    char from[2] = { (char)((unsigned)c->type >> 8), (char)c->type };
    struct str key = { from, 2 }, found, value;
    struct arena a;

    arena_init(&a, NULL, 0);
    while (store_seek(v, DB_BY_TYPE, STORE_GT, key, &a, &found, &value) == ERR_OK &&
           memcmp(found.p, from, 2) == 0) {
        c->n++;
        key = found;
    }
    arena_deinit(&a);
}

static void count_done(struct store_read *r)
{
    (void)r;
}

unsigned app_fixture_count_events(struct app_fixture *f, enum event_type type)
{
    struct count c = { .read = { .run = count_run, .done = count_done }, .type = type };

    if (store_read_start(&f->store.port, &c.read) != ERR_OK)
        UNREACHABLE("the virtual store takes reads");
    app_fixture_settle(f);
    return c.n;
}

static void on_drained(void *ctx)
{
    struct app_fixture *f = ctx;

    f->is_drained = true;
}

void app_fixture_drain(struct app_fixture *f)
{
    f->is_draining = true;
    app_drain(f->app, on_drained, f);
}

void app_fixture_deinit(struct app_fixture *f)
{
    f->is_store_held = false;
    if (!f->is_draining)
        app_fixture_drain(f);
    for (int i = 0; i < 70 && !f->is_drained; i++)
        app_fixture_pass_ms(f, 1000);
    REQUIRE(f->is_drained);
    app_destroy(f->app);
    if (f->owns_engine)
        memory_engine_destroy(f->engine);
    capture_log_deinit(&f->log);
    arena_deinit(&f->arena);
    arena_deinit(&f->letters);
    buf_deinit(&f->trace);
}

void app_fixture_settle(struct app_fixture *f)
{
    bool did;

    do {
        did = manual_scheduler_run_turn(&f->ms);
        if (!f->is_store_held)
            did |= store_virtual_run(&f->store, 1000000) > 0;
        did |= store_virtual_run_reads(&f->store, 1000000) > 0;
        did |= manual_scheduler_run_alarm(&f->ms);
    } while (did);
}

void app_fixture_pass_ms(struct app_fixture *f, int64_t ms)
{
    int64_t end_us = f->ms.now_us + ms * 1000;

    app_fixture_settle(f);
    while (f->ms.alarm_ms != INT64_MAX && f->ms.alarm_ms * 1000 <= end_us) {
        if (f->ms.alarm_ms * 1000 > f->ms.now_us)
            manual_scheduler_advance_us(&f->ms, f->ms.alarm_ms * 1000 - f->ms.now_us);
        app_fixture_settle(f);
    }
    if (end_us > f->ms.now_us)
        manual_scheduler_advance_us(&f->ms, end_us - f->ms.now_us);
    app_fixture_settle(f);
}

/* ---- commands -------------------------------------------------------------------------------- */

static struct app_fixture *current; /* commands carry no fixture; tests run one at a time */

static void on_render(struct command *c, const struct reply *r)
{
    struct app_fixture *f = current;

    f->code = r->code;
    f->n_faults = r->n_faults;
    f->first_pointer[0] = 0;
    if (r->n_faults)
        snprintf(f->first_pointer, sizeof(f->first_pointer), STR_FMT,
                 STR_ARG(r->faults[0].pointer));
    if (r->order) {
        f->order_id = r->order->body->id;
        f->status = r->order->status;
    }
    if (r->dead_letter)
        f->letter_state = r->dead_letter->letter.state;
    if (r->bulk) {
        f->bulk_matched = r->bulk->scan.n;
        f->bulk_shown = r->bulk->scan.n_ids;
    }
    if (r->cart)
        f->cart_id = r->cart->id;
    c->answer.content_type = STR("application/json");
    c->answer.body =
        arena_printf(c->arena, "%s %llu", reply_code_text(r->code),
                     (unsigned long long)(r->order ? r->order->sequence : r->position));
}

static void on_done(struct command *c)
{
    current->answer = c->answer;
    current->is_done = true;
}

struct command app_fixture_command(struct app_fixture *f)
{
    current = f;
    arena_reset(&f->arena);
    f->is_done = false;
    return (
        struct command){ .app = f->app, .arena = &f->arena, .render = on_render, .done = on_done };
}

static enum reply_code finish(struct app_fixture *f)
{
    app_fixture_settle(f);
    REQUIRE(f->is_done);
    return f->code;
}

static struct sku a_sku(const char *text)
{
    struct sku sku;

    REQUIRE(sku_parse(str_of(text), &sku));
    return sku;
}

static struct text_id a_text_id(const char *text)
{
    struct text_id id = { 0 };

    REQUIRE(!text[0] || text_id_parse(str_of(text), &id));
    return id;
}

static struct address an_address(void)
{
    return (struct address){ .street = STR("1 Main St"),
                             .city = STR("Springfield"),
                             .postal_code = STR("62701"),
                             .country = STR("US") };
}

enum reply_code a_product(struct app_fixture *f, const char *sku, const char *price, int64_t stock)
{
    struct add_product c = { .command = app_fixture_command(f),
                             .sku = a_sku(sku),
                             .name = STR("Widget"),
                             .price = str_of(price),
                             .currency = STR("USD"),
                             .stock = stock };

    add_product_start(&c);
    return finish(f);
}

enum reply_code a_cart(struct app_fixture *f)
{
    struct create_cart c = { .command = app_fixture_command(f) };

    c.customer_id.t = a_text_id("customer-1");
    create_cart_start(&c);
    return finish(f);
}

enum reply_code an_item(struct app_fixture *f, const char *sku, int64_t quantity)
{
    struct change_cart c = { .command = app_fixture_command(f),
                             .cart_id = f->cart_id,
                             .change = CART_ADD,
                             .sku = a_sku(sku),
                             .quantity = quantity };

    change_cart_start(&c);
    return finish(f);
}

enum reply_code a_checkout(struct app_fixture *f)
{
    struct checkout_cart c = { .command = app_fixture_command(f),
                               .cart_id = f->cart_id,
                               .address = an_address() };

    checkout_cart_start(&c);
    return finish(f);
}

enum reply_code an_order_of(struct app_fixture *f, enum flow_id flow, const char *sku,
                            int64_t quantity, const char *price)
{
    struct requested_line line = { .sku = a_sku(sku),
                                   .quantity = quantity,
                                   .unit_price = price ? str_of(price) : STR_NONE };
    struct place_order c = { .command = app_fixture_command(f),
                             .flow = flow,
                             .lines = &line,
                             .n_lines = 1,
                             .address = an_address() };

    c.customer_id.t = a_text_id("customer-1");
    place_order_start(&c);
    return finish(f);
}

enum reply_code an_order(struct app_fixture *f, const char *sku, int64_t quantity)
{
    return an_order_of(f, FLOW_STOCK_FIRST, sku, quantity, NULL);
}

enum reply_code do_order(struct app_fixture *f, enum order_input input, const char *text)
{
    struct order_command c = { .command = app_fixture_command(f),
                               .order_id = f->order_id,
                               .input = input };

    if (input == ORDER_INPUT_CANCEL)
        c.reason = str_of(text);
    if (input == ORDER_INPUT_MARK_PAID)
        c.payment_id.t = a_text_id(text);
    if (input == ORDER_INPUT_COMPLETE && text)
        c.invoice_id.t = a_text_id(text);
    order_command_start(&c);
    return finish(f);
}

enum reply_code do_shipment(struct app_fixture *f, struct shipment_id id, bool is_deliver)
{
    struct shipment_command c = { .command = app_fixture_command(f),
                                  .shipment_id = id,
                                  .is_deliver = is_deliver };

    shipment_command_start(&c);
    return finish(f);
}

enum reply_code a_message(struct app_fixture *f, enum event_type type, const char *message_id,
                          const char *id, const char *amount)
{
    struct receive_message c = { .command = app_fixture_command(f),
                                 .type = type,
                                 .message_id = str_of(message_id),
                                 .raw_payload = STR("{}") };
    struct str parts[] = { event_infos[type].type, str_of(id), str_of(amount) };

    c.payload.order_id = f->order_id;
    c.payload.reason = STR("said so");
    c.payload.tracking_number = STR("TRK-OUTSIDE");
    if (!currency_parse(STR("USD"), &c.payload.currency))
        UNREACHABLE("USD is a currency");
    if (amount[0] &&
        money_from_text(str_of(amount), c.payload.currency, &c.payload.amount) != MONEY_OK)
        UNREACHABLE("an amount of dollars");
    if (event_infos[type].aggregate == AGGREGATE_PAYMENT)
        c.payload.payment_id.t = a_text_id(id);
    else if (event_infos[type].aggregate == AGGREGATE_RESERVATION)
        c.payload.reservation_id.t = a_text_id(id);
    else
        c.payload.shipment_id.t = a_text_id(id);
    digest16_of(&c.content, parts, ARRAY_LEN(parts));
    receive_message_start(&c);
    return finish(f);
}

enum reply_code set_simulators(struct app_fixture *f, enum simulator which,
                               const struct simulators *s)
{
    struct change_settings c = { .command = app_fixture_command(f),
                                 .simulator = which,
                                 .settings = *s };

    change_settings_start(&c);
    return finish(f);
}

enum reply_code a_refusal(struct app_fixture *f, enum subscription_id s, const char *topic,
                          struct str body)
{
    struct refuse_message c = { .command = app_fixture_command(f),
                                .subscription = s,
                                .topic = str_of(topic),
                                .message_id = STR("their-1"),
                                .content_type = STR("application/json"),
                                .body = body,
                                .attributes = STR("\0\0\0\1n\0\0\0\1v"),
                                .code = FAILURE_CODE_MALFORMED,
                                .detail = STR("The body is no JSON.") };

    refuse_message_start(&c);
    return finish(f);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static struct payload given_payload;

static bool read_given(struct dead_letter_command *dc, struct reply *r)
{
    (void)r;
    dc->receive.payload = given_payload;
    return true;
}

enum reply_code retry_letter(struct app_fixture *f, struct dead_letter_id id,
                             const struct payload *payload)
{
    struct dead_letter_command c = { .receive.command = app_fixture_command(f), .id = id };

    if (payload) {
        given_payload = *payload;
        c.has_payload = true;
        c.read_payload = read_given;
        c.receive.raw_payload = STR("{\"given\":true}");
    }
    dead_letter_command_start(&c);
    return finish(f);
}

enum reply_code discard_letter(struct app_fixture *f, struct dead_letter_id id, bool is_forced)
{
    struct dead_letter_command c = { .receive.command = app_fixture_command(f),
                                     .id = id,
                                     .is_discard = true,
                                     .is_forced = is_forced,
                                     .reason = STR("not worth it") };

    dead_letter_command_start(&c);
    return finish(f);
}

struct letters_read {
    struct store_read read;
    struct arena *arena;
    struct dead_letter_item *items;
    unsigned n;
    enum err err;
};

static void letters_run(struct store_read *read, const struct store_view *v)
{
    struct letters_read *r = container_of(read, struct letters_read, read);
    struct dead_letter_filter all = { .states = 0 };
    struct dead_letter_id after = { 0 };
    bool has_more;

    r->err = dead_letters_list(v, r->arena, &all, &after, 1000, &r->items, &r->n, &has_more);
}

struct dead_letter_item *the_letters(struct app_fixture *f, unsigned *n)
{
    struct letters_read r = { .read = { .run = letters_run, .done = count_done },
                              .arena = &f->letters };

    arena_reset(&f->letters);
    if (store_read_start(&f->store.port, &r.read) != ERR_OK)
        UNREACHABLE("the virtual store takes reads");
    app_fixture_settle(f);
    REQUIRE(r.err == ERR_OK);
    *n = r.n;
    return r.items;
}

struct dead_letter_item the_open_letter(struct app_fixture *f)
{
    struct dead_letter_item found = { .letter.attempts = 0 };
    unsigned n, n_open = 0;
    struct dead_letter_item *items = the_letters(f, &n);

    for (unsigned i = 0; i < n; i++) {
        if (!dead_letter_is_open(&items[i].letter))
            continue;
        found = items[i];
        n_open++;
    }
    REQUIRE(n_open == 1);
    return found;
}

/* ---- looking --------------------------------------------------------------------------------- */

static const struct order *seen;

static void on_read(struct order_read *r, const struct order *o, enum err status)
{
    (void)r;
    REQUIRE(status == ERR_OK);
    seen = o;
}

const struct order *the_order(struct app_fixture *f)
{
    struct order_read r = { .id = f->order_id, .done = on_read };

    seen = NULL;
    order_read_start(&r, f->app);
    app_fixture_settle(f);
    return seen;
}

struct stock the_stock(struct app_fixture *f, const char *text)
{
    struct sku sku = a_sku(text);
    struct catalogue_entry *e = catalogue_find(app_catalogue(f->app), &sku);

    REQUIRE(e != NULL);
    REQUIRE(e->lowering == 0 || f->is_store_held);
    return e->durable;
}

void trace_clear(struct app_fixture *f)
{
    f->trace.n = 0;
    memset(f->counts, 0, sizeof(f->counts));
    f->started_us = f->ms.now_us;
}

const char *app_fixture_trace(struct app_fixture *f)
{
    *buf_reserve(&f->trace, 1) = 0;
    return f->trace.p;
}
