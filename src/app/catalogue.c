#include "orderly/app/catalogue.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"

void catalogue_init(struct catalogue *c, const struct map_key *key, unsigned len_max)
{
    *c = (struct catalogue){ .len_max = len_max };
    map_init(&c->map, key);
}

static void catalogue_entry_free_node(void *ctx, struct map_node *n)
{
    struct catalogue_entry *e = container_of(n, struct catalogue_entry, node);

    (void)ctx;
    product_deinit(&e->product);
    mem_free(e);
}

void catalogue_deinit(struct catalogue *c)
{
    map_each(&c->map, catalogue_entry_free_node, NULL);
    map_deinit(&c->map);
}

struct catalogue_entry *catalogue_find_any(struct catalogue *c, const struct sku *sku)
{
    struct map_node *n = map_find(&c->map, sku_str(sku));

    return n ? container_of(n, struct catalogue_entry, node) : NULL;
}

struct catalogue_entry *catalogue_find(struct catalogue *c, const struct sku *sku)
{
    struct catalogue_entry *e = catalogue_find_any(c, sku);

    return e && e->product.sequence > 0 ? e : NULL;
}

struct catalogue_entry *catalogue_add(struct catalogue *c, const struct sku *sku)
{
    struct catalogue_entry *e;

    REQUIRE(catalogue_find_any(c, sku) == NULL);
    if (c->len >= c->len_max)
        return NULL;
    e = mem_zalloc(sizeof(*e));
    e->product.sku = *sku;
    turn_init(&e->turn);
    map_insert(&c->map, &e->node, sku_str(&e->product.sku));
    c->len++;
    return e;
}

void catalogue_drop(struct catalogue *c, struct catalogue_entry *e)
{
    REQUIRE(turn_is_idle(&e->turn));
    map_remove(&c->map, &e->node);
    c->len--;
    product_deinit(&e->product);
    mem_free(e);
}

int64_t catalogue_available(const struct catalogue_entry *e)
{
    return stock_available(&e->durable) - e->lowering;
}

/* How much the change takes from what is available; a change that gives takes nothing. */
static int64_t stock_change_lowers(const struct stock_change *sc)
{
    int64_t by = sc->reserved - sc->on_hand;

    return by > 0 ? by : 0;
}

static void stock_add(struct stock *s, int64_t on_hand, int64_t reserved)
{
    s->on_hand += on_hand;
    s->reserved += reserved;
    ENSURE(s->reserved >= 0);
    ENSURE(s->on_hand >= s->reserved);
}

void stock_change_sequence(struct stock_change *sc, struct append *a, uint64_t position)
{
    struct catalogue_entry *e = sc->entry;
    struct buf row = { 0 };

    e->lowering += stock_change_lowers(sc);
    stock_add(&e->sequenced, sc->on_hand, sc->reserved);
    stock_encode(&e->sequenced, position, &row);
    append_put(a, DB_STOCK, sku_str(&e->product.sku), buf_str(&row));
    buf_deinit(&row);
}

void stock_change_durable(struct stock_change *sc, uint64_t position)
{
    struct catalogue_entry *e = sc->entry;

    e->lowering -= stock_change_lowers(sc);
    INVARIANT(e->lowering >= 0);
    stock_add(&e->durable, sc->on_hand, sc->reserved);
    if (position > e->position)
        e->position = position;
}

void stock_change_revoke(struct stock_change *sc)
{
    struct catalogue_entry *e = sc->entry;

    e->lowering -= stock_change_lowers(sc);
    INVARIANT(e->lowering >= 0);
    e->sequenced.on_hand -= sc->on_hand;
    e->sequenced.reserved -= sc->reserved;
}
