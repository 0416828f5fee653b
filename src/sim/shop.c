/* What the clients want: a shop with a few products, some of them scarce; orders of both flows, each
 * with a client that looks after it; outside contexts that answer for payments, stock and shipments; an
 * operator who sees to dead letters, settings and stock. */
#include "orderly/base/mem.h"
#include "world.h"
#include <limits.h>
#include <stdio.h>

#define SECOND_US INT64_C(1000000)
#define ADDRESS                                                                                    \
    "{\"street\":\"1 Main St\",\"city\":\"Springfield\",\"postalCode\":\"62701\",\"country\":"     \
    "\"US\"}"
#define BURSTS_MAX 8
#define LOOKS_MAX 24
/* Crashes are bounded, and so are full disks: by then the first products are there. */
#define OPENS_S 7200

/* ---- what answers say ------------------------------------------------------------------------ */

/* The first member of this name, wherever it is: a text without escapes, or a number. */
bool json_text(struct str body, const char *name, char *out, size_t size)
{
    char quoted[48];
    int n = snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    const char *at = body.n ? memmem(body.p, body.n, quoted, (size_t)n) : NULL;
    const char *end = body.p + body.n;
    size_t len = 0;

    out[0] = 0;
    if (!at)
        return false;
    at += n;
    if (at < end && *at == '"') {
        at++;
        while (at + len < end && at[len] != '"')
            len++;
    } else {
        while (at + len < end && strchr(",}]", at[len]) == NULL)
            len++;
        if (len >= 4 && memcmp(at, "null", 4) == 0)
            return false;
    }
    if (len == 0 || len >= size)
        return false;
    memcpy(out, at, len);
    out[len] = 0;
    return true;
}

void shop_look_at(struct plan *p, struct str body)
{
    char status[24], sequence[24];

    if (!json_text(body, "orderId", p->id_text, sizeof(p->id_text)) ||
        !uuid_parse(str_of(p->id_text), &p->id.u))
        return;
    p->is_placed = true;
    if (json_text(body, "status", status, sizeof(status)))
        (void)order_status_parse(str_of(status), &p->status);
    if (json_text(body, "sequence", sequence, sizeof(sequence)))
        (void)str_to_u64(str_of(sequence), &p->sequence);
    (void)json_text(body, "totalAmount", p->total, sizeof(p->total));
    (void)json_text(body, "shipmentId", p->shipment_id, sizeof(p->shipment_id));
}

/* ---- outside contexts ------------------------------------------------------------------------ */

void shop_say(struct world *w, struct plan *p, const struct order_id *order, enum event_type type,
              const char *payload, bool is_essential)
{
    unsigned n = 1;
    struct wish *first;
    char id[UUID_TEXT_LEN + 1] = "";

    uuid_format(order->u, id);
    if (!is_essential && fault_hits(w, SIM_FAULT_DUPLICATE)) {
        n += 1 + (unsigned)chance_below(&w->faults.chance, 5);
        w->faults.counts[SIM_FAULT_DUPLICATE] += n - 2;
    }
    first = wish_create(w, SIM_MESSAGE, "POST", p);
    (void)snprintf(first->key, sizeof(first->key), "msg-%llu-%u",
                   (unsigned long long)w->config.seed, w->shop.n_messages++);
    first->message_type = type;
    first->is_essential = is_essential;
    wish_order(first, order);
    wish_target(first, "/messages/%s", event_infos[type].topic.p);
    wish_body(first, "{\"messageId\":\"%s\",\"payload\":{\"orderId\":\"%s\",%s}}", first->key, id,
              payload);
    for (unsigned i = 1; i < n; i++) {
        struct wish *again = wish_repeat(w, first);

        again->client = UINT_MAX;
        wish_start(w, again, chance_span(&w->faults.chance, 24));
    }
    wish_start(w, first, 0);
}

