#include "orderly/app/feed.h"
#include "orderly/base/mem.h"

static void feed_wake(struct feed *fd)
{
    scheduler_wake(fd->timers->scheduler);
}

static void feed_on_pause(struct timer *t)
{
    feed_wake(container_of(t, struct feed, pause));
}

void feed_init(struct feed *fd, struct store *store, struct timers *timers, unsigned followers_max)
{
    *fd = (struct feed){
        .store = store,
        .timers = timers,
        .n_max = followers_max,
        .first = 1,
        .blocked_next = UINT64_MAX,
    };
    list_init(&fd->all);
    list_init(&fd->ready);
    list_init(&fd->idle);
    list_init(&fd->behind);
    list_init(&fd->blocked);
    timer_init(&fd->pause, feed_on_pause);
}

void feed_deinit(struct feed *fd)
{
    REQUIRE(fd->n == 0);
    REQUIRE(fd->n_reads == 0);
    timer_stop(fd->timers, &fd->pause);
    mem_free(fd->slots);
    buf_deinit(&fd->frame);
    buf_deinit(&fd->batch);
}

void feed_set_renderer(struct feed *fd,
                       void (*render)(void *ctx, enum feed_kind kind, const struct event *e,
                                      struct buf *out),
                       void *ctx)
{
    fd->render = render;
    fd->render_ctx = ctx;
}

/* ---- the ring -------------------------------------------------------------------------------- */

static struct feed_slot *ring_slot(const struct feed *fd, uint64_t position)
{
    REQUIRE(position >= fd->first && position <= fd->published);
    return &fd->slots[position % FEED_RING_EVENTS];
}

static size_t slot_bytes(const struct feed_slot *s)
{
    size_t n = s->message->row.n;

    for (unsigned k = 0; k < FEED_KINDS; k++)
        n += s->frames[k].n;
    return n;
}

static void ring_drop_first(struct feed *fd)
{
    struct feed_slot *s = ring_slot(fd, fd->first);

    fd->ring_bytes -= slot_bytes(s);
    for (unsigned k = 0; k < FEED_KINDS; k++)
        mem_free((char *)s->frames[k].p);
    message_unref(s->message);
    *s = (struct feed_slot){ .message = NULL };
    fd->first++;
}

static void ring_clear(struct feed *fd)
{
    while (fd->first <= fd->published)
        ring_drop_first(fd);
    INVARIANT(fd->ring_bytes == 0);
}

static void ring_push(struct feed *fd, struct message *m)
{
    uint64_t position = m->event.position;

    /* Without a gap, so that a position is a place. */
    REQUIRE(position == fd->published + 1);
    while (fd->first <= fd->published && (position - fd->first >= FEED_RING_EVENTS ||
                                          fd->ring_bytes + m->row.n > FEED_RING_BYTES))
        ring_drop_first(fd);
    fd->published = position;
    *ring_slot(fd, position) = (struct feed_slot){ .message = message_ref(m) };
    fd->ring_bytes += m->row.n;
}

/* The event as bytes; made for the first who wants it. */
static struct str slot_frame(struct feed *fd, struct feed_slot *s, enum feed_kind kind)
{
    if (!s->frames[kind].p) {
        char *copy;

        fd->frame.n = 0;
        fd->render(fd->render_ctx, kind, &s->message->event, &fd->frame);
        copy = mem_alloc(fd->frame.n);
        memcpy(copy, fd->frame.p, fd->frame.n);
        s->frames[kind] = (struct str){ copy, fd->frame.n };
        fd->ring_bytes += fd->frame.n;
    }
    return s->frames[kind];
}

/* ---- pages of the log ------------------------------------------------------------------------ */

/* The read's until page_done, then its follower's; nobody's but the read's where that has left. */
struct feed_page {
    struct store_read read;
    /* Loop thread only. */
    struct follower *follower; /* NULL: it has left */
    bool is_read;
    /* Set before the read, for whoever reads. */
    struct feed *feed; /* of it the renderer only, which never changes */
    enum feed_kind kind;
    struct event_query query;
    char aggregate_id[TEXT_ID_MAX];
    /* The reading thread's until page_done. */
    struct buf bytes;
    unsigned n_frames;
    uint64_t position; /* heard up to here, once the bytes are sent */
    enum err status;
};

static void page_free(struct feed_page *p)
{
    buf_deinit(&p->bytes);
    mem_free(p);
}

