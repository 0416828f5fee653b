#include "routes.h"
#include "handlers.h"
#include "orderly/infra/http/target.h"
#include <stdio.h>

#define SHOP ROLE_CUSTOMER
#define CONTEXT ROLE_CONTEXT
#define OPERATOR ROLE_OPERATOR
#define ANYBODY ROLE_ANYBODY

/* Whose it is: a process that has none of them answers 421. */
#define OF_ORDERS .contexts = CONTEXT_BIT(ORDERS)
#define OF_SHIPMENTS .contexts = CONTEXT_BIT(SHIPMENTS)
#define OF_CATALOGUE .contexts = CONTEXT_BIT(ORDERS) | CONTEXT_BIT(INVENTORY)

#define ROUTE(method_, pattern_, roles_, handle_, ...)                                             \
    {                                                                                              \
        .method = HTTP_METHOD_##method_, .pattern = (pattern_), .roles = (roles_),                 \
        .handle = (handle_), __VA_ARGS__                                                           \
    }

/* A command's place in a path comes after its resource, so no pattern hides another
 * but for /orders/checkout, which is a POST where /orders/{id} is not, and for the streams, whose
 * name is no event's id and no topic. */
const struct route routes[] = {
    ROUTE(POST, "/carts", SHOP, carts_create, OF_ORDERS),
    ROUTE(GET, "/carts/{id}", SHOP, carts_get, OF_ORDERS),
    ROUTE(POST, "/carts/{id}/items", SHOP, carts_add_item, OF_ORDERS),
    ROUTE(PUT, "/carts/{id}/items/{productId}", SHOP, carts_set_item, OF_ORDERS),
    ROUTE(DELETE, "/carts/{id}/items/{productId}", SHOP, carts_remove_item, OF_ORDERS),
    ROUTE(POST, "/carts/{id}/convert", SHOP, carts_convert, OF_ORDERS),

    ROUTE(POST, "/orders/checkout", SHOP, orders_checkout, .is_new_work = true, OF_ORDERS),
    ROUTE(POST, "/orders", SHOP, orders_place, .is_new_work = true, OF_ORDERS),
    ROUTE(GET, "/orders", SHOP, orders_list,
          .query = " status customerId flow refund unsettledFor after cursor limit ",
          .is_long = true, OF_ORDERS),
    ROUTE(GET, "/orders/{id}", SHOP, orders_get, .query = " until wait ", OF_ORDERS),
    ROUTE(GET, "/orders/{id}/explain", OPERATOR, orders_explain, .is_long = true, OF_ORDERS),
    ROUTE(POST, "/orders/{id}/pay", SHOP, orders_pay, OF_ORDERS),
    ROUTE(POST, "/orders/{id}/mark-paid", OPERATOR, orders_mark_paid, OF_ORDERS),
    ROUTE(POST, "/orders/{id}/cancel", SHOP, orders_cancel, OF_ORDERS),
    ROUTE(POST, "/orders/{id}/ready", OPERATOR, orders_ready, OF_ORDERS),
    ROUTE(POST, "/orders/{id}/complete", OPERATOR, orders_complete, OF_ORDERS),

    ROUTE(GET, "/shipments/{id}", CONTEXT, shipments_get, OF_SHIPMENTS),
    ROUTE(POST, "/shipments/{id}/dispatch", CONTEXT, shipments_dispatch, OF_SHIPMENTS),
    ROUTE(POST, "/shipments/{id}/deliver", CONTEXT, shipments_deliver, OF_SHIPMENTS),

    ROUTE(GET, "/products", SHOP, products_list, .query = " after cursor limit ", .is_long = true,
          OF_CATALOGUE),
    ROUTE(POST, "/products", OPERATOR, products_add, OF_CATALOGUE),
    ROUTE(GET, "/products/{sku}", SHOP, products_get, OF_CATALOGUE),
    ROUTE(PATCH, "/products/{sku}", OPERATOR, products_change, OF_CATALOGUE),

    ROUTE(GET, "/events", OPERATOR, events_list,
          .query = " eventType aggregateId orderId correlationId after cursor limit ",
          .is_long = true),
    ROUTE(GET, "/events/{eventId}", OPERATOR, events_get),
    ROUTE(GET, "/events/stream", OPERATOR, events_stream,
          .query = " eventType aggregateId orderId correlationId after ", .answer = ROUTE_STREAM),
    ROUTE(GET, "/messages", CONTEXT, messages_list, .query = " topic encoding after cursor limit ",
          .is_long = true),
    ROUTE(GET, "/messages/stream", CONTEXT, messages_stream, .query = " topic encoding after ",
          .answer = ROUTE_STREAM),
    ROUTE(POST, "/messages", CONTEXT, messages_receive_events, .body_max = ROUTE_MESSAGE_BODY_MAX,
          .is_new_work = true),
    ROUTE(POST, "/messages/{topic}", CONTEXT, messages_receive, .body_max = ROUTE_MESSAGE_BODY_MAX,
          .is_new_work = true),

    ROUTE(GET, "/dead-letters", OPERATOR, dead_letters_list_all,
          .query = " subscription orderId topic code state after cursor limit ", .is_long = true),
    ROUTE(POST, "/dead-letters/retry", OPERATOR, dead_letters_retry_many),
    ROUTE(GET, "/dead-letters/{id}", OPERATOR, dead_letters_get_one),
    ROUTE(POST, "/dead-letters/{id}/retry", OPERATOR, dead_letters_retry,
          .body_max = ROUTE_MESSAGE_BODY_MAX),
    ROUTE(POST, "/dead-letters/{id}/discard", OPERATOR, dead_letters_discard),

    ROUTE(GET, "/simulators/{name}", OPERATOR, simulators_get),
    ROUTE(PUT, "/simulators/{name}", OPERATOR, simulators_put),

    ROUTE(GET, "/", ANYBODY, health_root),
    ROUTE(GET, "/livez", ANYBODY, health_live),
    ROUTE(GET, "/readyz", ANYBODY, health_ready),
    ROUTE(GET, "/metrics", OPERATOR, health_metrics, .answer = ROUTE_TEXT),
};
const unsigned routes_len = ARRAY_LEN(routes);