static void say_payment(struct world *w, struct plan *p)
{
    struct chance *c = &p->chance;
    enum event_type type =
        p->flow == FLOW_PAY_FIRST ? EVENT_PAYMENT_APPROVED : EVENT_PAYMENT_PROCESSED;
    char payload[256];
    unsigned payer = p->index;

    if (!p->total[0])
        return;
    if (chance_hits(c, 150000)) {
        type = p->flow == FLOW_PAY_FIRST ? EVENT_PAYMENT_DECLINED : EVENT_PAYMENT_FAILED;
        (void)snprintf(payload, sizeof(payload),
                       "\"paymentId\":\"outpay-%u-%u\",\"reason\":\"no funds\"", payer,
                       p->n_outside);
    } else {
        if (chance_hits(c, 30000))
            payer = (unsigned)chance_below(c, w->shop.n_plans); /* perhaps another order's */
        (void)snprintf(payload, sizeof(payload),
                       "\"paymentId\":\"outpay-%u-%u\",\"approvedAmount\":%s,\"currency\":\"USD\"",
                       payer, payer == p->index ? p->n_outside : 0,
                       chance_hits(c, 50000) ? "0.01" : p->total);
    }
    p->n_outside++;
    shop_say(w, p, &p->id, type, payload, false);
}

static void say_stock(struct world *w, struct plan *p)
{
    struct chance *c = &p->chance;
    bool is_rejected = chance_hits(c, 200000) || p->n_reserved >= PLAN_RESERVED_MAX;
    char payload[256];
    enum event_type type;

    if (p->flow == FLOW_PAY_FIRST)
        type = is_rejected ? EVENT_STOCK_REJECTED : EVENT_STOCK_RESERVED;
    else
        type = is_rejected ? EVENT_INVENTORY_RESERVATION_FAILED : EVENT_INVENTORY_RESERVED;
    if (is_rejected)
        (void)snprintf(payload, sizeof(payload), "\"reason\":\"none left\"");
    else
        (void)snprintf(payload, sizeof(payload), "\"reservationId\":\"outres-%u-%u\"", p->index,
                       p->n_reserved++);
    shop_say(w, p, &p->id, type, payload, false);
}

static void say_shipment(struct world *w, struct plan *p)
{
    static const enum event_type types[] = { EVENT_SHIPMENT_DISPATCHED, EVENT_SHIPMENT_DELIVERED,
                                             EVENT_SHIPMENT_CANCELLED };
    struct chance *c = &p->chance;
    char payload[256];
    enum event_type type = EVENT_SHIPMENT_CREATED;

    if (p->shipment_id[0] && chance_hits(c, 700000)) {
        type = types[chance_below(c, ARRAY_LEN(types))];
        (void)snprintf(payload, sizeof(payload), "\"shipmentId\":\"%s\"", p->shipment_id);
    } else {
        (void)snprintf(payload, sizeof(payload),
                       "\"shipmentId\":\"outship-%u-%u\",\"trackingNumber\":\"TRK-OUT-%u\"",
                       p->index, p->n_outside++, p->index);
    }
    shop_say(w, p, &p->id, type, payload, false);
}

/* ---- one order ------------------------------------------------------------------------------- */

static void plan_look(struct world *w, struct task *t);

static void plan_over(struct world *w, struct plan *p)
{
    if (p->is_over)
        return;
    p->is_over = true;
    w->shop.n_over++;
    task_stop(w, &p->task);
}

static void look_later(struct world *w, struct plan *p)
{
    if (p->looks >= LOOKS_MAX || w->shop.is_finishing)
        plan_over(w, p);
    else
        task_start(w, &p->task, plan_look,
                   100000 + chance_span(&p->chance, p->looks < 8 ? 22 : 28));
}

static void on_commanded(struct world *w, struct wish *r, const struct response *res)
{
    (void)w;
    if (res && res->status == 200)
        shop_look_at(r->plan, res->body);
}

