#include "sim_disk.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/memory.h"

static struct sim_disk *disk_of(struct engine *e)
{
    return container_of(e, struct sim_disk, engine);
}

/* The disk's own memory is not the process's, which ends with a crash. */
static enum err disk_apply(struct engine *e, const struct list *writes)
{
    struct sim_disk *d = disk_of(e);
    struct mem_source *before;
    enum err err;

    if (d->mood == SIM_DISK_FULL)
        return ERR_FULL;
    if (d->mood == SIM_DISK_FAILS_BEFORE)
        return ERR_IO;
    before = mem_use(NULL);
    err = d->inner->ops->apply(d->inner, writes);
    if (err == ERR_OK)
        d->committed(d->ctx, writes);
    (void)mem_use(before);
    return err == ERR_OK && d->mood == SIM_DISK_FAILS_AFTER ? ERR_IO : err;
}

static enum err disk_view_begin(struct engine *e, void **txn)
{
    struct sim_disk *d = disk_of(e);

    return d->inner->ops->view_begin(d->inner, txn);
}

static void disk_view_end(struct engine *e, void *txn)
{
    struct sim_disk *d = disk_of(e);

    d->inner->ops->view_end(d->inner, txn);
}

static enum err disk_get(struct engine *e, void *txn, enum store_db db, struct str key,
                         struct arena *a, struct str *value)
{
    struct sim_disk *d = disk_of(e);

    return d->inner->ops->get(d->inner, txn, db, key, a, value);
}

static enum err disk_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                          struct str key, struct arena *a, struct str *found_key, struct str *value)
{
    struct sim_disk *d = disk_of(e);

    return d->inner->ops->seek(d->inner, txn, db, how, key, a, found_key, value);
}

static void disk_stats(struct engine *e, struct store_stats *out)
{
    struct sim_disk *d = disk_of(e);

    d->inner->ops->stats(d->inner, out);
}

static const struct engine_ops disk_ops = {
    .apply = disk_apply,
    .view_begin = disk_view_begin,
    .view_end = disk_view_end,
    .get = disk_get,
    .seek = disk_seek,
    .stats = disk_stats,
};

void sim_disk_init(struct sim_disk *d)
{
    *d = (struct sim_disk){ .engine = { .ops = &disk_ops },
                            .inner = memory_engine_create(MEMORY_EVENTS_MAX_DEFAULT) };
}

void sim_disk_deinit(struct sim_disk *d)
{
    memory_engine_destroy(d->inner);
}
