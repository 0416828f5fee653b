/* An outside context: in half of the seeds with a relay the server runs without Payments, or without
 * Inventory, and a service beyond the broker answers in its place. It hears what the broker has taken,
 * and what it says the broker brings, some time later, to whichever process is there: again where that
 * process has ended before it said that the message is durable, or said so in vain, and again where the
 * service itself says a message more than once; and those of different orders in any order. Some of it
 * nobody can read. */
#include "orderly/base/mem.h"
#include "world.h"
#include <stdio.h>

#define ANSWERS_BITS 24 /* of us: up to 16 s */
#define BRINGS_BITS 18
#define COMES_AGAIN_BITS 26 /* up to a minute */
#define BEHAVES_BITS 14
#define REFUSES_PPM 150000
#define WAITS_PPM 100000
#define NONSENSE_PPM 20000 /* of what is heard */

/* What the broker is to bring. */
struct outside_word {
    struct task task; /* to be brought then */
    struct list link; /* of all that was said */
    struct list given_link;
    bool is_about_an_order;
    struct order_id order;
    char id[PAYMENT_WORD_ID_MAX];
    struct str topic; /* static */
    struct buf body;
    uint64_t handle; /* given under it; 0: not given */
};

/* Of six, payments are outside in two, and the stock in one. */
static void choose_context(struct world *w)
{
    struct outside *o = &w->outside;
    uint64_t n = chance_below(&o->chance, 6);

    o->is_there = n < 3;
    o->which = n < 2 ? SIMULATOR_PAYMENTS : SIMULATOR_INVENTORY;
    if (o->is_there)
        w->app_config.contexts &=
            ~(o->which == SIMULATOR_PAYMENTS ? CONTEXT_BIT(PAYMENTS) : CONTEXT_BIT(INVENTORY));
}

void outside_init(struct world *w)
{
    struct outside *o = &w->outside;
    uint64_t drawn[2];
    struct map_key key;

    o->chance = chance_of_seed(w->config.seed, 'x', 0);
    drawn[0] = chance_next(&o->chance);
    drawn[1] = chance_next(&o->chance);
    memcpy(key.bytes, drawn, sizeof(key.bytes));
    if (w->relay.is_there)
        choose_context(w);
    list_init(&o->said);
    list_init(&o->given);
    payment_service_init(&o->payments, &key);
    stock_service_init(&o->stock, &key);
    inbound_reader_init(&o->reader);
}

void outside_deinit(struct world *w)
{
    struct outside *o = &w->outside;

    while (!list_is_empty(&o->said)) {
        struct outside_word *word =
            container_of(list_pop_front(&o->said), struct outside_word, link);

        buf_deinit(&word->body);
        mem_free(word);
    }
    payment_service_deinit(&o->payments);
    stock_service_deinit(&o->stock);
}

bool outside_answers_for(const struct world *w, enum simulator which)
{
    return w->outside.is_there && which == w->outside.which;
}

/* ---- in -------------------------------------------------------------------------------------- */

static void bring(struct world *w, struct task *t);

static void tell(struct world *w, const struct outside_word *word, const char *what)
{
    world_tell(w, word->is_about_an_order ? &word->order.u : NULL, TRACE_NONE, "broker    %s %s",
               what, word->id);
}

static void bring_later(struct world *w, struct outside_word *word, unsigned bits)
{
    if (w->faults.are_over && bits > BEHAVES_BITS)
        bits = BEHAVES_BITS;
    task_start(w, &word->task, bring, 1 + chance_span(&w->outside.chance, bits));
}

static void give(struct world *w, struct outside_word *word)
{
    struct outside *o = &w->outside;
    struct broker_delivery d = { .handle = ++o->n_given,
                                 .topic = word->topic,
                                 .id = str_of(word->id),
                                 .body = buf_str(&word->body) };
    struct mem_source *before;

    word->handle = d.handle;
    trace_step(&w->trace, 'i', word->handle, (uint64_t)w->ms.now_us, 0);
    trace_bytes(&w->trace, d.body);
    tell(w, word, "brings");
    list_push_back(&o->given, &word->given_link);
    before = process_enter(w);
    inlet_take(o->inlet, &d);
    process_leave(before);
}

static void bring(struct world *w, struct task *t)
{
    struct outside_word *word = container_of(t, struct outside_word, task);
    struct outside *o = &w->outside;

    if (!w->process.is_listening || relay_broker_is_away(w) ||
        inlet_counts(o->inlet)->items == SIM_INLET_ITEMS)
        bring_later(w, word, BRINGS_BITS);
    else
        give(w, word);
}

/* Out of the process's hands. */
static struct outside_word *take_back(struct outside *o, uint64_t handle)
{
    list_for_each(at, &o->given)
    {
        struct outside_word *word = container_of(at, struct outside_word, given_link);

        if (word->handle != handle)
            continue;
        list_remove(&word->given_link);
        word->handle = 0;
        return word;
    }
    UNREACHABLE("what was done was given");
}