/* On a thread of the store's. What comes before a row that can't be read is sent all the same. */
static void page_run(struct store_read *r, const struct store_view *v)
{
    struct feed_page *p = container_of(r, struct feed_page, read);
    struct event_page found;
    struct arena arena;
    unsigned n = 0;

    arena_init(&arena, NULL, 0);
    p->status = query_events(v, &arena, &p->query, &found);
    while (n < found.n && p->bytes.n < FEED_PAGE_BYTES)
        p->feed->render(p->feed->render_ctx, p->kind, &found.events[n++], &p->bytes);
    if (n < found.n || (p->status != ERR_OK && n > 0)) {
        p->position = found.events[n - 1].position;
        p->status = ERR_OK;
    } else {
        p->position = found.has_more ? found.next : p->query.upto;
    }
    p->n_frames = n;
    arena_deinit(&arena);
}

static void follower_end(struct follower *f, enum follower_end why);

static void page_done(struct store_read *r)
{
    struct feed_page *p = container_of(r, struct feed_page, read);
    struct feed *fd = p->feed;
    struct follower *f = p->follower;

    fd->n_reads--;
    fd->pages_read++;
    feed_wake(fd); /* for the next that waits to read, too */
    if (!f) {
        page_free(p);
    } else if (p->status != ERR_OK) {
        f->end_status = p->status;
        f->page = NULL;
        page_free(p);
        follower_end(f, FOLLOWER_FAILED);
    } else {
        p->is_read = true;
        list_push_back(&fd->ready, &f->link);
    }
}

static enum err page_start(struct feed *fd, struct follower *f)
{
    struct feed_page *p = mem_zalloc(sizeof(*p));
    enum err e;

    p->feed = fd;
    p->follower = f;
    p->kind = f->kind;
    p->query = f->filter;
    REQUIRE(f->filter.aggregate_id.n <= sizeof(p->aggregate_id));
    if (f->filter.aggregate_id.n) {
        memcpy(p->aggregate_id, f->filter.aggregate_id.p, f->filter.aggregate_id.n);
        p->query.aggregate_id.p = p->aggregate_id;
    }
    p->query.after = f->position;
    p->query.upto = fd->published;
    p->query.limit = FEED_PAGE_EVENTS;
    p->query.rows_max = FEED_PAGE_ROWS;
    p->read = (struct store_read){ .run = page_run, .done = page_done };
    e = store_read_start(fd->store, &p->read);
    if (e != ERR_OK) {
        page_free(p);
        return e;
    }
    f->page = p;
    fd->n_reads++;
    return ERR_OK;
}

static void feed_read_pages(struct feed *fd)
{
    while (fd->n_reads < FEED_READS_MAX && !list_is_empty(&fd->behind) &&
           !timer_is_running(&fd->pause)) {
        struct follower *f = container_of(list_pop_front(&fd->behind), struct follower, link);
        enum err e = page_start(fd, f);

        if (e == ERR_BUSY) {
            list_push_front(&fd->behind, &f->link);
            timer_start(fd->timers, &fd->pause, FEED_PAUSE_MS);
        } else if (e != ERR_OK) {
            f->end_status = e;
            follower_end(f, FOLLOWER_FAILED);
        }
    }
}

/* ---- a follower's life ----------------------------------------------------------------------- */

enum err feed_admits(const struct feed *fd)
{
    if (fd->is_closed)
        return ERR_SHUTTING_DOWN;
    return fd->n < fd->n_max ? ERR_OK : ERR_LIMIT;
}

void feed_start(struct feed *fd, uint64_t published)
{
    REQUIRE(fd->n == 0);
    fd->published = published;
    fd->first = published + 1;
}

void feed_follow(struct feed *fd, struct follower *f)
{
    REQUIRE(feed_admits(fd) == ERR_OK);
    REQUIRE(fd->render != NULL);
    if (!fd->slots)
        fd->slots = mem_zalloc(FEED_RING_EVENTS * sizeof(*fd->slots));
    f->feed = fd;
    f->page = NULL;
    f->is_live = f->is_blocked = false;
    f->end_status = ERR_OK;
    list_init(&f->link);
    list_init(&f->all_link);
    fd->n++;
    fd->n_by_kind[f->kind]++;
    list_push_back(&fd->all, &f->all_link);
    list_push_back(&fd->ready, &f->link);
    feed_wake(fd);
}

void feed_leave(struct follower *f)
{
    struct feed *fd = f->feed;

    list_remove(&f->link);
    list_remove(&f->all_link);
    if (f->page && f->page->is_read)
        page_free(f->page);
    else if (f->page)
        f->page->follower = NULL;
    f->page = NULL;
    fd->n_by_kind[f->kind]--;
    if (--fd->n > 0)
        return;
    ring_clear(fd);
    fd->blocked_next = UINT64_MAX;
}

static void follower_end(struct follower *f, enum follower_end why)
{
    feed_leave(f);
    f->ops->ended(f, why); /* last: f may be gone from here on */
}

void feed_close(struct feed *fd)
{
    fd->is_closed = true;
    while (!list_is_empty(&fd->all))
        follower_end(container_of(fd->all.next, struct follower, all_link), FOLLOWER_DRAINED);
}

