/* Retry of many dead letters.
 *
 *     scan (how many, and which come first) -> answer -> page of ids -> one retry each, paced -> …
 *
 * The answer comes when the letters are counted, and durably where it has a key; then the retries
 * follow, if that went well, on timers, each the very command
 * of a single letter, at most per_second in a second and BULK_IN_HAND_MAX at a time. They end at the
 * last letter that was counted: what fails again meanwhile is a new letter and is left alone. There
 * is one such run at a time, in memory only: what a crash or a shutdown leaves undone is open as
 * before and can be asked for again. A retry that is refused because the server is busy or its disk
 * is full is tried again a second later. */
#include "app_private.h"
#include "orderly/base/mem.h"

#define BULK_TICK_MS 5
#define BULK_AGAIN_MS 1000

struct bulk_item {
    struct dead_letter_command dc;
    struct bulk_run *run;
    struct arena arena;
    struct list link; /* in run->items */
    struct timer again;
    enum reply_code code;
};

static struct app *bulk_app(struct bulk_run *run)
{
    return container_of(run, struct app, bulk);
}

/* ---- one letter ------------------------------------------------------------------------------ */

static void bulk_item_free(struct bulk_item *item)
{
    timer_stop(&bulk_app(item->run)->timers, &item->again);
    list_remove(&item->link);
    item->run->n_in_hand--;
    arena_deinit(&item->arena);
    mem_free(item);
}

static void bulk_item_render(struct command *c, const struct reply *r)
{
    container_of(c, struct bulk_item, dc.receive.command)->code = r->code;
    c->answer = (struct answer){ .status = reply_status(r->code) };
}

static void bulk_item_done(struct command *c)
{
    struct bulk_item *item = container_of(c, struct bulk_item, dc.receive.command);
    struct bulk_run *run = item->run;
    struct app *app = bulk_app(run);

    if (reply_status(item->code) == 503 && !app->is_draining) {
        timer_start(&app->timers, &item->again, BULK_AGAIN_MS);
        return;
    }
    if (item->code == REPLY_OK)
        run->n_retried++;
    else
        run->n_refused++; /* somebody discarded it, or it can't be read */
    bulk_item_free(item);
}

static void bulk_item_start(struct bulk_item *item)
{
    struct bulk_run *run = item->run;
    struct dead_letter_id id = item->dc.id;

    arena_reset(&item->arena);
    memset(&item->dc, 0, sizeof(item->dc));
    item->dc.id = id;
    item->dc.receive.command = (struct command){
        .app = bulk_app(run),
        .arena = &item->arena,
        .user_id = { run->user_id.s, run->user_id.n },
        .render = bulk_item_render,
        .done = bulk_item_done,
    };
    dead_letter_command_start(&item->dc);
}

static void bulk_item_on_again(struct timer *t)
{
    bulk_item_start(container_of(t, struct bulk_item, again));
}