/* In the process. */
static void on_done(void *ctx, uint64_t handle, bool is_durable)
{
    struct world *w = ctx;
    struct mem_source *before = mem_use(NULL);
    struct outside_word *word = take_back(&w->outside, handle);

    trace_step(&w->trace, 'k', handle, is_durable, (uint64_t)w->ms.now_us);
    if (is_durable) {
        world_tell_time(w);
        tell(w, word, "may forget");
        witness_received(w->witness, str_of(word->id));
    }
    if (!is_durable || fault_hits(w, SIM_FAULT_LOST_ACK))
        bring_later(w, word, is_durable ? COMES_AGAIN_BITS : BRINGS_BITS);
    (void)mem_use(before);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* It is said once more, by who is not sure that it was heard. */
static void say_again(struct world *w, const struct outside_word *first)
{
    struct outside_word *word = mem_alloc(sizeof(*word));

    *word = *first;
    memset(&word->task, 0, sizeof(word->task));
    word->body = (struct buf){ 0 };
    buf_add_str(&word->body, buf_str(&first->body));
    list_init(&word->given_link);
    list_push_back(&w->outside.said, &word->link);
    bring_later(w, word, COMES_AGAIN_BITS);
}

static struct outside_word *word_create(struct world *w)
{
    struct outside_word *word = mem_zalloc(sizeof(*word));

    list_init(&word->given_link);
    list_push_back(&w->outside.said, &word->link);
    return word;
}

static void say(struct world *w, struct outside_word *word)
{
    tell(w, word, "is to bring");
    bring_later(w, word, ANSWERS_BITS);
    if (!fault_hits(w, SIM_FAULT_DUPLICATE))
        return;
    for (int64_t n = chance_between(&w->faults.chance, 1, 5); n > 0; n--)
        say_again(w, word);
}

static struct outside_word *word_of_order(struct world *w, const char *id, enum event_type type,
                                          const struct order_id *order)
{
    struct outside_word *word = word_create(w);

    (void)snprintf(word->id, sizeof(word->id), "%s", id);
    word->is_about_an_order = true;
    word->order = *order;
    word->topic = event_infos[type].topic;
    return word;
}

static void say_money(struct world *w, const struct payment_word *says)
{
    const struct payment_account *a = says->account;
    struct outside_word *word = word_of_order(w, says->id, says->type, &a->order);

    payment_word_body(says, &word->body);
    witness_said(w->witness, &(struct sim_said){ .id = str_of(word->id),
                                                 .type = says->type,
                                                 .order = a->order,
                                                 .payment_id = a->payment,
                                                 .amount = a->amount,
                                                 .currency = a->currency });
    say(w, word);
}

static void say_stock(struct world *w, const struct stock_word *says)
{
    const struct stock_account *a = says->account;
    struct outside_word *word = word_of_order(w, says->id, says->type, &a->order);

    stock_word_body(says, &word->body);
    witness_said(w->witness, &(struct sim_said){ .id = str_of(word->id),
                                                 .type = says->type,
                                                 .order = a->order,
                                                 .reservation_id = a->reservation });
    say(w, word);
}

static void talk_nonsense(struct world *w)
{
    struct outside *o = &w->outside;
    struct outside_word *word = word_create(w);

    payment_nonsense((unsigned)chance_below(&o->chance, PAYMENT_NONSENSE_KINDS), o->n_nonsense++,
                     word->id, &word->topic, &word->body);
    witness_said(w->witness, &(struct sim_said){ .id = str_of(word->id),
                                                 .type = EVENT_MESSAGE_REFUSED,
                                                 .body = buf_str(&word->body) });
    say(w, word);
}

static void payments_hear(struct world *w, const struct event *e)
{
    uint64_t n = chance_below(&w->outside.chance, 1000000);
    enum payment_service_choice choice = PAYMENT_SERVICE_CHARGES;
    struct payment_word says;

    if (!w->faults.are_over && n < REFUSES_PPM)
        choice = PAYMENT_SERVICE_DECLINES;
    else if (!w->faults.are_over && n < REFUSES_PPM + WAITS_PPM)
        choice = PAYMENT_SERVICE_WAITS;
    if (payment_service_hear(&w->outside.payments, e, choice, &says))
        say_money(w, &says);
}

static void stock_hears(struct world *w, const struct event *e)
{
    bool has_some = !chance_hits(&w->outside.chance, REFUSES_PPM) || w->faults.are_over;
    struct stock_word says;

    if (stock_service_hear(&w->outside.stock, e, has_some, &says))
        say_stock(w, &says);
}

void outside_hears(struct world *w, const struct event *e)
{
    if (!w->outside.is_there)
        return;
    if (w->outside.which == SIMULATOR_PAYMENTS)
        payments_hear(w, e);
    else
        stock_hears(w, e);
    if (!w->faults.are_over && chance_hits(&w->outside.chance, NONSENSE_PPM))
        talk_nonsense(w);
}

/* ---- the process ----------------------------------------------------------------------------- */

void outside_add(struct world *w)
{
    struct outside *o = &w->outside;

    app_set_message_reader(w->process.app, &o->reader.base);
    if (!o->is_there)
        return;
    o->inlet = inlet_create(&(struct inlet_config){ .app = w->process.app,
                                                    .id = w->relay.port.id,
                                                    .reader = &o->reader,
                                                    .items_max = SIM_INLET_ITEMS,
                                                    .done = on_done,
                                                    .ctx = w });
}

void outside_drain(struct world *w)
{
    if (w->outside.is_there)
        inlet_drain(w->outside.inlet);
}

void outside_remove(struct world *w)
{
    if (w->outside.is_there)
        inlet_destroy(w->outside.inlet);
}

void outside_lose_all(struct world *w)
{
    struct outside *o = &w->outside;

    while (!list_is_empty(&o->given)) {
        struct outside_word *word =
            container_of(list_pop_front(&o->given), struct outside_word, given_link);

        word->handle = 0;
        bring_later(w, word, BRINGS_BITS);
    }
}
