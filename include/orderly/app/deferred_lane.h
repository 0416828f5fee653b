/* The row of a deferred lane (DB_LANES): a lane whose head failed and waits for its next attempt,
 * or is parked behind a dead letter. While the row is there the lane's messages from the head on
 * are found in the log, and the subscription's cursor may be past them; those before it are done
 * with. Each append that ends a message of such a lane moves the row's head behind it.
 *
 * A lane that is alone holds one message and no other: that of an open dead letter that was retried,
 * whose own lane has long gone on. Its key is the dead letter's id, and its row goes with its
 * message. */
#ifndef ORDERLY_APP_DEFERRED_LANE_H
#define ORDERLY_APP_DEFERRED_LANE_H
#include "orderly/base/check.h"
#include "orderly/base/err.h"
#include "orderly/domain/event.h"

struct deferred_lane {
    /* The key. */
    enum subscription_id subscription;
    struct lane_id lane;

    uint64_t head_position; /* where attempts is 0 and nothing is parked: or what comes behind it */
    unsigned attempts;      /* of the head, all failed */
    bool is_parked;
    bool is_alone;
    uint64_t
        payload_position; /* of the DeadLetterRetried that gave the head its payload; 0: none */
    int64_t first_failed_at_ms, last_failed_at_ms;
    int64_t due_wall_ms;                  /* not parked: next attempt */
    struct dead_letter_id dead_letter_id; /* parked: behind which one */
    struct str error_code, error_detail;  /* of the last failure; views */
};

#define DEFERRED_LANE_KEY_LEN 17 /* subscription(1) lane(16) */
void deferred_lane_key(enum subscription_id s, struct lane_id lane,
                       char out[DEFERRED_LANE_KEY_LEN]);

struct buf;
void deferred_lane_encode(const struct deferred_lane *d, struct buf *out);
/* ERR_DAMAGED if key and row are none of ours. Texts are views into the row. */
MUST_CHECK enum err deferred_lane_decode(struct str key, struct str row, struct deferred_lane *out);
#endif
