#include "orderly/base/check.h"
#include "orderly/infra/store/engine.h"

/* A store_view over an engine, for the time of one store_read. */
struct engine_view {
    struct store_view view;
    struct engine *engine;
    void *txn;
    enum err status; /* of view_begin; every call answers it when it is not ERR_OK */
    int64_t (*now_us)(void);
    int64_t late_at_us;
};

static const struct engine_view *view_of(const struct store_view *v)
{
    return container_of(v, const struct engine_view, view);
}

static enum err engine_view_get(const struct store_view *view, enum store_db db, struct str key,
                                struct arena *a, struct str *value)
{
    const struct engine_view *v = view_of(view);

    if (v->status != ERR_OK)
        return v->status;
    return v->engine->ops->get(v->engine, v->txn, db, key, a, value);
}

static enum err engine_view_seek(const struct store_view *view, enum store_db db,
                                 enum store_seek how, struct str key, struct arena *a,
                                 struct str *found_key, struct str *value)
{
    const struct engine_view *v = view_of(view);

    if (v->status != ERR_OK)
        return v->status;
    return v->engine->ops->seek(v->engine, v->txn, db, how, key, a, found_key, value);
}

static bool engine_view_is_late(const struct store_view *view)
{
    const struct engine_view *v = view_of(view);

    return v->now_us() >= v->late_at_us;
}

static void engine_view_contradicts(const struct store_view *view, enum store_db list)
{
    const struct engine_view *v = view_of(view);

    if (v->engine->ops->contradicts)
        v->engine->ops->contradicts(v->engine, list);
}

static const struct store_view_ops engine_view_ops = {
    .get = engine_view_get,
    .seek = engine_view_seek,
    .contradicts = engine_view_contradicts,
    .is_late = engine_view_is_late,
};

void engine_run_read(struct engine *e, int64_t (*now_us)(void), int64_t late_at_us,
                     struct store_read *read)
{
    struct engine_view v = {
        .view.ops = &engine_view_ops,
        .engine = e,
        .now_us = now_us,
        .late_at_us = late_at_us,
    };

    REQUIRE(read->run != NULL);
    v.status = e->ops->view_begin(e, &v.txn);
    read->run(read, &v.view);
    if (v.status == ERR_OK)
        e->ops->view_end(e, v.txn);
}