static void command(struct world *w, struct plan *p, enum sim_command what, const char *verb,
                    const char *body)
{
    struct wish *r = wish_create(w, what, "POST", p);

    wish_order(r, &p->id);
    wish_target(r, "/orders/%s/%s", p->id_text, verb);
    if (body)
        wish_body(r, "%s", body);
    if (chance_hits(&p->chance, 800000))
        wish_key(w, r);
    if (chance_hits(&p->chance, 150000)) /* only if nothing has happened since it was looked at */
        r->if_match = p->sequence;
    r->done = on_commanded;
    wish_start(w, r, 0);
}

static void command_shipment(struct world *w, struct plan *p, enum sim_command what,
                             const char *verb)
{
    struct wish *r = wish_create(w, what, "POST", p);

    wish_order(r, &p->id);
    wish_target(r, "/shipments/%s/%s", p->shipment_id, verb);
    if (chance_hits(&p->chance, 800000))
        wish_key(w, r);
    wish_start(w, r, 0);
}

static void pay(struct world *w, struct plan *p)
{
    char body[96];

    switch (chance_below(&p->chance, 4)) {
    case 0:
        command(w, p, SIM_APPROVE, "pay", NULL);
        break;
    case 1:
        (void)snprintf(body, sizeof(body), "{\"paymentId\":\"till-%u-%u\"}", p->index,
                       (unsigned)chance_below(&p->chance, 2));
        command(w, p, SIM_MARK_PAID, "mark-paid", body);
        break;
    default:
        say_payment(w, p);
        break;
    }
}

/* The next thing that helps the order along, from where it was last seen. */
static void help(struct world *w, struct plan *p)
{
    struct chance *c = &p->chance;

    switch (p->status) {
    case ORDER_AWAITING_PAYMENT:
    case ORDER_CONFIRMED:
        if (p->looks > 2 || chance_hits(c, w->shop.outside_ppm))
            pay(w, p);
        break;
    case ORDER_PENDING:
        if (chance_hits(c, w->shop.outside_ppm))
            say_stock(w, p);
        break;
    case ORDER_PAID:
        if (chance_hits(c, w->shop.outside_ppm)) {
            if (p->flow == FLOW_PAY_FIRST)
                say_stock(w, p);
            else
                say_shipment(w, p);
        }
        break;
    case ORDER_STOCK_RESERVED:
        command(w, p, SIM_READY, "ready", NULL);
        break;
    case ORDER_READY:
        command(w, p, SIM_COMPLETE, "complete", NULL);
        break;
    case ORDER_SHIPPED:
        if (chance_hits(c, w->shop.outside_ppm))
            say_shipment(w, p);
        else if (chance_hits(c, 600000))
            command_shipment(w, p, SIM_DISPATCH, "dispatch");
        else
            command_shipment(w, p, SIM_DELIVER, "deliver");
        break;
    default:
        break;
    }
    if (chance_hits(c, w->shop.outside_ppm / 8)) { /* a word out of place */
        if (chance_hits(c, 500000))
            say_payment(w, p);
        else
            say_stock(w, p);
    }
}

static void on_looked(struct world *w, struct wish *r, const struct response *res)
{
    struct plan *p = r->plan;

    if (res && res->status == 200)
        shop_look_at(p, res->body);
    if (p->is_over || w->shop.is_finishing)
        return;
    help(w, p);
    if (order_status_is_final(p->status) && chance_hits(&p->chance, 700000))
        plan_over(w, p);
    else
        look_later(w, p);
}

/* Waits for one state, or for another. */
static void wait_for_state(struct plan *p, struct wish *r)
{
    struct chance *c = &p->chance;
    enum order_status one = (enum order_status)chance_between(c, 1, ORDER_STATUS_COUNT - 1),
                      other = (enum order_status)chance_between(c, 1, ORDER_STATUS_COUNT - 1);

    r->command = SIM_WAIT;
    r->may_lose = false; /* or nobody knows when it was answered */
    r->until = 1u << one | 1u << other;
    r->wait_ms = chance_between(c, 1, 25000);
    wish_target(r, "/orders/%s?until=%s,%s&wait=%lldms", p->id_text, order_status_name(one).p,
                order_status_name(other).p, (long long)r->wait_ms);
}

