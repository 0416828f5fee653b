/* When faults have stopped, somebody orders once more: one of what there is plenty of, in each flow. It
 * is taken, and goes the whole way, as if nothing had ever been: what a fault has left closed, or deaf,
 * or refusing what is possible, is seen here. */
#include "world.h"
#include <stdio.h>

#define SECOND_US INT64_C(1000000)
#define PIECES 1000
#define ANSWER_S 60
/* A way of a few messages, each some milliseconds. */
#define WAY_S 4

static void wait_s(struct world *w, int64_t s)
{
    world_run_until(w, world_now_us(w) + s * SECOND_US);
}

/* False: nobody answers. */
static bool wait_for_answers(struct world *w, const char *what)
{
    for (unsigned i = 0; i < ANSWER_S && w->probe.n_open > 0 && !w->is_over; i++)
        wait_s(w, 1);
    if (w->probe.n_open > 0 && !w->is_over) {
        witness_unanswered(w->witness, what);
        w->is_over = true;
    }
    return !w->is_over;
}

static void on_answer(struct world *w, struct wish *r, const struct response *res)
{
    (void)r;
    (void)res;
    w->probe.n_open--;
}

static struct wish *ask(struct world *w, enum sim_command command, const char *method, wish_cb done)
{
    struct wish *r = wish_create(w, command, method, NULL);

    r->is_essential = true;
    r->done = done;
    w->probe.n_open++;
    return r;
}

static void make_product(struct world *w)
{
    struct wish *r = ask(w, SIM_OTHER_COMMAND, "POST", on_answer);

    wish_target(r, "/products");
    wish_body(r,
              "{\"sku\":\"PLENTY\",\"name\":\"Plenty\",\"price\":9.99,\"currency\":\"USD\","
              "\"stockQuantity\":%d}",
              PIECES);
    wish_key(w, r);
    wish_start(w, r, 0);
}

/* ---- the two orders ---------------------------------------------------------------------------- */

static void on_placed(struct world *w, struct wish *r, const struct response *res)
{
    struct probed *p = &w->probe.orders[r->number == w->probe.first_number ? 0 : 1];

    on_answer(w, r, res);
    if (res && json_text(res->body, "orderId", p->id_text, sizeof(p->id_text)) &&
        uuid_parse(str_of(p->id_text), &p->id.u))
        witness_expects(w->witness, &p->id);
}

static void place(struct world *w, const char *flow)
{
    struct wish *r = ask(w, SIM_PLACE, "POST", on_placed);

    wish_target(r, "/orders");
    wish_body(r,
              "{\"customerId\":\"customer-last\",\"items\":[{\"sku\":\"PLENTY\",\"quantity\":3}],"
              "\"shippingAddress\":{\"street\":\"1 Main St\",\"city\":\"Springfield\","
              "\"postalCode\":\"62701\",\"country\":\"US\"},\"flow\":\"%s\"}",
              flow);
    wish_key(w, r);
    if (w->probe.first_number == 0)
        w->probe.first_number = r->number;
    wish_start(w, r, 0);
}

static void on_looked(struct world *w, struct wish *r, const struct response *res)
{
    struct probe *p = &w->probe;

    on_answer(w, r, res);
    if (res)
        (void)json_text(res->body, "shipmentId", p->shipment_id, sizeof(p->shipment_id));
}

static void look(struct world *w, const struct probed *p)
{
    struct wish *r = ask(w, SIM_READ, "GET", on_looked);

    wish_order(r, &p->id);
    wish_target(r, "/orders/%s", p->id_text);
    wish_start(w, r, 0);
}

static void command(struct world *w, enum sim_command what, const struct probed *p,
                    const char *folder, const char *id, const char *verb)
{
    struct wish *r = ask(w, what, "POST", on_answer);

    wish_order(r, &p->id);
    wish_target(r, "/%s/%s/%s", folder, id, verb);
    wish_start(w, r, 0);
}

void probe_run(struct world *w)
{
    struct probe *p = &w->probe;
    const struct probed *paid = &p->orders[0], *shipped = &p->orders[1];

    make_product(w);
    if (!wait_for_answers(w, "who adds a product"))
        return;
    place(w, "pay_first");
    place(w, "stock_first");
    if (!wait_for_answers(w, "who orders"))
        return;
    wait_s(w, WAY_S);
    look(w, shipped);
    if (!wait_for_answers(w, "who looks at an order"))
        return;
    command(w, SIM_READY, paid, "orders", paid->id_text, "ready");
    command(w, SIM_DISPATCH, shipped, "shipments", p->shipment_id, "dispatch");
    if (!wait_for_answers(w, "the shop, and the carrier"))
        return;
    command(w, SIM_COMPLETE, paid, "orders", paid->id_text, "complete");
    command(w, SIM_DELIVER, shipped, "shipments", p->shipment_id, "deliver");
    if (wait_for_answers(w, "the shop, and the carrier"))
        wait_s(w, WAY_S);
}

unsigned probe_orders(const struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_LEN(w->probe.orders); i++)
        n += w->probe.orders[i].id_text[0] != 0;
    return n;
}
