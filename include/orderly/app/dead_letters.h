/* Dead letters: messages that their handler refused for good, or that failed for the last time.
 *
 * A dead letter is a row (DB_DEAD_LETTERS, and its key by lane) written in the same transaction as
 * the DeadLettered event and, when it parks its lane, the deferred lane's row. */
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

struct dead_letter {
    struct dead_letter_id id;
    enum subscription_id subscription;
    enum dead_letter_state state;
    struct lane_id lane;
    struct event_id message_id;
    enum event_type type; /* gives the topic */
    uint64_t position;    /* of the message */
    unsigned attempts;
    int64_t first_failed_at_ms, last_failed_at_ms;
    struct str error_code, error_detail; /* views into the row */
};

struct buf;
void dead_letter_encode(const struct dead_letter *d, struct buf *out);
MUST_CHECK enum err dead_letter_decode(struct str row, struct dead_letter *out);

/* GET /dead-letters: oldest first; run on any thread by a store_read. *after: nil or the last id
 * seen, and in the end the last one looked at, behind which the next page begins; subscription
 * NONE: all; lane nil: all. The messages' rows come with them. A page ends at its limit, when it is
 * late, and when it is larger than QUERY_BYTES_MAX; it may then be empty and still have more. */
struct dead_letter_item {
    struct dead_letter letter;
    struct str message_row; /* encoded event; empty if it can't be read */
    unsigned
        queued_behind; /* messages of the same lane behind a parked one, at most 1000 counted */
};
MUST_CHECK enum err dead_letters_list(const struct store_view *v, struct arena *a,
                                      enum subscription_id subscription, struct lane_id lane,
                                      struct dead_letter_id *after, unsigned limit,
                                      struct dead_letter_item **out, unsigned *n, bool *has_more);
MUST_CHECK enum err dead_letters_get(const struct store_view *v, struct arena *a,
                                     struct dead_letter_id id, struct dead_letter_item *out);
#endif