static void plan_look(struct world *w, struct task *t)
{
    struct plan *p = container_of(t, struct plan, task);
    struct wish *r = wish_create(w, SIM_READ, "GET", p);

    p->looks++;
    wish_order(r, &p->id);
    wish_target(r, "/orders/%s", p->id_text);
    if (chance_hits(&p->chance, 60000))
        wait_for_state(p, r);
    r->done = on_looked;
    wish_start(w, r, 0);
}

static void plan_cancel(struct world *w, struct task *t)
{
    struct plan *p = container_of(t, struct plan, cancel);

    fault_count(w, SIM_FAULT_CANCEL);
    command(w, p, SIM_CANCEL, "cancel", "{\"reason\":\"changed my mind\"}");
}

static void on_placed(struct world *w, struct wish *r, const struct response *res)
{
    struct plan *p = r->plan;

    if (!res || res->status > 201) {
        plan_over(w, p);
        return;
    }
    shop_look_at(p, res->body);
    if (!p->is_placed || w->shop.is_finishing) {
        plan_over(w, p);
        return;
    }
    if (fault_is_on(w, SIM_FAULT_CANCEL) &&
        chance_hits(&p->chance, w->faults.ppm[SIM_FAULT_CANCEL]))
        task_start(w, &p->cancel, plan_cancel, chance_span(&p->chance, 27));
    look_later(w, p);
}

static void place_direct(struct world *w, struct plan *p)
{
    struct wish *r = wish_create(w, SIM_PLACE, "POST", p);
    char items[400];
    size_t n = 0;

    for (unsigned i = 0; i < p->n_lines; i++)
        n += (size_t)snprintf(items + n, sizeof(items) - n,
                              "%s{\"sku\":\"PRODUCT-%u\",\"quantity\":%u}", i ? "," : "",
                              p->product[i], p->quantity[i]);
    wish_target(r, "/orders");
    wish_body(r,
              "{\"customerId\":\"customer-%u\",\"items\":[%s],\"shippingAddress\":" ADDRESS "%s}",
              p->index % 7, items, p->flow == FLOW_PAY_FIRST ? ",\"flow\":\"pay_first\"" : "");
    if (p->has_key)
        wish_key(w, r);
    r->done = on_placed;
    wish_start(w, r, 0);
}

static void checkout(struct world *w, struct plan *p)
{
    struct wish *r = wish_create(w, SIM_CHECKOUT, "POST", p);

    wish_target(r, "/orders/checkout");
    wish_body(r, "{\"cartId\":\"%s\",\"shippingAddress\":" ADDRESS "}", p->cart_id);
    if (p->has_key)
        wish_key(w, r);
    r->done = on_placed;
    wish_start(w, r, 0);
}

static void add_item(struct world *w, struct plan *p);

static void on_added(struct world *w, struct wish *r, const struct response *res)
{
    struct plan *p = r->plan;

    if (!res || res->status != 200) {
        plan_over(w, p);
        return;
    }
    if (++p->n_added < p->n_lines)
        add_item(w, p);
    else
        checkout(w, p);
}

static void add_item(struct world *w, struct plan *p)
{
    struct wish *r = wish_create(w, SIM_OTHER_COMMAND, "POST", p);

    wish_target(r, "/carts/%s/items", p->cart_id);
    wish_body(r, "{\"productId\":\"PRODUCT-%u\",\"quantity\":%u}", p->product[p->n_added],
              p->quantity[p->n_added]);
    wish_key(w, r);
    r->done = on_added;
    wish_start(w, r, 0);
}

static void on_cart(struct world *w, struct wish *r, const struct response *res)
{
    struct plan *p = r->plan;

    if (!res || res->status != 201 ||
        !json_text(res->body, "cartId", p->cart_id, sizeof(p->cart_id)))
        plan_over(w, p);
    else
        add_item(w, p);
}

