/* When faults have stopped: the contexts behave, an operator has what is parked tried again, and what
 * waits for a person or for an outside context gets its answer, as a shop would do at the end of the
 * day. Then nothing may be left. */
#include "world.h"
#include <stdio.h>

#define SECOND_US INT64_C(1000000)
#define ROUNDS_MAX 12
#define QUIET_S 60
/* Before this round only what would come by itself, as payment timeouts do, is waited for. */
#define ROUND_OF_CANCELS 2

static void stop_wishes(struct world *w)
{
    struct shop *s = &w->shop;

    s->is_finishing = true;
    task_stop(w, &s->operator_task);
    task_stop(w, &s->settings_task);
    task_stop(w, &s->stock_task);
    for (unsigned i = 0; i < s->n_plans; i++) {
        task_stop(w, &s->plans[i].task);
        task_stop(w, &s->plans[i].cancel);
    }
}

static void wait_s(struct world *w, int64_t s)
{
    world_run_until(w, world_now_us(w) + s * SECOND_US);
}

static void on_answer(struct world *w, struct wish *r, const struct response *res)
{
    (void)r;
    (void)res;
    w->finish.n_open--;
}

/* A request that is tried until it is answered. */
static struct wish *ask(struct world *w, enum sim_command command, const char *method, wish_cb done)
{
    struct wish *r = wish_create(w, command, method, NULL);

    r->is_essential = true;
    r->done = done;
    w->finish.n_open++;
    return r;
}

static void wait_for_answers(struct world *w)
{
    for (unsigned i = 0; i < QUIET_S && w->finish.n_open > 0 && !w->is_over; i++)
        wait_s(w, 1);
    if (w->finish.n_open > 0 && !w->is_over) {
        witness_unanswered(w->witness, "the shop at the end of the day");
        w->is_over = true;
    }
}

/* ---- one unsettled order --------------------------------------------------------------------- */

static struct plan *plan_of(struct world *w, const struct order_id *id)
{
    for (unsigned i = 0; i < w->shop.n_plans; i++)
        if (w->shop.plans[i].is_placed && uuid_eq(w->shop.plans[i].id.u, id->u))
            return &w->shop.plans[i];
    return NULL;
}

/* What was paid elsewhere is given back elsewhere. */
static void refund(struct world *w, const struct order_id *id, struct str order)
{
    static const char name[] = "\"refunds\":[";
    const char *at = memmem(order.p, order.n, name, sizeof(name) - 1);
    const char *end;
    char text[UUID_TEXT_LEN + 1] = "";

    uuid_format(id->u, text);
    if (!at)
        return;
    at += sizeof(name) - 1;
    end = memchr(at, ']', (size_t)(order.p + order.n - at));
    while (end && at < end) {
        struct str one = { at, (size_t)(end - at) };
        char payment[TEXT_ID_MAX + 1], amount[24], status[16], payload[256];
        const char *next = memchr(at, '}', one.n);

        if (!next)
            return;
        one.n = (size_t)(next - at) + 1;
        at = next + 1;
        if (!json_text(one, "paymentId", payment, sizeof(payment)) ||
            !json_text(one, "amount", amount, sizeof(amount)) ||
            !json_text(one, "status", status, sizeof(status)) || strcmp(status, "due") != 0 ||
            strncmp(payment, "payment-", 8) == 0)
            continue;
        (void)snprintf(payload, sizeof(payload),
                       "\"paymentId\":\"%s\",\"amount\":%s,\"currency\":\"USD\"", payment, amount);
        shop_say(w, plan_of(w, id), id, EVENT_PAYMENT_REFUNDED, payload, true);
    }
}

/* The order says only that something is due; the outside context knows what it reserved. */
static void release(struct world *w, const struct order_id *id, struct str order)
{
    static const char due[] = "\"release\":{\"status\":\"due\"";
    struct plan *p = plan_of(w, id);

    if (!p || !memmem(order.p, order.n, due, sizeof(due) - 1))
        return;
    for (unsigned i = 0; i < p->n_reserved; i++) {
        char payload[128];

        (void)snprintf(payload, sizeof(payload), "\"reservationId\":\"outres-%u-%u\"", p->index, i);
        shop_say(w, p, id,
                 p->flow == FLOW_PAY_FIRST ? EVENT_STOCK_RELEASED : EVENT_INVENTORY_RELEASED,
                 payload, true);
    }
}

