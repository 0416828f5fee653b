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
        b->refs++;
    } else {
        struct str key;

        b = mem_zalloc(sizeof(*b));
        key = binding_key((char *)b->key, type, id);
        b->n = (uint8_t)key.n;
        b->lane = lane;
        b->refs = 1;
        map_insert(&app->bindings, &b->node, key);
    }
    append_put(a, DB_OWNERS, (struct str){ (const char *)b->key, b->n }, uuid_bytes(&b->lane.u));
    return b;
}

void binding_release(struct app *app, struct binding *b)
{
    REQUIRE(b->refs > 0);
    if (--b->refs > 0)
        return;
    map_remove(&app->bindings, &b->node);
    mem_free(b);
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
    b->done(b, b->status, taken);
}

void binding_check_start(struct binding_check *b)
{
    enum err err;

    b->read = (struct store_read){ .run = binding_check_run, .done = binding_check_done };
    err = store_read_start(b->app->store, &b->read);
    if (err != ERR_OK)
        b->done(b, err, false);
}
