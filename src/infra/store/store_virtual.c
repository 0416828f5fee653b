#include "orderly/infra/store/store_virtual.h"
#include "batch.h"
#include "orderly/base/check.h"

static struct store_virtual *virtual_of(struct store *port)
{
    return container_of(port, struct store_virtual, port);
}

static enum err virtual_write(struct store *port, struct store_write *w)
{
    struct store_virtual *s = virtual_of(port);
    enum err e = queue_admit(s->n_writes, w);

    if (s->is_broken)
        return ERR_IO;
    if (e != ERR_OK)
        return e;
    s->n_writes++;
    list_push_back(&s->writes_waiting, &w->link);
    return ERR_OK;
}

static enum err virtual_read(struct store *port, struct store_read *read)
{
    struct store_virtual *s = virtual_of(port);

    if (s->is_broken)
        return ERR_IO;
    if (s->n_reads >= STORE_READS_WAITING_MAX)
        return ERR_BUSY;
    s->n_reads++;
    list_push_back(&s->reads_waiting, &read->link);
    return ERR_OK;
}

static void virtual_stats(struct store *port, struct store_stats *out)
{
    struct store_virtual *s = virtual_of(port);

    *out = (struct store_stats){
        .waiting = s->n_writes,
        .commits = s->commits,
        .commit_events = s->commit_events,
        .batch_events_last = s->batch_events_last,
        .opened = &s->opened,
    };
    s->engine->ops->stats(s->engine, out);
}

static const struct store_ops virtual_ops = {
    .write = virtual_write,
    .read = virtual_read,
    .stats = virtual_stats,
};

void store_virtual_init(struct store_virtual *s, struct engine *engine)
{
    *s = (struct store_virtual){ .port.ops = &virtual_ops, .engine = engine };
    list_init(&s->writes_waiting);
    list_init(&s->reads_waiting);
}

void store_virtual_deinit(struct store_virtual *s)
{
    REQUIRE(list_is_empty(&s->writes_waiting));
    REQUIRE(list_is_empty(&s->reads_waiting));
}

/* Takes the first n writes, but not the one that is to fail. Returns what that one fails with, or
 * ERR_OK. */
static enum err virtual_take(struct store_virtual *s, struct batch *b, uint32_t n)
{
    while (b->n_writes < n && !list_is_empty(&s->writes_waiting)) {
        if (s->fail_in == 1) {
            s->fail_in = 0;
            return s->fail_with;
        }
        if (s->fail_in > 0)
            s->fail_in--;
        batch_add(b, container_of(list_pop_front(&s->writes_waiting), struct store_write, link));
    }
    return ERR_OK;
}

static enum err virtual_commit(struct store_virtual *s, struct batch *b)
{
    enum err status;

    if (b->n_writes == 0)
        return ERR_OK;
    status = s->engine->ops->apply(s->engine, &b->writes);
    batch_set_status(b, status);
    if (status == ERR_OK) {
        s->commits++;
        s->commit_events += b->n_events;
        s->batch_events_last = b->n_events;
        commit_stats_add(&s->opened, 0, b->n_events);
    }
    return status;
}

static void virtual_break(struct store_virtual *s, enum err why)
{
    s->is_broken = true;
    if (!s->on_fatal)
        UNREACHABLE("the store failed and nobody wants to know");
    s->on_fatal(s->fatal_ctx, why);
}

/* Moves all that wait into the batch and marks them as failed. */
static void virtual_fail_what_waits(struct store_virtual *s, struct batch *b)
{
    struct batch behind;

    batch_init(&behind);
    batch_take_all(&behind, &s->writes_waiting);
    batch_set_status(&behind, ERR_FULL);
    batch_take_all(b, &behind.writes);
}

uint32_t store_virtual_run(struct store_virtual *s, uint32_t n)
{
    struct batch batch;
    enum err failure;
    enum err status;

    REQUIRE(s->port.on_written != NULL);
    if (s->is_broken)
        return 0;
    batch_init(&batch);
    failure = virtual_take(s, &batch, n);
    status = virtual_commit(s, &batch);
    if (status == ERR_OK)
        status = failure;
    if (status != ERR_OK && status != ERR_FULL) {
        virtual_break(s, status);
        return 0;
    }
    if (status == ERR_FULL)
        virtual_fail_what_waits(s, &batch);
    if (batch.n_writes == 0)
        return 0;
    s->n_writes -= batch.n_writes;
    s->port.on_written(s->port.ctx, &batch.writes);
    ENSURE(list_is_empty(&batch.writes));
    return batch.n_writes;
}

static int64_t clock_that_stands(void)
{
    return 0;
}

uint32_t store_virtual_run_reads(struct store_virtual *s, uint32_t n)
{
    uint32_t n_run = 0;

    if (n > s->n_reads)
        n = s->n_reads; /* not what done starts */
    while (n_run < n) {
        struct store_read *read =
            container_of(list_pop_front(&s->reads_waiting), struct store_read, link);

        s->n_reads--;
        n_run++;
        engine_run_read(s->engine, clock_that_stands, s->reads_are_late ? 0 : INT64_MAX, read);
        read->done(read);
    }
    return n_run;
}

void store_virtual_fail_write(struct store_virtual *s, uint32_t nth, enum err why)
{
    REQUIRE(why != ERR_OK);
    s->fail_in = nth;
    s->fail_with = why;
}

void store_virtual_forget(struct store_virtual *s)
{
    while (!list_is_empty(&s->writes_waiting))
        (void)list_pop_front(&s->writes_waiting);
    while (!list_is_empty(&s->reads_waiting))
        (void)list_pop_front(&s->reads_waiting);
    s->n_writes = s->n_reads = 0;
}
