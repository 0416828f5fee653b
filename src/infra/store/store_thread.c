/* The way of a write
 *
 *   write()        flush()             writer thread                 drain
 *     |  this turn   |   lock, cond      |  batch by batch             |
 *     v              v                   v                             v
 *   handed ------> waiting ----------> mine --> apply --> letter ---> on_written
 *
 * When a batch fails with ERR_FULL the writer fails the rest of `mine` with it, says so in
 * is_failing and takes nothing more: what is handed over from then on was made by somebody who does
 * not know yet. The loop thread, on that letter, adds those to the failed ones and lets the writer
 * go on. So nothing is ever written that was handed over behind a failed write and before its
 * outcome was told.
 *
 * The lock is held for moments, never while the engine works and never while a callback runs. */
#include "orderly/infra/store/store_thread.h"
#include "batch.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/loop/mailbox.h"
#include <stdio.h>
#include <stdlib.h>

/* As many as libuv's pool has threads by default; more would only wait inside the pool. */
#define READS_RUNNING_MAX 4

struct read_slot {
    uv_work_t work;
    struct store_thread *store;
    struct store_read *read; /* NULL: free */
};

/* One batch on its way back. */
struct letter {
    struct list link;
    struct batch batch;
    enum err status;
    int64_t took_us;
};

struct store_thread {
    struct store port;
    struct engine *engine;
    store_fatal_cb on_fatal;
    void *fatal_ctx;

    /* Loop thread only. */
    uv_loop_t *loop;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    struct mailbox completed;
    struct list handed; /* writes of this turn */
    uint32_t in_flight; /* writes that were taken and are not back */
    struct commit_stats opened;
    struct list reads_waiting;
    uint32_t n_reads; /* waiting and running */
    struct read_slot slots[READS_RUNNING_MAX];
    bool is_broken, is_closing, is_stopped;
    unsigned handles_open;
    store_thread_close_cb on_closed;
    void *closed_ctx;

    /* Guarded by lock. */
    uv_mutex_t lock;
    uv_cond_t wake;
    struct list waiting;
    bool is_idle; /* the writer waits for wake */
    bool is_failing;
    bool is_stopping;
    uint64_t commits, commit_events;
    uint32_t commit_us_last, batch_events_last;

    uv_thread_t thread;
};

static struct store_thread *thread_of(struct store *port)
{
    return container_of(port, struct store_thread, port);
}

static int64_t now_us(void)
{
    return (int64_t)(uv_hrtime() / 1000);
}

/* ---- writer thread ---------------------------------------------------------------- */

/* Takes all that waits behind `mine`, and waits where there is nothing. False: there is nothing and
 * there will be nothing. */
static bool writer_take(struct store_thread *s, struct list *mine)
{
    uv_mutex_lock(&s->lock);
    s->is_idle = list_is_empty(mine);
    while (s->is_idle && !s->is_stopping && (s->is_failing || list_is_empty(&s->waiting)))
        uv_cond_wait(&s->wake, &s->lock);
    s->is_idle = false;
    list_append_all(mine, &s->waiting);
    uv_mutex_unlock(&s->lock);
    return !list_is_empty(mine);
}

static void writer_note_outcome(struct store_thread *s, const struct letter *letter)
{
    int64_t us = letter->took_us;

    uv_mutex_lock(&s->lock);
    if (letter->status == ERR_OK) {
        s->commits++;
        s->commit_events += letter->batch.n_events;
        s->commit_us_last = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
        s->batch_events_last = letter->batch.n_events;
    } else {
        s->is_failing = true;
    }
    uv_mutex_unlock(&s->lock);
}

/* Writes one batch from the front of `mine`. */
static enum err writer_commit(struct store_thread *s, struct list *mine)
{
    struct letter *letter = mem_alloc(sizeof(*letter));
    int64_t began_us = now_us();
    enum err status;

    batch_init(&letter->batch);
    batch_take(&letter->batch, mine);
    status = letter->status = s->engine->ops->apply(s->engine, &letter->batch.writes);
    letter->took_us = now_us() - began_us;
    writer_note_outcome(s, letter);
    if (status != ERR_OK)
        batch_take_all(&letter->batch, mine);
    batch_set_status(&letter->batch, status);
    mailbox_post(&s->completed, &letter->link); /* the letter is the loop's from here on */
    return status;
}

/* Looks for more before each batch, so that what a batch had no room for shares the next one with what
 * came meanwhile. */
static void writer_main(void *arg)
{
    struct store_thread *s = arg;
    struct list mine;

    list_init(&mine);
    while (writer_take(s, &mine)) {
        enum err status = writer_commit(s, &mine);

        if (status != ERR_OK && status != ERR_FULL)
            return; /* what is on the disk is not known: nothing may follow */
    }
}

