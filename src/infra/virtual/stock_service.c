#include "orderly/infra/virtual/stock_service.h"
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include <stdio.h>

void stock_service_init(struct stock_service *s, const struct map_key *key)
{
    map_init(&s->accounts, key);
}

static void free_account(void *ctx, struct map_node *n)
{
    (void)ctx;
    mem_free(container_of(n, struct stock_account, node));
}

void stock_service_deinit(struct stock_service *s)
{
    map_each(&s->accounts, free_account, NULL);
    map_deinit(&s->accounts);
}

static struct stock_account *account_of(struct stock_service *s, const struct event *e)
{
    struct map_node *n = map_find(&s->accounts, uuid_bytes(&e->p.order_id.u));
    struct stock_account *a;

    if (n)
        return container_of(n, struct stock_account, node);
    a = mem_zalloc(sizeof(*a));
    a->order = e->p.order_id;
    a->reservation.t = text_id_of_word("reservation", a->order.u);
    map_insert(&s->accounts, &a->node, uuid_bytes(&a->order.u));
    return a;
}

static bool says(struct stock_word *out, struct stock_account *a, const char *what,
                 enum event_type type)
{
    char order[UUID_TEXT_LEN];

    uuid_format(a->order.u, order);
    *out = (struct stock_word){ .account = a, .type = type };
    (void)snprintf(out->id, sizeof(out->id), "%s-%.*s", what, UUID_TEXT_LEN, order);
    return true;
}

static bool reserve(struct stock_account *a, bool pays_first, bool has_some, struct stock_word *out)
{
    if (a->state != STOCK_OPEN)
        return false;
    a->state = has_some ? STOCK_KEPT : STOCK_REFUSED;
    if (has_some)
        return says(out, a, "reserve",
                    pays_first ? EVENT_STOCK_RESERVED : EVENT_INVENTORY_RESERVED);
    return says(out, a, "reject",
                pays_first ? EVENT_STOCK_REJECTED : EVENT_INVENTORY_RESERVATION_FAILED);
}

static bool let_go(struct stock_account *a, bool pays_first, const struct reservation_id *which,
                   struct stock_word *out)
{
    if (a->state != STOCK_KEPT || !text_id_eq(&which->t, &a->reservation.t))
        return false;
    a->state = STOCK_LET_GO;
    return says(out, a, "release", pays_first ? EVENT_STOCK_RELEASED : EVENT_INVENTORY_RELEASED);
}

bool stock_service_hear(struct stock_service *s, const struct event *e, bool has_some,
                        struct stock_word *out)
{
    bool pays_first = e->p.flow == FLOW_PAY_FIRST;

    switch (e->type) {
    case EVENT_ORDER_PLACED:
        return !pays_first && reserve(account_of(s, e), pays_first, has_some, out);
    case EVENT_ORDER_PAID:
        return pays_first && reserve(account_of(s, e), pays_first, has_some, out);
    case EVENT_ORDER_RELEASE_REQUESTED:
        return let_go(account_of(s, e), pays_first, &e->p.reservation_id, out);
    case EVENT_ORDER_CANCELLED:
    case EVENT_ORDER_REJECTED:
    case EVENT_ORDER_PAYMENT_FAILED:
        return e->p.release.set &&
               let_go(account_of(s, e), pays_first, &e->p.release.reservation_id, out);
    default:
        return false;
    }
}

void stock_word_body(const struct stock_word *word, struct buf *out)
{
    const struct stock_account *a = word->account;
    char order[UUID_TEXT_LEN];

    uuid_format(a->order.u, order);
    buf_printf(out, "{\"messageId\":\"%s\",\"payload\":{\"orderId\":\"%.*s\",", word->id,
               UUID_TEXT_LEN, order);
    if (word->type == EVENT_STOCK_REJECTED || word->type == EVENT_INVENTORY_RESERVATION_FAILED)
        buf_printf(out, "\"reason\":\"none left\"}}");
    else
        buf_printf(out, "\"reservationId\":\"" STR_FMT "\"}}",
                   STR_ARG(text_id_str(&a->reservation.t)));
}
