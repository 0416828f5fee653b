/* Who follows the log by its streams of server-sent events: from the beginning,
 * or from now on, of events or of messages; reads slowly, is cut off, and goes
 * on behind the last it has heard. */
#include "orderly/base/mem.h"
#include "world.h"
#include <limits.h>
#include <stdio.h>

#define AGAIN_US_MIN 100000

void followers_init(struct world *w)
{
    struct followers *fs = &w->followers;

    fs->chance = chance_of_seed(w->config.seed, 'l', 0);
    if (chance_hits(&fs->chance, 350000))
        fs->n = 1 + (unsigned)chance_below(&fs->chance, FOLLOWERS_MAX);
    for (unsigned i = 0; i < fs->n; i++) {
        struct follower_client *f = &fs->all[i];

        f->is_of_events = chance_hits(&fs->chance, 500000);
        f->is_from_start = chance_hits(&fs->chance, 700000);
        f->is_slow = chance_hits(&fs->chance, 300000);
        f->due_us = w->started_us + chance_span(&fs->chance, 32);
    }
}

static void come_again(struct world *w, struct follower_client *f)
{
    f->is_connected = false;
    f->due_us = world_now_us(w) + AGAIN_US_MIN + chance_span(&w->followers.chance, 23);
}

void followers_lose_all(struct world *w)
{
    for (unsigned i = 0; i < w->followers.n; i++)
        if (w->followers.all[i].is_connected)
            come_again(w, &w->followers.all[i]);
}

static void leave(struct world *w, struct follower_client *f)
{
    struct mem_source *before = process_enter(w);

    loopback_deinit(&f->link);
    process_leave(before);
    come_again(w, f);
}

void followers_close_all(struct world *w)
{
    for (unsigned i = 0; i < w->followers.n; i++)
        if (w->followers.all[i].is_connected)
            leave(w, &w->followers.all[i]);
}

/* In the process. */
void followers_turn(struct world *w)
{
    for (unsigned i = 0; i < w->followers.n; i++) {
        struct follower_client *f = &w->followers.all[i];

        if (f->is_connected && f->link.is_closing && !f->link.is_closed)
            loopback_turn(&f->link);
    }
}

/* ---- what it does next
 * ------------------------------------------------------------------------- */

static bool is_stalled(const struct follower_client *f)
{
    return f->link.window == 0;
}

int64_t follower_next_us(const struct world *w, const struct follower_client *f)
{
    if (!f->is_connected)
        return w->process.is_listening && !w->process.is_draining ? f->due_us : INT64_MAX;
    if (f->link.is_closed || f->link.received.n > f->looked)
        return 0;
    return is_stalled(f) ? f->due_us : INT64_MAX;
}

static void follower_connect(struct world *w, struct follower_client *f)
{
    char request[200], place[80] = "";
    struct mem_source *before;
    int n;

    if (f->has_place)
        (void)snprintf(place, sizeof(place), "Last-Event-ID: 0123456789abcdef.%llu\r\n",
                       (unsigned long long)f->position);
    n = snprintf(request, sizeof(request),
                 "GET /%s/stream%s HTTP/1.0\r\nHost: shop.example\r\n%s\r\n",
                 f->is_of_events ? "events" : "messages",
                 f->is_from_start && !f->has_place ? "?after=0" : "", place);
    ENSURE(n > 0 && (size_t)n < sizeof(request));
    f->is_connected = true;
    f->is_begun = f->is_over = false;
    f->looked = 0;
    before = process_enter(w);
    loopback_connect(&f->link, &w->process.http);
    if (f->is_slow && !w->faults.are_over)
        f->link.window = 2000 + (size_t)chance_span(&w->followers.chance, 16);
    loopback_send(&f->link, (struct str){ request, (size_t)n });
    process_leave(before);
}

/* Takes more than it has taken. */
static void follower_go_on(struct world *w, struct follower_client *f)
{
    struct mem_source *before = process_enter(w);

    f->link.window =
        w->faults.are_over ? SIZE_MAX : 1000 + (size_t)chance_span(&w->followers.chance, 17);
    loopback_turn(&f->link);
    process_leave(before);
}

