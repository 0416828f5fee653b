#include "orderly/app/carts.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/mem.h"

struct cart_load {
    struct store_read read;
    struct cart_entry *entry;
    struct cart_id id;
    struct cart cart;
    enum err status;
};

void carts_init(struct carts *cs, struct store *store, const struct map_key *key, size_t bytes_max)
{
    *cs = (struct carts){ .store = store, .bytes_max = bytes_max };
    map_init(&cs->map, key);
    list_init(&cs->lru);
}

static void cart_entry_free_node(void *ctx, struct map_node *n)
{
    (void)ctx;
    mem_free(container_of(n, struct cart_entry, node));
}

void carts_deinit(struct carts *cs)
{
    map_each(&cs->map, cart_entry_free_node, NULL);
    map_deinit(&cs->map);
}

static void cart_entry_forget(struct cart_entry *e)
{
    map_remove(&e->carts->map, &e->node);
    mem_free(e);
}

/* Of those that nobody uses; each is of the same size, however many lines it has. */
size_t carts_bytes(const struct carts *cs)
{
    return cs->len_unused * sizeof(struct cart_entry);
}

static void carts_evict(struct carts *cs)
{
    while (carts_bytes(cs) > cs->bytes_max) {
        cart_entry_forget(container_of(list_pop_front(&cs->lru), struct cart_entry, lru));
        cs->len_unused--;
        cs->n_evicted++;
    }
}

void cart_entry_close(struct cart_entry *e)
{
    struct carts *cs = e->carts;

    REQUIRE(e->pins > 0);
    if (--e->pins > 0)
        return;
    if (e->cart.sequence == 0) {
        cart_entry_forget(e);
        return;
    }
    list_push_back(&cs->lru, &e->lru);
    cs->len_unused++;
    carts_evict(cs);
}

static void cart_entry_pin(struct cart_entry *e)
{
    if (e->pins++ == 0 && !list_is_empty(&e->lru)) {
        list_remove(&e->lru);
        e->carts->len_unused--;
    }
}

static struct cart_entry *cart_entry_create(struct carts *cs, struct cart_id id)
{
    struct cart_entry *e = mem_zalloc(sizeof(*e));

    e->carts = cs;
    e->id = id;
    e->pins = 1;
    list_init(&e->lru);
    list_init(&e->waiting);
    turn_init(&e->turn);
    map_insert(&cs->map, &e->node, uuid_bytes(&e->id.u));
    return e;
}

static void cart_load_run(struct store_read *r, const struct store_view *v)
{
    struct cart_load *l = container_of(r, struct cart_load, read);
    struct arena a;
    struct str row;

    arena_init(&a, NULL, 0);
    l->status = store_get(v, DB_CARTS, uuid_bytes(&l->id.u), &a, &row);
    if (l->status == ERR_OK)
        l->status = cart_decode(row, &l->cart);
    else if (l->status == ERR_NOT_FOUND)
        l->status = ERR_OK;
    arena_deinit(&a);
}

static void cart_load_done(struct store_read *r)
{
    struct cart_load *l = container_of(r, struct cart_load, read);
    struct cart_entry *e = l->entry;
    enum err status = l->status;
    struct list waiting;

    e->cart = l->cart;
    e->is_loaded = status == ERR_OK;
    mem_free(l);
    list_take_all(&waiting, &e->waiting);
    while (!list_is_empty(&waiting)) {
        struct cart_wait *w = container_of(list_pop_front(&waiting), struct cart_wait, link);

        if (status == ERR_OK) {
            cart_entry_pin(e);
            w->entry = e;
        }
        w->ready(w, status);
    }
    if (status == ERR_OK)
        cart_entry_close(e); /* the loader's own pin */
    else
        cart_entry_forget(e);
}

static enum err cart_load_start(struct carts *cs, struct cart_entry *e)
{
    struct cart_load *l = mem_zalloc(sizeof(*l));
    enum err err;

    l->entry = e;
    l->id = e->id;
    l->read.run = cart_load_run;
    l->read.done = cart_load_done;
    err = store_read_start(cs->store, &l->read);
    if (err != ERR_OK)
        mem_free(l);
    return err;
}

void carts_open(struct carts *cs, struct cart_id id, struct cart_wait *w)
{
    struct map_node *n = map_find(&cs->map, uuid_bytes(&id.u));
    struct cart_entry *e = n ? container_of(n, struct cart_entry, node) : NULL;

    if (e && e->is_loaded) {
        cart_entry_pin(e);
        w->entry = e;
        w->ready(w, ERR_OK);
        return;
    }
    if (!e) {
        enum err err;

        e = cart_entry_create(cs, id);
        err = cart_load_start(cs, e);
        if (err != ERR_OK) {
            cart_entry_forget(e);
            w->ready(w, err);
            return;
        }
    }
    list_push_back(&e->waiting, &w->link);
}
