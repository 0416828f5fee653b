/* Redrive: what an operator does about a dead letter, as rows, an event, and what it means for the
 * lanes. The rows go into an append that the caller has open, together with its own (an answer to be
 * kept, say); what is in memory follows when the append is back.
 *
 *     redrive_check -> append_begin -> redrive_append -> append_submit -> ... -> redrive_end
 *
 * REDRIVE_LANE   retry of a parked letter. The lane is parked no more and its head has no attempts
 *                behind it: it is read from the log and handed over again, and everything behind it
 *                in order. With another payload the row names the DeadLetterRetried event, which
 *                holds the message as it is handed over from now on; the log's own stays as it is.
 * REDRIVE_ALONE  retry of an open letter, whose lane went on. A second row, under the letter's own
 *                id, holds this one message (deferred_lane.h, is_alone): it is handed over beside
 *                the order's lane, with retries as any, and becomes a new open letter where it fails
 *                for good. It parks nothing, because nothing waits behind it.
 * REDRIVE_ANEW   retry of an outside message that was turned down when it came in (its event has a
 *                verdict, and no context but Orders was told). The caller receives it once more in
 *                the same append: it is judged anew and becomes an event of its own, at the end of
 *                the log, which everybody hears.
 * REDRIVE_SKIP   discard. A parked lane goes on behind its head; of an open letter nothing is left
 *                but the record.
 *
 * After a crash the rows say all of it: whatever was durable goes on, and the rest was not answered.
 * For one letter there is one redrive at a time (dead_letter_commands.c sees to it). Thread: loop. */
#ifndef ORDERLY_APP_REDRIVE_H
#define ORDERLY_APP_REDRIVE_H
#include "orderly/app/bus.h"
#include "orderly/app/dead_letters.h"

enum redrive_kind { REDRIVE_LANE, REDRIVE_ALONE, REDRIVE_ANEW, REDRIVE_SKIP };

struct redrive {
    /* Set by the caller. */
    struct bus *bus;
    enum redrive_kind kind;
    struct dead_letter letter; /* as it is stored; redrive_append makes it what it will be */
    struct event event;        /* type; of the payload order id, reason, message_row; user, trace */

    /* Bus only. */
    bool was_parked;
};

/* ERR_OK. ERR_BUSY: no room for another deferred lane, or the loop has not heard yet that the letter
 * is durable. ERR_NOT_FOUND: its subscription is none of this process, and it takes lanes to do that.
 * ERR_DAMAGED: letter and lanes disagree. */
MUST_CHECK enum err redrive_check(const struct redrive *r);
void redrive_append(struct redrive *r, struct append *a);
/* The append came back; last, once. */
void redrive_end(struct redrive *r, enum err status);
#endif