static void follower_block(struct follower *f)
{
    struct feed *fd = f->feed;

    f->is_blocked = true;
    list_push_back(&fd->blocked, &f->link);
    if (f->is_live && f->position + 1 < fd->blocked_next)
        fd->blocked_next = f->position + 1;
    /* What was refused though little waits is large, and goes when nothing does. */
    f->ops->want_room(f, f->ops->waiting(f) > FEED_ROOM_BYTES ? FEED_ROOM_BYTES : 0);
}

void follower_has_room(struct follower *f)
{
    if (!f->is_blocked)
        return;
    f->is_blocked = false;
    list_remove(&f->link);
    list_push_back(&f->feed->ready, &f->link);
    feed_wake(f->feed);
}

/* Who is blocked and has lost its place. */
static void feed_cut_off(struct feed *fd)
{
    struct list *at = fd->blocked.next;

    if (fd->blocked_next >= fd->first)
        return;
    fd->blocked_next = UINT64_MAX;
    while (at != &fd->blocked) {
        struct follower *f = container_of(at, struct follower, link);

        at = at->next;
        if (!f->is_live)
            continue;
        if (f->position + 1 < fd->first) {
            fd->overflows[f->kind]++;
            follower_end(f, FOLLOWER_OVERFLOW);
        } else if (f->position + 1 < fd->blocked_next) {
            fd->blocked_next = f->position + 1;
        }
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

static size_t send_page(struct feed *fd, struct follower *f)
{
    struct feed_page *p = f->page;
    size_t n = p->bytes.n;

    if (n && f->ops->send(f, buf_str(&p->bytes)) != ERR_OK) {
        follower_block(f);
        return 0;
    }
    fd->frames_sent += p->n_frames;
    f->position = p->position;
    f->page = NULL;
    page_free(p);
    list_push_back(&fd->ready, &f->link);
    return n;
}

static size_t send_recent(struct feed *fd, struct follower *f)
{
    uint64_t position = f->position, end = position + FEED_SEND_EVENTS;
    unsigned n_frames = 0;

    if (end > fd->published)
        end = fd->published;
    fd->batch.n = 0;
    while (position < end) {
        struct feed_slot *s = ring_slot(fd, position + 1);

        if (event_query_fits(&f->filter, &s->message->event)) {
            struct str frame = slot_frame(fd, s, f->kind);

            if (fd->batch.n && fd->batch.n + frame.n > FEED_SEND_BYTES)
                break;
            buf_add_str(&fd->batch, frame);
            n_frames++;
        }
        position++;
    }
    if (fd->batch.n && f->ops->send(f, buf_str(&fd->batch)) != ERR_OK) {
        follower_block(f);
        return 0;
    }
    fd->frames_sent += n_frames;
    f->position = position;
    f->is_live |= position == fd->published;
    list_push_back(position == fd->published ? &fd->idle : &fd->ready, &f->link);
    return fd->batch.n;
}

/* Puts it into the list where it belongs next. Returns the bytes that were sent. */
static size_t follower_visit(struct feed *fd, struct follower *f)
{
    if (f->page)
        return send_page(fd, f);
    if (f->position >= fd->published) {
        f->is_live = true;
        list_push_back(&fd->idle, &f->link);
        return 0;
    }
    if (f->position + 1 >= fd->first)
        return send_recent(fd, f);
    f->is_live = false;
    if (f->ops->waiting(f) > FEED_ROOM_BYTES)
        follower_block(f);
    else
        list_push_back(&fd->behind, &f->link);
    return 0;
}

bool feed_run(struct feed *fd)
{
    int64_t end_us;
    size_t n_bytes = 0;

    if (list_is_empty(&fd->ready) && list_is_empty(&fd->behind) && list_is_empty(&fd->blocked))
        return false;
    feed_cut_off(fd);
    end_us = scheduler_mono_us(fd->timers->scheduler) + FEED_TURN_US;
    for (unsigned n = 0; n < FEED_TURN_FOLLOWERS && !list_is_empty(&fd->ready); n++) {
        n_bytes +=
            follower_visit(fd, container_of(list_pop_front(&fd->ready), struct follower, link));
        if (n_bytes >= FEED_TURN_BYTES || scheduler_mono_us(fd->timers->scheduler) >= end_us)
            break;
    }
    feed_read_pages(fd);
    return !list_is_empty(&fd->ready);
}

void feed_publish(struct feed *fd, struct message *m)
{
    if (fd->n == 0) {
        fd->published = m->event.position;
        fd->first = fd->published + 1;
        return;
    }
    ring_push(fd, m);
    list_append_all(&fd->ready, &fd->idle);
}