/* ---- writes, loop thread ---------------------------------------------------------- */

/* Hands over what this turn has brought. */
static void thread_flush(struct store_thread *s)
{
    if (list_is_empty(&s->handed))
        return;
    uv_mutex_lock(&s->lock);
    list_append_all(&s->waiting, &s->handed);
    if (s->is_idle && !s->is_failing)
        uv_cond_signal(&s->wake);
    uv_mutex_unlock(&s->lock);
}

static void thread_before_poll(uv_prepare_t *h)
{
    thread_flush(container_of(h, struct store_thread, before_poll));
}

static void thread_after_poll(uv_check_t *h)
{
    thread_flush(container_of(h, struct store_thread, after_poll));
}

static enum err thread_refuses(const struct store_thread *s)
{
    if (s->is_broken)
        return ERR_IO;
    return s->is_closing ? ERR_SHUTTING_DOWN : ERR_OK;
}

static enum err thread_write(struct store *port, struct store_write *w)
{
    struct store_thread *s = thread_of(port);
    enum err e = thread_refuses(s);

    if (e != ERR_OK)
        return e;
    e = queue_admit(s->in_flight, w);
    if (e != ERR_OK)
        return e;
    s->in_flight++;
    list_push_back(&s->handed, &w->link);
    return ERR_OK;
}

/* Adds what was handed over behind the failed batch, and lets the writer go on. */
static void thread_fail_what_waits(struct store_thread *s, struct batch *b)
{
    struct list behind;

    uv_mutex_lock(&s->lock);
    list_take_all(&behind, &s->waiting);
    s->is_failing = false;
    uv_mutex_unlock(&s->lock);
    list_append_all(&behind, &s->handed);
    batch_take_all(b, &behind);
    batch_set_status(b, ERR_FULL);
}

static void thread_open_letter(struct store_thread *s, struct letter *letter)
{
    struct batch batch = letter->batch;
    enum err status = letter->status;

    list_take_all(&batch.writes, &letter->batch.writes);
    if (status == ERR_OK)
        commit_stats_add(&s->opened, letter->took_us, batch.n_events);
    mem_free(letter);
    if (status != ERR_OK && status != ERR_FULL) {
        s->is_broken = true;
        s->on_fatal(s->fatal_ctx, status);
        return;
    }
    if (status == ERR_FULL)
        thread_fail_what_waits(s, &batch);
    INVARIANT(s->in_flight >= batch.n_writes);
    s->in_flight -= batch.n_writes;
    s->port.on_written(s->port.ctx, &batch.writes);
    ENSURE(list_is_empty(&batch.writes));
}

static void thread_stop_if_done(struct store_thread *s);

static void thread_on_completed(struct mailbox *m, struct list *letters)
{
    struct store_thread *s = container_of(m, struct store_thread, completed);

    REQUIRE(s->port.on_written != NULL);
    while (!list_is_empty(letters))
        thread_open_letter(s, container_of(list_pop_front(letters), struct letter, link));
    thread_stop_if_done(s);
}

/* ---- reads -------------------------------------------------------------------------- */

static void read_on_pool(uv_work_t *work)
{
    struct read_slot *slot = container_of(work, struct read_slot, work);

    engine_run_read(slot->store->engine, now_us, now_us() + INT64_C(1000) * STORE_READ_MAX_MS,
                    slot->read);
}

static void read_on_ran(uv_work_t *work, int status);

static void thread_start_reads(struct store_thread *s)
{
    for (unsigned i = 0; i < READS_RUNNING_MAX && !list_is_empty(&s->reads_waiting); i++) {
        struct read_slot *slot = &s->slots[i];
        int rc;

        if (slot->read)
            continue;
        slot->read = container_of(list_pop_front(&s->reads_waiting), struct store_read, link);
        rc = uv_queue_work(s->loop, &slot->work, read_on_pool, read_on_ran);
        ENSURE(rc == 0);
    }
}

static void read_on_ran(uv_work_t *work, int status)
{
    struct read_slot *slot = container_of(work, struct read_slot, work);
    struct store_thread *s = slot->store;
    struct store_read *read = slot->read;

    ENSURE(status == 0); /* nobody cancels work */
    slot->read = NULL;
    s->n_reads--;
    thread_start_reads(s); /* first, so that the pool does not idle while done works */
    read->done(read);
    thread_stop_if_done(s);
}

static enum err thread_read(struct store *port, struct store_read *read)
{
    struct store_thread *s = thread_of(port);
    enum err e = thread_refuses(s);

    if (e != ERR_OK)
        return e;
    if (s->n_reads >= STORE_READS_WAITING_MAX)
        return ERR_BUSY;
    s->n_reads++;
    list_push_back(&s->reads_waiting, &read->link);
    thread_start_reads(s);
    return ERR_OK;
}

