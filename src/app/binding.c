#include "app_private.h"
#include "orderly/base/mem.h"

static struct str binding_key(char key[BINDING_KEY_MAX], enum aggregate type, struct str id)
{
    REQUIRE(id.n <= TEXT_ID_MAX);
    key[0] = (char)type;
    memcpy(key + 1, id.p, id.n);
    return (struct str){ key, id.n + 1 };
}

static struct binding *binding_find(struct app *app, enum aggregate type, struct str id)
{
    char key[BINDING_KEY_MAX];
    struct map_node *n = map_find(&app->bindings, binding_key(key, type, id));

    return n ? container_of(n, struct binding, node) : NULL;
}

bool binding_is_taken_in_flight(struct app *app, enum aggregate type, struct str id,
                                struct lane_id lane)
{
    struct binding *b = binding_find(app, type, id);

    return b && !uuid_eq(b->lane.u, lane.u);
}

struct binding *binding_bind(struct app *app, struct append *a, enum aggregate type, struct str id,
                             struct lane_id lane)
{
    struct binding *b = binding_find(app, type, id);

    if (b) {
        REQUIRE(uuid_eq(b->lane.u, lane.u)); /* the caller has looked */
        list_remove(&b->link);
        b->refs++;
    } else {
        struct str key;

        b = mem_zalloc(sizeof(*b));
        key = binding_key((char *)b->key, type, id);
        b->n = (uint8_t)key.n;
        b->lane = lane;
        b->refs = 1;
        list_init(&b->link);
        map_insert(&app->bindings, &b->node, key);
    }
    append_put(a, DB_OWNERS, (struct str){ (const char *)b->key, b->n }, uuid_bytes(&b->lane.u));
    return b;
}

static void binding_forget(struct app *app, struct binding *b)
{
    list_remove(&b->link);
    map_remove(&app->bindings, &b->node);
    mem_free(b);
}

void binding_release(struct app *app, struct binding *b, bool is_durable)
{
    REQUIRE(b->refs > 0);
    b->is_durable |= is_durable;
    if (--b->refs > 0)
        return;
    if (!b->is_durable || list_is_empty(&app->binding_checks)) {
        binding_forget(app, b);
        return;
    }
    /* A check that is under way may have read the store before the row was there. */
    b->left_at = app->n_binding_checks;
    list_push_back(&app->bindings_left, &b->link);
}

static void bindings_forget_left(struct app *app)
{
    uint64_t oldest = UINT64_MAX;

    if (!list_is_empty(&app->binding_checks))
        oldest = container_of(app->binding_checks.next, struct binding_check, link)->number;
    while (!list_is_empty(&app->bindings_left)) {
        struct binding *b = container_of(app->bindings_left.next, struct binding, link);

        if (b->left_at >= oldest)
            return;
        binding_forget(app, b);
    }
}

static void binding_free_node(void *ctx, struct map_node *n)
{
    (void)ctx;
    mem_free(container_of(n, struct binding, node));
}

void bindings_deinit(struct app *app)
{
    map_each(&app->bindings, binding_free_node, NULL);
    map_deinit(&app->bindings);
}

static void binding_check_run(struct store_read *r, const struct store_view *v)
{
    struct binding_check *b = container_of(r, struct binding_check, read);
    char key[BINDING_KEY_MAX];
    struct arena a;
    struct str row;

    arena_init(&a, NULL, 0);
    b->status = store_get(v, DB_OWNERS, binding_key(key, b->type, text_id_str(&b->id)), &a, &row);
    b->is_found = b->status == ERR_OK;
    if (b->status == ERR_NOT_FOUND)
        b->status = ERR_OK;
    if (b->is_found && row.n == sizeof(b->owner))
        memcpy(&b->owner, row.p, sizeof(b->owner));
    else if (b->is_found)
        b->status = ERR_DAMAGED;
    arena_deinit(&a);
}

static void binding_check_done(struct store_read *r)
{
    struct binding_check *b = container_of(r, struct binding_check, read);
    bool taken = binding_is_taken_in_flight(b->app, b->type, text_id_str(&b->id), b->lane);

    if (b->is_found && !uuid_eq(b->owner.u, b->lane.u))
        taken = true;
    list_remove(&b->link);
    bindings_forget_left(b->app);
    b->done(b, b->status, taken);
}

void binding_check_start(struct binding_check *b)
{
    struct app *app = b->app;
    enum err err;

    b->read = (struct store_read){ .run = binding_check_run, .done = binding_check_done };
    err = store_read_start(app->store, &b->read);
    if (err != ERR_OK) {
        b->done(b, err, false);
        return;
    }
    b->number = ++app->n_binding_checks;
    list_push_back(&app->binding_checks, &b->link);
}