static void bulk_begin_item(struct bulk_run *run, struct dead_letter_id id)
{
    struct bulk_item *item = mem_zalloc(sizeof(*item));

    item->run = run;
    item->dc.id = id;
    arena_init(&item->arena, NULL, 0);
    timer_init(&item->again, bulk_item_on_again);
    list_push_back(&run->items, &item->link);
    run->n_in_hand++;
    bulk_item_start(item);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void bulk_end(struct bulk_run *run)
{
    struct app *app = bulk_app(run);
    char text[64];
    struct arena arena;
    struct log_field fields[2];

    arena_init(&arena, text, sizeof(text));
    fields[0] = (struct log_field){ "retried", arena_printf(&arena, "%llu",
                                                            (unsigned long long)run->n_retried) };
    fields[1] = (struct log_field){ "refused", arena_printf(&arena, "%llu",
                                                            (unsigned long long)run->n_refused) };
    log_write(app->logger, run->is_failed ? LOG_ERROR : LOG_INFO,
              run->is_failed ? "bulk_retry_failed" : "bulk_retry_done", fields, ARRAY_LEN(fields));
    arena_deinit(&arena);
    run->is_running = false;
}

static void bulk_read_run(struct store_read *read, const struct store_view *v)
{
    struct bulk_run *run = container_of(read, struct bulk_run, read);

    run->read_err = dead_letters_scan(v, &run->page);
}

static void bulk_on_read(struct store_read *read)
{
    struct bulk_run *run = container_of(read, struct bulk_run, read);

    run->is_reading = false;
    run->is_failed = run->read_err != ERR_OK;
    run->is_at_end = run->is_failed || !run->page.has_more;
}

/* A page is read when the last one is used up; a store that is busy is asked again in a moment. */
static void bulk_read_page(struct bulk_run *run)
{
    run->page.n_ids = run->next = 0;
    run->read = (struct store_read){ .run = bulk_read_run, .done = bulk_on_read };
    run->is_reading = store_read_start(bulk_app(run)->store, &run->read) == ERR_OK;
}

/* What was missed is not made up for: it is a pace, not a debt. */
static void bulk_keep_pace(struct bulk_run *run, int64_t now_us)
{
    int64_t behind_us = 1000000 / run->per_second;

    if (behind_us < 2 * BULK_TICK_MS * 1000)
        behind_us = 2 * BULK_TICK_MS * 1000;
    if (run->paced_us < now_us - behind_us)
        run->paced_us = now_us - behind_us;
}

static bool bulk_may_begin(const struct bulk_run *run, int64_t now_us)
{
    return now_us - run->paced_us >= 1000000 / run->per_second && !run->is_reading &&
           run->next < run->page.n_ids && run->n_in_hand < BULK_IN_HAND_MAX;
}

static void bulk_on_tick(struct timer *t)
{
    struct bulk_run *run = container_of(t, struct bulk_run, timer);
    struct app *app = bulk_app(run);
    int64_t now_us = scheduler_mono_us(app->scheduler);

    if (app->is_draining)
        return;
    bulk_keep_pace(run, now_us);
    while (bulk_may_begin(run, now_us)) {
        run->paced_us += 1000000 / run->per_second;
        bulk_begin_item(run, run->ids[run->next++]);
    }
    if (!run->is_reading && run->next == run->page.n_ids && !run->is_at_end)
        bulk_read_page(run);
    if (!run->is_reading && run->is_at_end && run->next == run->page.n_ids && run->n_in_hand == 0)
        bulk_end(run);
    else
        timer_start(&app->timers, &run->timer, BULK_TICK_MS);
}

static void bulk_begin(const struct bulk_retry *b)
{
    struct bulk_run *run = &b->command.app->bulk;

    run->per_second = b->per_second;
    run->paced_us = scheduler_mono_us(b->command.app->scheduler) - 1000000 / b->per_second;
    run->page = (struct dead_letter_scan){
        .filter = b->scan.filter, .last = b->scan.after, .ids = run->ids, .ids_max = BULK_PAGE_MAX
    };
    run->n_retried = run->n_refused = 0;
    run->next = 0;
    run->is_at_end = run->is_failed = false;
    run->user_id.n = (uint8_t)b->command.user_id.n;
    if (run->user_id.n)
        memcpy(run->user_id.s, b->command.user_id.p, run->user_id.n);
    timer_start(&b->command.app->timers, &run->timer, 0);
}

void bulk_init(struct bulk_run *run)
{
    list_init(&run->items);
    timer_init(&run->timer, bulk_on_tick);
}

void bulk_deinit(struct bulk_run *run)
{
    while (!list_is_empty(&run->items))
        bulk_item_free(container_of(run->items.next, struct bulk_item, link));
}

/* ---- the command ----------------------------------------------------------------------------- */

/* The answer is given now. Only one that says so begins the run. */
static void bulk_answered(struct command *c)
{
    struct bulk_retry *b = container_of(c, struct bulk_retry, command);

    if (c->answer.status == 200 && b->scan.n > 0)
        bulk_begin(b);
    else
        c->app->bulk.is_running = false;
    b->told(c); /* last: b may be gone from here on */
}

static void bulk_scan_run(struct store_read *read, const struct store_view *v)
{
    struct bulk_retry *b = container_of(read, struct bulk_retry, read);

    b->read_err = dead_letters_scan(v, &b->scan);
}

static void bulk_scan_start(struct bulk_retry *b);

static void bulk_on_scanned(struct store_read *read)
{
    struct bulk_retry *b = container_of(read, struct bulk_retry, read);
    struct reply r = { .code = REPLY_OK, .bulk = b };

    if (b->read_err != ERR_OK) {
        command_refuse(&b->command, b->read_err);
        return;
    }
    if (b->scan.has_more && !b->command.app->is_draining) {
        bulk_scan_start(b);
        return;
    }
    command_reply(&b->command, &r);
}

static void bulk_scan_start(struct bulk_retry *b)
{
    enum err err;

    b->read = (struct store_read){ .run = bulk_scan_run, .done = bulk_on_scanned };
    err = store_read_start(b->command.app->store, &b->read);
    if (err != ERR_OK)
        command_refuse(&b->command, err);
}

static void bulk_run_command(struct command *c)
{
    struct bulk_retry *b = container_of(c, struct bulk_retry, command);
    struct reply r = { .code = REPLY_RETRY_RUNNING, .retry_after_s = 1 };

    if (!b->is_dry_run && c->app->bulk.is_running) {
        command_reply(c, &r);
        return;
    }
    if (!b->is_dry_run) {
        c->app->bulk.is_running = true;
        b->told = c->done;
        c->done = bulk_answered;
    }
    b->scan = (struct dead_letter_scan){
        .filter = b->filter,
        .ids = arena_alloc(c->arena, BULK_SHOWN_MAX * sizeof(struct dead_letter_id)),
        .ids_max = BULK_SHOWN_MAX,
        .counts_on = true,
    };
    bulk_scan_start(b);
}

void bulk_retry_start(struct bulk_retry *b)
{
    REQUIRE(b->per_second >= 1);
    REQUIRE(b->per_second <= BULK_PER_SECOND_MAX);
    command_start(&b->command, bulk_run_command);
}