/* ---- the table made ready for looking up ----------------------------------------------------- */

static struct route_pattern *pattern_add(struct route_table *t, const char *text)
{
    struct str rest = str_of(text), segment;
    struct route_pattern *p;

    for (unsigned i = 0; i < t->n; i++) {
        if (strcmp(t->patterns[i].pattern, text) == 0)
            return &t->patterns[i];
    }
    REQUIRE(t->n < ROUTE_PATTERNS_MAX);
    p = &t->patterns[t->n++];
    p->pattern = text;
    while (http_path_next(&rest, &segment)) {
        bool is_param = segment.n && segment.p[0] == '{';

        REQUIRE(p->n_segments < ROUTE_SEGMENTS_MAX);
        p->n_params += is_param;
        p->segments[p->n_segments++] = is_param ? STR_NONE : segment;
    }
    REQUIRE(p->n_params <= ROUTE_PARAMS_MAX);
    return p;
}

static void pattern_write_allow(struct route_pattern *p)
{
    size_t n = 0;

    for (unsigned m = 0; m < HTTP_METHODS; m++) {
        if (!route_of(p, (enum http_method)m) && m != HTTP_METHOD_OPTIONS)
            continue;
        n += (size_t)snprintf(p->allow_text + n, sizeof(p->allow_text) - n, "%s%s", n ? ", " : "",
                              http_method_name((enum http_method)m));
        REQUIRE(n < sizeof(p->allow_text));
    }
    p->allow = (struct str){ p->allow_text, n };
}

void route_table_init(struct route_table *t)
{
    *t = (struct route_table){ .n = 0 };
    for (unsigned i = 0; i < routes_len; i++) {
        struct route_pattern *p = pattern_add(t, routes[i].pattern);

        REQUIRE(p->by_method[routes[i].method] == NULL);
        p->by_method[routes[i].method] = &routes[i];
    }
    for (unsigned i = 0; i < t->n; i++)
        pattern_write_allow(&t->patterns[i]);
}

const struct route *route_of(const struct route_pattern *p, enum http_method m)
{
    return p->by_method[m == HTTP_METHOD_HEAD ? HTTP_METHOD_GET : m];
}

static bool pattern_fits(const struct route_pattern *p, const struct str *segments, unsigned n,
                         struct str *params)
{
    unsigned n_params = 0;

    if (p->n_segments != n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (p->segments[i].p) {
            if (!str_eq(p->segments[i], segments[i]))
                return false;
        } else if (segments[i].n) {
            params[n_params++] = segments[i];
        } else {
            return false;
        }
    }
    return true;
}

enum err route_find(const struct route_table *t, struct str path, struct arena *a,
                    struct route_match *out)
{
    struct str segments[ROUTE_SEGMENTS_MAX + 1], segment;
    const struct str *from = segments;
    unsigned n = 0;

    *out = (struct route_match){ .pattern = NULL };
    while (http_path_next(&path, &segment)) {
        if (n == ARRAY_LEN(segments))
            return ERR_OK; /* longer than any of ours */
        if (http_percent_decode(a, segment, &segments[n++]) != ERR_OK)
            return ERR_INVALID;
    }
    if (n && str_eq(segments[0], STR("api"))) {
        out->has_prefix = true;
        from++;
        n--;
    }
    if (n == 0 && out->has_prefix) /* /api is as good as /api/ */
        segments[from - segments + n++] = STR("");
    /* A pattern without parameters comes first: /orders/checkout is no order's id. */
    for (unsigned i = 0; i < t->n; i++) {
        const struct route_pattern *p = &t->patterns[i];

        if (pattern_fits(p, from, n, out->params) && (!out->pattern || p->n_params == 0))
            out->pattern = p;
        if (out->pattern && out->pattern->n_params == 0)
            break;
    }
    if (out->pattern)
        (void)pattern_fits(out->pattern, from, n, out->params);
    return ERR_OK;
}

bool route_knows(const struct route *r, struct str parameter)
{
    const char *at = r->query;

    while (at && (at = strchr(at, ' ')) && at[1]) {
        const char *end = strchr(at + 1, ' ');

        if (!end)
            return false;
        if (str_eq((struct str){ at + 1, (size_t)(end - at - 1) }, parameter))
            return true;
        at = end;
    }
    return false;
}