/* ---- what it hears
 * -----------------------------------------------------------------------------
 */

static struct str line_of(struct str entry, const char *name)
{
    size_t n = strlen(name);
    const char *at = memmem(entry.p, entry.n, name, n);
    const char *end = at ? memchr(at, '\n', (size_t)(entry.p + entry.n - at)) : NULL;

    return end ? (struct str){ at + n, (size_t)(end - at) - n } : STR_NONE;
}

/* Behind the epoch. */
static uint64_t position_of(struct str id)
{
    const char *dot = id.n ? memchr(id.p, '.', id.n) : NULL;
    uint64_t position = 0;

    if (dot)
        (void)str_to_u64((struct str){ dot + 1, (size_t)(id.p + id.n - dot) - 1 }, &position);
    return position;
}

static void follower_hears(struct world *w, struct follower_client *f, struct str entry)
{
    struct sim_entry e = { .is_of_events = f->is_of_events, .after = f->position };
    struct str id = line_of(entry, "id: ");

    if (entry.p[0] == ':') {
        struct str from = line_of(entry, ": from ");

        if (from.n == 0)
            return; /* a beat */
        if (!f->has_place)
            f->position = f->is_from_start ? 0 : position_of(from);
        f->has_place = true;
        e.after = e.position = position_of(from);
        if (e.after != f->position)
            witness_streamed_from(w->witness, f->position, e.after);
        return;
    }
    if (id.n == 0) { /* overflow, or failed: the last words */
        f->is_over = true;
        return;
    }
    e.position = position_of(id);
    e.name = line_of(entry, "event: ");
    e.data = line_of(entry, "data: ");
    world_tell_time(w);
    witness_streamed(w->witness, &e);
    f->position = e.position;
}

/* False: there is no whole one. */
static bool take_entry(struct follower_client *f, size_t *at, struct str *out)
{
    struct str got = { f->link.received.p + *at, f->link.received.n - *at };
    const char *mark = f->is_begun ? "\n\n" : "\r\n\r\n";
    const char *end = got.n ? memmem(got.p, got.n, mark, strlen(mark)) : NULL;

    if (!end)
        return false;
    *out = (struct str){ got.p, (size_t)(end - got.p) + strlen(mark) };
    *at += out->n;
    return true;
}

static void follower_read(struct world *w, struct follower_client *f)
{
    struct str entry;
    size_t at = 0;
    bool is_refused = false;

    trace_step(&w->trace, 'F', (uint64_t)(f - w->followers.all), f->position, f->link.received.n);
    while (!is_refused && take_entry(f, &at, &entry)) {
        if (f->is_begun)
            follower_hears(w, f, entry);
        else
            is_refused = memmem(entry.p, entry.n < 16 ? entry.n : 16, " 200 ", 5) == NULL;
        f->is_begun = true;
    }
    f->link.received.n -= at;
    memmove(f->link.received.p, f->link.received.p + at, f->link.received.n);
    f->looked = f->link.received.n;
    if (is_refused || f->is_over || f->link.is_closed || fault_hits(w, SIM_FAULT_LOST_REPLY))
        leave(w, f);
    else if (is_stalled(f))
        f->due_us = world_now_us(w) + chance_span(&w->followers.chance, 24);
}

void follower_step(struct world *w, struct follower_client *f)
{
    if (!f->is_connected)
        follower_connect(w, f);
    else if (f->link.is_closed || f->link.received.n > f->looked)
        follower_read(w, f);
    else
        follower_go_on(w, f);
}

void followers_finished(struct world *w)
{
    for (unsigned i = 0; i < w->followers.n; i++) {
        const struct follower_client *f = &w->followers.all[i];

        /* The server admits a few; of more some are always outside. */
        if (f->has_place && (f->is_connected || w->followers.n <= w->app_config.followers_max))
            witness_followed(w->witness, f->is_of_events, f->position);
    }
}