static void plan_begin(struct world *w, struct task *t)
{
    struct plan *p = container_of(t, struct plan, task);
    struct wish *r;

    if (!p->by_cart) {
        place_direct(w, p);
        return;
    }
    r = wish_create(w, SIM_OTHER_COMMAND, "POST", p);
    wish_target(r, "/carts");
    wish_body(r, "{\"customerId\":\"customer-%u\"}", p->index % 7);
    wish_key(w, r);
    r->done = on_cart;
    wish_start(w, r, 0);
}

static void plan_make(struct world *w, unsigned index)
{
    struct plan *p = &w->shop.plans[index];
    struct chance *c = &p->chance;

    *p = (struct plan){ .index = index };
    *c = chance_of_seed(w->config.seed, 'o', index);
    p->by_cart = chance_hits(c, 400000);
    p->flow = p->by_cart || chance_hits(c, 150000) ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST;
    p->has_key = chance_hits(c, 850000);
    p->n_lines = 1 + (unsigned)chance_below(c, PLAN_LINES_MAX);
    for (unsigned i = 0; i < p->n_lines; i++) {
        p->product[i] = (unsigned)chance_below(c, w->shop.n_products);
        p->quantity[i] = 1 + (unsigned)chance_below(c, 5);
    }
}

/* ---- the operator ---------------------------------------------------------------------------- */

static unsigned letters_of(struct world *w, struct str body)
{
    static const char name[] = "\"deadLetterId\":\"";
    const char *at = body.p, *end = body.p + body.n;
    unsigned n = 0;

    while (at && at < end && (at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1))) {
        char id[UUID_TEXT_LEN + 1], state[16], order[UUID_TEXT_LEN + 1], where[24];
        struct str rest = { at, (size_t)(end - at) };
        bool is_open = json_text(rest, "state", state, sizeof(state)) && strcmp(state, "open") == 0;
        bool is_parked = strcmp(state, "parked") == 0;
        bool is_audit =
            json_text(rest, "subscription", where, sizeof(where)) && strcmp(where, "audit") == 0;

        at += sizeof(name) - 1;
        n++;
        if (!json_text(rest, "deadLetterId", id, sizeof(id)) || !(is_open || is_parked) ||
            !chance_hits(&w->wishes, 600000))
            continue;
        /* Discarding what an order waits for would leave it unsettled, by the operator's own wish. */
        {
            /* What a broker brought and nobody can read is no better the next time. */
            bool is_nonsense = is_open && strcmp(where, "kafka") == 0;
            bool discards =
                is_nonsense || ((is_open || is_audit) && chance_hits(&w->wishes, 400000));
            struct wish *r = wish_create(w, discards ? SIM_DISCARD : SIM_RETRY, "POST", NULL);
            struct order_id oid;

            if (json_text(rest, "orderId", order, sizeof(order)) &&
                uuid_parse(str_of(order), &oid.u))
                wish_order(r, &oid);
            wish_target(r, "/dead-letters/%s/%s", id, discards ? "discard" : "retry");
            if (discards)
                wish_body(r, "{\"reason\":\"nobody needs it\"}");
            if (chance_hits(&w->wishes, 700000))
                wish_key(w, r);
            wish_start(w, r, 0);
        }
    }
    return n;
}

static void on_letters(struct world *w, struct wish *r, const struct response *res)
{
    (void)r;
    if (res && res->status == 200 && !w->shop.is_finishing)
        (void)letters_of(w, res->body);
}

static void look_at_settings(struct world *w)
{
    enum simulator which = (enum simulator)chance_below(&w->wishes, SIMULATOR_COUNT);
    struct wish *r;

    if (outside_answers_for(w, which))
        return;
    r = wish_create(w, SIM_READ_SETTINGS, "GET", NULL);
    r->simulator = which;
    wish_target(r, "/simulators/%s", simulator_name(r->simulator).p);
    wish_start(w, r, 0);
}