static void settle(struct world *w, struct str order)
{
    char text[UUID_TEXT_LEN + 1], name[24];
    struct order_id id;
    enum order_status status;

    if (!json_text(order, "orderId", text, sizeof(text)) || !uuid_parse(str_of(text), &id.u) ||
        !json_text(order, "status", name, sizeof(name)) ||
        !order_status_parse(str_of(name), &status))
        return;
    w->finish.n_unsettled++;
    if (w->finish.round < ROUND_OF_CANCELS)
        return;
    refund(w, &id, order);
    release(w, &id, order);
    if (!order_status_is_final(status) && !order_status_is_at_rest(status)) {
        struct wish *r = ask(w, SIM_CANCEL, "POST", on_answer);

        wish_order(r, &id);
        wish_target(r, "/orders/%s/cancel", text);
        wish_body(r, "{\"reason\":\"end of the day\"}");
        wish_key(w, r);
        wish_start(w, r, 0);
    }
}

static void on_unsettled(struct world *w, struct wish *r, const struct response *res)
{
    static const char name[] = "{\"orderId\":\"";
    const char *at = res->body.p, *end = res->body.p + res->body.n;

    on_answer(w, r, res);
    at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1);
    while (at) {
        const char *next = memmem(at + 1, (size_t)(end - at) - 1, name, sizeof(name) - 1);

        settle(w, (struct str){ at, (size_t)((next ? next : end) - at) });
        at = next;
    }
}

static void on_parked(struct world *w, struct wish *r, const struct response *res)
{
    char id[UUID_TEXT_LEN + 1];

    on_answer(w, r, res);
    w->finish.n_parked += json_text(res->body, "deadLetterId", id, sizeof(id));
}

/* ---- a round --------------------------------------------------------------------------------- */

static void retry_what_is_parked(struct world *w)
{
    struct wish *r = ask(w, SIM_RETRY, "POST", on_answer);

    wish_target(r, "/dead-letters/retry");
    wish_body(r, "{\"filter\":{\"state\":\"parked\"},\"perSecond\":1000}");
    wish_start(w, r, 0);
}

static void look_for_what_is_left(struct world *w)
{
    struct wish *r = ask(w, SIM_READ, "GET", on_parked);

    w->finish.n_unsettled = w->finish.n_parked = 0;
    wish_target(r, "/dead-letters?state=parked&limit=1");
    wish_start(w, r, 0);
    r = ask(w, SIM_READ, "GET", on_unsettled);
    wish_target(r, "/orders?unsettledFor=1s&limit=500");
    wish_start(w, r, 0);
    wait_for_answers(w);
}

void finish_run(struct world *w)
{
    struct finish *f = &w->finish;
    struct chance c = chance_of_seed(w->config.seed, 'e', 0);

    stop_wishes(w);
    wait_s(w, QUIET_S); /* what was wished for is done, or given up */
    for (unsigned s = 0; s < SIMULATOR_COUNT; s++) {
        if (outside_answers_for(w, (enum simulator)s))
            continue;
        f->n_open++;
        shop_put_settings(w, (enum simulator)s, true, on_answer);
    }
    wait_for_answers(w);
    if (!w->is_over)
        probe_run(w);
    if (chance_hits(&c, 500000))
        wait_s(w, w->app_config.payment_timeout_ms / 1000 + QUIET_S);
    for (f->round = 0; f->round < ROUNDS_MAX && !w->is_over; f->round++) {
        retry_what_is_parked(w);
        wait_for_answers(w);
        wait_s(w, QUIET_S);
        look_for_what_is_left(w);
        if (f->n_unsettled == 0 && f->n_parked == 0)
            break;
    }
    wait_s(w, QUIET_S);
}
