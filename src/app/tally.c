#include "orderly/app/tally.h"
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include <stdarg.h>
#include <stdio.h>

void tally_init(struct tally *t, const struct map_key *key)
{
    *t = (struct tally){ 0 };
    map_init(&t->stock, key);
}

static void tally_stock_free(void *ctx, struct map_node *n)
{
    (void)ctx;
    mem_free(container_of(n, struct tally_stock, node));
}

void tally_deinit(struct tally *t)
{
    map_each(&t->stock, tally_stock_free, NULL);
    map_deinit(&t->stock);
}

struct tally_stock *tally_find(struct tally *t, struct str sku)
{
    struct map_node *n = map_find(&t->stock, sku);

    return n ? container_of(n, struct tally_stock, node) : NULL;
}

static struct tally_stock *tally_stock_of(struct tally *t, const struct sku *sku)
{
    struct tally_stock *s = tally_find(t, sku_str(sku));

    if (s)
        return s;
    s = mem_zalloc(sizeof(*s));
    s->sku = *sku;
    map_insert(&t->stock, &s->node, sku_str(&s->sku));
    return s;
}

__attribute__((format(printf, 2, 3))) static const char *tally_say(struct tally *t, const char *fmt,
                                                                   ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(t->why, sizeof(t->why), fmt, args);
    va_end(args);
    return t->why;
}

/* ---- stock ----------------------------------------------------------------------------------- */

static const char *tally_move(struct tally *t, const struct event *e, const struct sku *sku,
                              int64_t quantity)
{
    struct tally_stock *s = tally_stock_of(t, sku);

    s->is_product |= e->type == EVENT_PRODUCT_ADDED;
    s->position = e->position;
    if (quantity > STOCK_MAX || quantity < -STOCK_MAX)
        return tally_say(t, "moves %lld pieces of " STR_FMT, (long long)quantity,
                         STR_ARG(sku_str(sku)));
    stock_apply(&s->stock, e->type, quantity);
    if (!s->is_product)
        return tally_say(t, "moves stock of " STR_FMT ", which was never added",
                         STR_ARG(sku_str(sku)));
    if (s->stock.reserved >= 0 && s->stock.on_hand >= s->stock.reserved)
        return NULL;
    return tally_say(t, "leaves %lld pieces of " STR_FMT " on hand and %lld reserved",
                     (long long)s->stock.on_hand, STR_ARG(sku_str(sku)),
                     (long long)s->stock.reserved);
}

/* Of reservations only those of the built-in inventory count. */
static const char *tally_reservation(struct tally *t, const struct event *e)
{
    const char *why = NULL;

    if (e->handled_by != SUBSCRIPTION_INVENTORY || e->type == EVENT_STOCK_REJECTED ||
        e->type == EVENT_INVENTORY_RESERVATION_FAILED)
        return NULL;
    for (unsigned i = 0; i < e->p.n_stock_lines; i++) {
        const char *one = tally_move(t, e, &e->p.stock_lines[i].sku, e->p.stock_lines[i].quantity);

        if (!why)
            why = one;
    }
    return why;
}

/* ---- letters --------------------------------------------------------------------------------- */

static const char *tally_letter(struct tally *t, const struct event *e)
{
    uint64_t *sequence;
    unsigned s = SUBSCRIPTION_NONE + 1;

    while (s < SUBSCRIPTION_COUNT &&
           !str_eq(text_id_str(&e->stream.id), subscription_name((enum subscription_id)s)))
        s++;
    if (s == SUBSCRIPTION_COUNT)
        return "lies in the stream of no subscription";
    sequence = &t->sequences[s];
    if (e->type != EVENT_MESSAGE_REFUSED) /* its letter follows */
        t->letters_open[s] += e->type == EVENT_DEAD_LETTERED ? 1 : -1;
    if (e->sequence == *sequence + 1) {
        *sequence = e->sequence;
        return NULL;
    }
    *sequence = e->sequence;
    return tally_say(t, "is number %llu of its subscription's stream, and does not follow",
                     (unsigned long long)e->sequence);
}

/* ---- an event -------------------------------------------------------------------------------- */

const char *tally_event(struct tally *t, const struct event *e)
{
    bool ascends = t->n_events == 0 || memcmp(e->id.u.b, t->last_id.u.b, sizeof(e->id.u.b)) > 0;

    t->n_events++;
    t->last_position = t->counts.position = e->position;
    t->last_id = e->id;
    t->n_placed += e->type == EVENT_ORDER_PLACED && e->stream.type != AGGREGATE_INBOX;
    order_counts_add(&t->counts, e);
    if (!ascends)
        return "has an id that does not ascend";
    switch (event_infos[e->type].aggregate) {
    case AGGREGATE_PRODUCT:
        return tally_move(t, e, &e->p.sku, e->p.stock_delta);
    case AGGREGATE_RESERVATION:
        return tally_reservation(t, e);
    case AGGREGATE_SUBSCRIPTION:
        return tally_letter(t, e);
    default:
        return NULL;
    }
}