static void operator_looks(struct world *w, struct task *t)
{
    struct wish *r = wish_create(w, SIM_READ, "GET", NULL);

    look_at_settings(w);

    wish_target(r, "/dead-letters?limit=20");
    r->done = on_letters;
    wish_start(w, r, 0);
    task_start(w, t, operator_looks, chance_between(&w->wishes, 10, 400) * SECOND_US);
}

static const char *yes_or_no(bool b)
{
    return b ? "true" : "false";
}

static unsigned delay_of(struct world *w, bool is_normal)
{
    return is_normal ? 10 : (unsigned)chance_span(&w->wishes, 13);
}

/* How many times each message fails first: seldom as often as it is tried. */
static unsigned fail_first_of(struct world *w, bool is_normal)
{
    return is_normal || chance_hits(&w->wishes, 600000) ? 0 : (unsigned)chance_below(&w->wishes, 5);
}

void shop_put_settings(struct world *w, enum simulator which, bool is_normal, wish_cb done)
{
    static const char *const payments[] = { "approve", "approve", "approve", "decline", "wait" };
    struct wish *r = wish_create(w, SIM_SETTINGS, "PUT", NULL);
    struct chance *c = &w->wishes;
    bool is_on = is_normal || chance_hits(c, 850000);
    bool is_odd = !is_normal && chance_hits(c, 200000);
    bool poisons = !is_normal && chance_hits(c, 100000);
    const char *mode = payments[is_normal ? 0 : chance_below(c, 5)];
    unsigned d1 = delay_of(w, is_normal), d2 = delay_of(w, is_normal),
             f = fail_first_of(w, is_normal), seed = (unsigned)chance_below(c, 100);

    r->simulator = which;
    wish_target(r, "/simulators/%s", simulator_name(which).p);
    switch (which) {
    case SIMULATOR_PAYMENTS:
        wish_body(r,
                  "{\"enabled\":%s,\"mode\":\"%s\",\"delayMs\":{\"pay_first\":%u,\"stock_first\":"
                  "%u},\"failFirst\":%u,\"failureRate\":%s,\"poisonRate\":%s,\"seed\":%u}",
                  yes_or_no(is_on), mode, d1, d2, f, is_odd ? "0.3" : "0.0",
                  poisons ? "0.1" : "0.0", seed);
        break;
    case SIMULATOR_INVENTORY:
        wish_body(r,
                  "{\"enabled\":%s,\"mode\":\"%s\",\"delayMs\":{\"pay_first\":%u,\"stock_first\":"
                  "%u},\"failFirst\":%u}",
                  yes_or_no(is_on), is_odd ? "reject" : "auto", d1, d2, f);
        break;
    default:
        wish_body(r,
                  "{\"enabled\":%s,\"mode\":\"%s\",\"delayMs\":{\"pay_first\":%u,\"stock_first\":"
                  "%u},\"failFirst\":%u}",
                  yes_or_no(is_on), is_odd ? "wait" : "auto", d1, d2, f);
        break;
    }
    r->is_essential = is_normal;
    r->done = done;
    wish_start(w, r, 0);
}

static void change_settings(struct world *w, struct task *t)
{
    enum simulator which = (enum simulator)chance_below(&w->wishes, SIMULATOR_COUNT);

    if (!outside_answers_for(w, which)) {
        fault_count(w, SIM_FAULT_SETTINGS);
        shop_put_settings(w, which, false, NULL);
    }
    task_start(
        w, t, change_settings,
        chance_between(&w->wishes, 1, 2 * 3600 * SECOND_US / w->faults.ppm[SIM_FAULT_SETTINGS]));
}

/* ---- products -------------------------------------------------------------------------------- */

static void change_stock(struct world *w, struct task *t)
{
    struct wish *r = wish_create(w, SIM_OTHER_COMMAND, "PATCH", NULL);

    wish_target(r, "/products/PRODUCT-%u", (unsigned)chance_below(&w->wishes, w->shop.n_products));
    wish_body(r, "{\"stockDelta\":%lld}", (long long)chance_between(&w->wishes, -6, 8));
    wish_start(w, r, 0);
    task_start(w, t, change_stock, chance_between(&w->wishes, 1, 400) * SECOND_US);
}

