/* Dead letters: messages that their handler refused for good, or that failed for the last time.
 *
 * A dead letter is a row (DB_DEAD_LETTERS, and its key by lane) written in the same transaction as
 * the DeadLettered event and, when it parks its lane, the deferred lane's row. It is never deleted:
 *
 *     failed for the last time ─► PARKED ─┬─ retry ──► RETRIED    (redrive.h)
 *     failed permanently ───────► OPEN ───┴─ discard ► DISCARDED
 *
 * Each step is an event of the subscription's stream: DeadLettered, DeadLetterRetried,
 * DeadLetterDiscarded. A retried message that fails again is a new dead letter. */
#ifndef ORDERLY_APP_DEAD_LETTERS_H
#define ORDERLY_APP_DEAD_LETTERS_H
#include "orderly/app/store.h"
#include "orderly/domain/event.h"

enum dead_letter_state {
    DEAD_LETTER_PARKED,  /* open, and its lane waits behind it */
    DEAD_LETTER_OPEN,    /* open, parks nothing */
    DEAD_LETTER_RETRIED, /* redriven */
    DEAD_LETTER_DISCARDED
};
struct str dead_letter_state_name(enum dead_letter_state s);
bool dead_letter_state_parse(struct str name, enum dead_letter_state *out);

struct dead_letter {
    struct dead_letter_id id;
    enum subscription_id subscription;
    enum dead_letter_state state;
    bool is_parking; /* its lane waits behind it, or did until it was retried or discarded */
    struct lane_id lane;
    struct event_id message_id;
    enum event_type type; /* gives the topic */
    uint64_t position;    /* of the message */
    uint64_t
        payload_position; /* of the DeadLetterRetried whose payload it failed with; 0: its own */
    uint64_t closed_position; /* of the event that retried or discarded it; 0: open */
    unsigned attempts;
    int64_t first_failed_at_ms, last_failed_at_ms;
    struct str error_code, error_detail; /* views into the row */
};
static inline bool dead_letter_is_open(const struct dead_letter *d)
{
    return d->state == DEAD_LETTER_PARKED || d->state == DEAD_LETTER_OPEN;
}

struct buf;
void dead_letter_encode(const struct dead_letter *d, struct buf *out);
MUST_CHECK enum err dead_letter_decode(struct str row, struct dead_letter *out);

/* Which letters are meant; what is left zero does not matter. */
struct dead_letter_filter {
    enum subscription_id subscription;
    struct lane_id lane;
    uint64_t types;  /* bits 1 << enum event_type: their topics */
    struct str code; /* of the error */
    unsigned states; /* bits 1u << enum dead_letter_state */
};

/* GET /dead-letters: oldest first; run on any thread by a store_read. *after: nil or the last id
 * seen, and in the end the last one looked at, behind which the next page begins. The messages' rows
 * come with them. A page ends at its limit, when it is late, and when it is larger than
 * QUERY_BYTES_MAX; it may then be empty and still have more. */
struct dead_letter_item {
    struct dead_letter letter;
    struct str message_row; /* encoded event, as its handler got it; empty if it can't be read */
    unsigned
        queued_behind; /* messages of the same lane behind a parked one, at most 1000 counted */
};
MUST_CHECK enum err dead_letters_list(const struct store_view *v, struct arena *a,
                                      const struct dead_letter_filter *filter,
                                      struct dead_letter_id *after, unsigned limit,
                                      struct dead_letter_item **out, unsigned *n, bool *has_more);
MUST_CHECK enum err dead_letters_get(const struct store_view *v, struct arena *a,
                                     struct dead_letter_id id, struct dead_letter_item *out);

/* Goes through the letters without their messages, oldest first, until ids is full, the read is late
 * or there are no more. Any thread. */
struct dead_letter_scan {
    struct dead_letter_filter filter;
    struct dead_letter_id after; /* in: nil or where to go on; out: the last one looked at */
    struct dead_letter_id last;  /* not nil: none behind this one */
    struct dead_letter_id *ids;  /* of those that fit; room for ids_max */
    unsigned n_ids, ids_max;
    bool counts_on; /* goes on and only counts when ids is full */
    uint64_t n;     /* in: 0 or so far; those that fit are added */
    bool has_more;
};
MUST_CHECK enum err dead_letters_scan(const struct store_view *v, struct dead_letter_scan *scan);
#endif
