/* The log as it grows, for followers: clients of the streams now, relays to brokers later. A
 * follower has a position of its own and hears every durable event behind it, in log order, each
 * once, as far as its filter fits.
 *
 * One mechanism for history and for now:
 *
 *        behind --page of the log read--> sending --+-- not at the end yet: behind, or in the ring
 *          ^                                        |
 *          |  the ring has gone on without it       +-- at the end: idle, hears what is published
 *          '---------------- in the ring <--------------'
 *
 *   - The ring holds the last published events (RING_EVENTS, RING_BYTES), each rendered at most once
 *     for each kind. Who has its next event in there is sent from there: within the turn of the loop
 *     in which it was published, or a next one where many follow.
 *   - Who has not reads pages of the log, up to the position that was published when the page was
 *     asked for. So page and ring meet without a gap and without a double, and nothing leaves that
 *     was not published before. At most one page of a follower is in flight, READS_MAX of all.
 *   - A follower is sent to only while its connection has room: it takes a page while at most
 *     ROOM_BYTES wait, anything else until its connection refuses. Then it is blocked, and keeps its
 *     place until there is room again.
 *   - Overflow: a follower that had come to the end, is blocked, and whose next event leaves the
 *     ring meanwhile is cut off. It reads too slowly for what happens now; it may go on from its
 *     position as one that reads history. Who reads history is never cut off for being slow (a peer
 *     that takes nothing at all is its connection's to find), and who is not blocked but was
 *     overtaken, because the server has too much to do, goes back to reading pages.
 *   - A turn of the loop sends to at most TURN_FOLLOWERS, at most about TURN_BYTES, for about
 *     TURN_US; the others keep their place and the loop gets its turn.
 *
 * So what a follower can hold is bounded: what its connection takes, and one page.
 *
 * Events become bytes by the renderer, a port: this part knows no JSON. Without followers nothing is
 * kept and nothing is done.
 *
 * Thread: loop, but for the renderer, which also runs on the threads of store reads. */
#ifndef ORDERLY_APP_FEED_H
#define ORDERLY_APP_FEED_H
#include "orderly/app/message.h"
#include "orderly/app/queries.h"
#include "orderly/app/store.h"
#include "orderly/app/timers.h"
#include "orderly/base/buf.h"
#include "orderly/base/list.h"

#define FEED_RING_EVENTS 4096 /* two of the largest commits */
#define FEED_RING_BYTES (8u << 20)
#define FEED_READS_MAX 2 /* of the four that the store runs at a time: lists wait for no stream */
#define FEED_PAGE_EVENTS 128
#define FEED_PAGE_BYTES (64u << 10) /* a page ends behind the event that reaches this */
#define FEED_PAGE_ROWS 4096         /* looked at for a page: some milliseconds of a read */
#define FEED_ROOM_BYTES (64u << 10)
#define FEED_SEND_BYTES (32u << 10) /* at a time to one follower, from the ring */
#define FEED_SEND_EVENTS 512        /* looked at for that */
#define FEED_TURN_FOLLOWERS 64      /* each costs its connection a system call */
#define FEED_TURN_BYTES (512u << 10)
#define FEED_TURN_US 1000
#define FEED_PAUSE_MS 100 /* until a read that the store had no place for is tried again */
#define FOLLOWERS_MAX_DEFAULT 1000

/* What followers hear: events, or messages in one of their two forms. */
enum feed_kind { FEED_EVENTS, FEED_MESSAGES, FEED_CLOUD_EVENTS, FEED_KINDS };

struct follower;
struct feed_page;

enum follower_end {
    FOLLOWER_OVERFLOW, /* too slow, see above */
    FOLLOWER_DRAINED,  /* the server ends */
    FOLLOWER_FAILED,   /* the next event can't be read: end_status says why */
};

struct follower_ops {
    /* Whole rendered events. ERR_BUSY: something waits to leave, so nothing was taken. */
    enum err (*send)(struct follower *f, struct str bytes);
    size_t (*waiting)(const struct follower *f); /* bytes that wait to leave */
    /* Asks for one follower_has_room, later, when at most this many bytes wait. */
    void (*want_room)(struct follower *f, size_t most);
    /* It is no follower any more; the memory is its owner's again. */
    void (*ended)(struct follower *f, enum follower_end why);
};

struct follower {
    /* Set by its owner before feed_follow. */
    const struct follower_ops *ops;
    enum feed_kind kind;
    struct event_query
        filter; /* types, lane, aggregate; what the id points to stays until the end */

    uint64_t position; /* set by its owner: heard up to here; moves as it hears more */
    enum err end_status;

    /* Feed only. */
    struct feed *feed;
    struct list link, all_link; /* in one of the feed's lists; among all */
    struct feed_page *page;     /* being read, or waiting to be sent */
    bool is_live;               /* has been at the end since it last read a page */
    bool is_blocked;
};

struct feed_slot {
    struct message *message;
    struct str frames[FEED_KINDS]; /* owned; p == NULL: not rendered yet */
};

struct feed {
    struct store *store;
    struct timers *timers;
    uint64_t published; /* position of the last published event */
    unsigned n, n_max;
    unsigned n_by_kind[FEED_KINDS];
    bool is_closed;

    void (*render)(void *ctx, enum feed_kind kind, const struct event *e, struct buf *out);
    void *render_ctx;

    /* The ring: positions first .. published, at position % FEED_RING_EVENTS. */
    struct feed_slot *slots; /* NULL until somebody follows */
    uint64_t first;
    size_t ring_bytes;

    struct list all, ready, idle, behind, blocked;
    uint64_t blocked_next; /* no live blocked follower's next event is before this */
    unsigned n_reads;
    struct timer pause;
    struct buf frame, batch; /* scratch */

    /* Counters. */
    uint64_t frames_sent, pages_read, overflows[FEED_KINDS];
};

void feed_init(struct feed *fd, struct store *store, struct timers *timers, unsigned followers_max);
/* All followers have left, no page is in flight. */
void feed_deinit(struct feed *fd);
/* Appends the bytes of one event. Runs on any thread. */
void feed_set_renderer(struct feed *fd,
                       void (*render)(void *ctx, enum feed_kind kind, const struct event *e,
                                      struct buf *out),
                       void *ctx);
/* Where the log stands when the server has started. */
void feed_start(struct feed *fd, uint64_t published);

/* ERR_LIMIT: as many follow as may. ERR_SHUTTING_DOWN. */
MUST_CHECK enum err feed_admits(const struct feed *fd);
/* After feed_admits. Calls nothing of the follower inside; it ends by feed_leave or by ended. */
void feed_follow(struct feed *fd, struct follower *f);
/* Its client has gone: nothing of it is called any more, and its memory is free at once. */
void feed_leave(struct follower *f);
/* After want_room. */
void follower_has_room(struct follower *f);

/* Each durable event, in log order. */
void feed_publish(struct feed *fd, struct message *m);
/* The feed's part of a turn; true if it needs another. */
bool feed_run(struct feed *fd);
/* Ends all followers now, takes no new ones. Pages in flight come back later (n_reads). */
void feed_close(struct feed *fd);
#endif