static void on_product(struct world *w, struct wish *r, const struct response *res)
{
    (void)r;
    if (res)
        w->shop.n_products_made++;
}

static void make_product(struct world *w, unsigned i)
{
    struct wish *r = wish_create(w, SIM_OTHER_COMMAND, "POST", NULL);
    /* Every second one is scarce: less than what so many orders would like. */
    unsigned many = 8 * w->config.orders + 10,
             few = 5 + (unsigned)chance_below(&w->wishes, w->config.orders + 1),
             price = 100 + (unsigned)chance_below(&w->wishes, 9000);

    wish_target(r, "/products");
    wish_body(r,
              "{\"sku\":\"PRODUCT-%u\",\"name\":\"Product\",\"price\":%u.%02u,\"currency\":"
              "\"USD\",\"stockQuantity\":%u}",
              i, price / 100, price % 100, i % 2 ? few : many);
    wish_key(w, r);
    r->is_essential = true;
    r->done = on_product;
    wish_start(w, r, 0);
}

/* ---- all ------------------------------------------------------------------------------------- */

void shop_init(struct world *w)
{
    struct shop *s = &w->shop;
    struct chance c = chance_of_seed(w->config.seed, 'h', 0);
    static const unsigned outside[] = { 0, 50000, 300000, 900000 };

    s->n_products = 2 + (unsigned)chance_below(&c, PRODUCTS_N_MAX - 1);
    s->outside_ppm = outside[chance_below(&c, ARRAY_LEN(outside))];
    s->n_plans = w->config.orders;
    s->plans = mem_alloc((s->n_plans + 1) * sizeof(*s->plans));
    for (unsigned i = 0; i < s->n_plans; i++)
        plan_make(w, i);
}

void shop_deinit(struct world *w)
{
    mem_free(w->shop.plans);
}

/* Orders come in bursts, so that they meet each other. */
static void let_orders_come(struct world *w, int64_t duration_us)
{
    struct chance c = chance_of_seed(w->config.seed, 'b', 0);
    unsigned n_bursts = 1 + (unsigned)chance_below(&c, BURSTS_MAX);
    int64_t begins[BURSTS_MAX];
    unsigned width = 14 + (unsigned)chance_below(&c, 12); /* a burst takes up to 2^width us */

    for (unsigned i = 0; i < n_bursts; i++)
        begins[i] = chance_between(&c, 0, duration_us * 3 / 4);
    for (unsigned i = 0; i < w->shop.n_plans; i++) {
        int64_t begins_us = begins[chance_below(&c, n_bursts)];

        begins_us += (int64_t)chance_below(&c, UINT64_C(1) << width);
        task_start(w, &w->shop.plans[i].task, plan_begin, begins_us);
    }
}

void shop_open(struct world *w, int64_t duration_us)
{
    for (unsigned i = 0; i < w->shop.n_products; i++)
        make_product(w, i);
    for (unsigned i = 0; i < OPENS_S && w->shop.n_products_made < w->shop.n_products; i++)
        if (!w->is_over)
            world_run_until(w, world_now_us(w) + SECOND_US);
    if (w->shop.n_products_made < w->shop.n_products && !w->is_over) {
        witness_unanswered(w->witness, "who adds the first products");
        w->is_over = true;
    }
    let_orders_come(w, duration_us);
    task_start(w, &w->shop.operator_task, operator_looks, 5 * SECOND_US);
    task_start(w, &w->shop.stock_task, change_stock, 10 * SECOND_US);
    if (fault_is_on(w, SIM_FAULT_SETTINGS))
        task_start(w, &w->shop.settings_task, change_settings,
                   chance_between(&w->wishes, 0, 60) * SECOND_US);
}
