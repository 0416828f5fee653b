#include "faulty_engine.h"
#include "orderly/base/bytes.h"

static struct faulty_engine *faulty_of(struct engine *e)
{
    return container_of(e, struct faulty_engine, engine);
}

static enum err faulty_apply(struct engine *e, const struct list *writes)
{
    struct engine *inner = faulty_of(e)->inner;

    return inner->ops->apply(inner, writes);
}

static enum err faulty_view_begin(struct engine *e, void **txn)
{
    struct engine *inner = faulty_of(e)->inner;

    return inner->ops->view_begin(inner, txn);
}

static void faulty_view_end(struct engine *e, void *txn)
{
    struct engine *inner = faulty_of(e)->inner;

    inner->ops->view_end(inner, txn);
}

static enum err faulty_get(struct engine *e, void *txn, enum store_db db, struct str key,
                           struct arena *a, struct str *value)
{
    struct faulty_engine *f = faulty_of(e);

    if (f->get.err != ERR_OK && f->get.db == db &&
        (f->get.position == 0 || (key.n >= 8 && bytes_get_u64(key.p) == f->get.position)))
        return f->get.err;
    return f->inner->ops->get(f->inner, txn, db, key, a, value);
}

static enum err faulty_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                            struct str key, struct arena *a, struct str *found_key,
                            struct str *value)
{
    struct faulty_engine *f = faulty_of(e);

    if (f->seek.err != ERR_OK && f->seek.db == db)
        return f->seek.err;
    return f->inner->ops->seek(f->inner, txn, db, how, key, a, found_key, value);
}

static void faulty_contradicts(struct engine *e, enum store_db list)
{
    struct faulty_engine *f = faulty_of(e);

    f->n_contradicts++;
    f->contradicted = list;
}

static void faulty_stats(struct engine *e, struct store_stats *out)
{
    struct engine *inner = faulty_of(e)->inner;

    inner->ops->stats(inner, out);
}

static const struct engine_ops faulty_ops = {
    .apply = faulty_apply,
    .view_begin = faulty_view_begin,
    .view_end = faulty_view_end,
    .get = faulty_get,
    .seek = faulty_seek,
    .contradicts = faulty_contradicts,
    .stats = faulty_stats,
};

void faulty_engine_init(struct faulty_engine *f, struct engine *inner)
{
    *f = (struct faulty_engine){ .engine.ops = &faulty_ops, .inner = inner };
}