/* ---- life --------------------------------------------------------------------------- */

static void thread_stats(struct store *port, struct store_stats *out)
{
    struct store_thread *s = thread_of(port);

    *out = (struct store_stats){ .waiting = s->in_flight, .opened = &s->opened };
    s->engine->ops->stats(s->engine, out);
    uv_mutex_lock(&s->lock);
    out->commits = s->commits;
    out->commit_events = s->commit_events;
    out->commit_us_last = s->commit_us_last;
    out->batch_events_last = s->batch_events_last;
    uv_mutex_unlock(&s->lock);
}

static const struct store_ops thread_ops = {
    .write = thread_write,
    .read = thread_read,
    .stats = thread_stats,
};

/* These two cost nothing while there is nothing to hand over, and must not keep the loop alive. */
static void thread_watch_turns(struct store_thread *s)
{
    int rc = uv_prepare_init(s->loop, &s->before_poll);

    ENSURE(rc == 0);
    rc = uv_check_init(s->loop, &s->after_poll);
    ENSURE(rc == 0);
    rc = uv_prepare_start(&s->before_poll, thread_before_poll);
    ENSURE(rc == 0);
    rc = uv_check_start(&s->after_poll, thread_after_poll);
    ENSURE(rc == 0);
    uv_unref((uv_handle_t *)&s->before_poll);
    uv_unref((uv_handle_t *)&s->after_poll);
}

struct store_thread *store_thread_create(uv_loop_t *loop, struct engine *engine,
                                         store_fatal_cb on_fatal, void *ctx)
{
    struct store_thread *s = mem_zalloc(sizeof(*s));
    int rc;

    REQUIRE(on_fatal != NULL);
    s->port.ops = &thread_ops;
    s->engine = engine;
    s->on_fatal = on_fatal;
    s->fatal_ctx = ctx;
    s->loop = loop;
    list_init(&s->handed);
    list_init(&s->reads_waiting);
    list_init(&s->waiting);
    for (unsigned i = 0; i < READS_RUNNING_MAX; i++)
        s->slots[i].store = s;
    thread_watch_turns(s);
    mailbox_init(&s->completed, loop, thread_on_completed);
    s->handles_open = 3;
    rc = uv_mutex_init(&s->lock);
    ENSURE(rc == 0);
    rc = uv_cond_init(&s->wake);
    ENSURE(rc == 0);
    rc = uv_thread_create(&s->thread, writer_main, s);
    if (rc != 0) { /* a limit of the machine, and no fault of ours */
        fprintf(stderr, "the store's thread can't be started: %s\n", uv_strerror(rc));
        abort();
    }
    return s;
}

struct store *store_thread_port(struct store_thread *s)
{
    return &s->port;
}

static void thread_on_one_closed(struct store_thread *s)
{
    store_thread_close_cb on_closed = s->on_closed;
    void *ctx = s->closed_ctx;

    if (--s->handles_open > 0)
        return;
    mem_free(s);
    on_closed(ctx);
}

static void thread_on_prepare_closed(uv_handle_t *h)
{
    thread_on_one_closed(container_of((uv_prepare_t *)h, struct store_thread, before_poll));
}

static void thread_on_check_closed(uv_handle_t *h)
{
    thread_on_one_closed(container_of((uv_check_t *)h, struct store_thread, after_poll));
}

static void thread_on_mailbox_closed(struct mailbox *m)
{
    thread_on_one_closed(container_of(m, struct store_thread, completed));
}

static void thread_stop_if_done(struct store_thread *s)
{
    int rc;

    if (!s->is_closing || s->is_stopped || s->n_reads > 0 || (s->in_flight > 0 && !s->is_broken))
        return;
    s->is_stopped = true;
    uv_mutex_lock(&s->lock);
    s->is_stopping = true;
    uv_cond_signal(&s->wake);
    uv_mutex_unlock(&s->lock);
    rc = uv_thread_join(&s->thread); /* it is idle, or has ended: this does not wait */
    ENSURE(rc == 0);
    uv_cond_destroy(&s->wake);
    uv_mutex_destroy(&s->lock);
    uv_close((uv_handle_t *)&s->before_poll, thread_on_prepare_closed);
    uv_close((uv_handle_t *)&s->after_poll, thread_on_check_closed);
    mailbox_close(&s->completed, thread_on_mailbox_closed);
}

void store_thread_close(struct store_thread *s, store_thread_close_cb on_closed, void *ctx)
{
    REQUIRE(!s->is_closing);
    REQUIRE(on_closed != NULL);
    s->is_closing = true;
    s->on_closed = on_closed;
    s->closed_ctx = ctx;
    thread_stop_if_done(s);
}
