/* What the files of the bus share: lanes, deferrals, and who may call what.
 *
 *   bus.c            publish, the turn, the end of a delivery, pauses, questions
 *   lane.c           a lane's life while it is in memory, and its place in a turn
 *   lane_deferral.c  failure -> row -> wait or park -> read back -> caught up
 *   bus_read.c       reading the log: of a subscription that fell behind, of a deferred lane
 *   letter_rows.c    the rows of dead letters and of deferred lanes
 *   redrive.c        what an operator does about a dead letter
 *   bus_chores.c     cursors, and rows of lanes that are deferred no more
 *   bus_recover.c    the same state from rows
 *
 * A lane that is not idle is in exactly one phase:
 *
 *     READY     in ready or ready_deferred; its queue is not empty
 *     BUSY      the first of its queue is in the hands of a handler
 *     FAILED    the first of its queue failed; in failed or failed_deferred until the log takes it
 *     WRITING   the log has it
 *     WAITING   deferred; the timer runs; nothing in memory
 *     PARKED    deferred; nothing in memory
 *     DUE       deferred; in due, until there is room to read; nothing in memory
 *     READING   deferred; the read is under way; nothing in memory
 *
 * A lane is *deferred* when its row is durable (deferral->is_stored). Its messages are then not in
 * the in-work list: the row stands for them. It is deferred until everything that was published to
 * it up to seen_position is handled; then it is a lane like any other, and holds what is published
 * from there on, before its row is deleted. So at any time a message is handled, or behind the
 * cursor's reach, or behind the head of a durable row. */
#ifndef ORDERLY_SRC_APP_BUS_PRIVATE_H
#define ORDERLY_SRC_APP_BUS_PRIVATE_H
#include "orderly/app/bus.h"

enum lane_phase {
    LANE_PHASE_READY,
    LANE_PHASE_BUSY,
    LANE_PHASE_FAILED,
    LANE_PHASE_WRITING,
    LANE_PHASE_WAITING,
    LANE_PHASE_PARKED,
    LANE_PHASE_DUE,
    LANE_PHASE_READING,
};

struct lane {
    struct map_node node; /* in subscription->lanes, by id */
    struct lane_id id;
    struct subscription *subscription;
    enum lane_phase phase;
    struct list link;          /* in the list that its phase names */
    struct list queue;         /* deliveries by lane_link, the head first */
    unsigned n_known;          /* messages that are known to wait in it, the head among them */
    struct deferral *deferral; /* NULL: nothing failed lately */
};

enum verdict_on_failure {
    FAILED_RETRY,  /* attempts are left */
    FAILED_PARK,   /* none is left: dead letter, the lane waits behind it */
    FAILED_DISMISS /* permanent: dead letter, the lane goes on */
};

struct deferral {
    struct lane *lane;
    bool is_stored; /* the row is durable */
    bool is_alone;  /* holds the message of a retried letter and no other; its id is the letter's */

    /* The last failure. */
    enum verdict_on_failure verdict;
    uint64_t head_position;
    unsigned attempts;
    int64_t first_failed_at_ms, last_failed_at_ms, due_wall_ms;
    int64_t due_us;                       /* monotonic */
    struct dead_letter_id dead_letter_id; /* PARK, DISMISS */
    uint64_t payload_position;            /* of the event that has the head's payload; 0: its own */
    char *text;                           /* holds the next two, each with a NUL behind it */
    struct str error_code, error_detail;

    /* While it is stored. */
    uint64_t read_position; /* everything of the lane up to here was read back (or came before) */
    uint64_t seen_position; /* everything of the lane up to here was published and is waiting */
    struct timer timer;
};

/* ---- bus.c ---- */
void bus_wake(struct bus *b);
/* Hands over nothing for a moment: 100 ms, doubling to 1 s until a message goes through. */
void subscription_pause(struct subscription *s);
/* Looks again in a second at what it waits for, without a pause. */
void subscription_look_again(struct subscription *s);
static inline bool subscription_wants(const struct subscription *s, const struct message *m)
{
    return m->topic.n > 0 && s->wants(s, &m->event);
}
/* A message that was published at this position and is wanted: into its lane, or, when that is
 * deferred, only noted. The position is taken. */
void subscription_take(struct subscription *s, struct message *m);
/* Takes the first delivery of a lane out of the memory. */
void delivery_forget(struct delivery *d);

/* ---- lane.c ---- */
struct lane *lane_find(const struct subscription *s, struct lane_id id);
struct lane *lane_create(struct subscription *s, struct lane_id id);
void lane_free(struct lane *l); /* nothing in its queue, no deferral */
void lane_add(struct lane *l, struct message *m, unsigned attempt, bool is_in_work);
static inline struct delivery *lane_head(const struct lane *l)
{
    return list_is_empty(&l->queue) ? NULL
                                    : container_of(l->queue.next, struct delivery, lane_link);
}
static inline bool lane_is_deferred(const struct lane *l)
{
    return l->deferral && l->deferral->is_stored;
}
void lane_make_ready(struct lane *l);       /* behind those that wait */
void lane_make_ready_again(struct lane *l); /* keeps its place: in front of them */
struct lane *lane_take_ready(struct ready_lanes *r);
/* The head is done with: next one, or more from the log, or idle. l may be gone afterwards. */
void lane_go_on(struct lane *l);
void lanes_free_all(struct subscription *s);

/* ---- lane_deferral.c ---- */
void deferral_note_failure(struct lane *l, const struct failure *f);
/* Hands failures to the log while it takes them. */
void subscription_write_failures(struct subscription *s);
struct deferral *deferral_create(struct lane *l);
void deferral_free(struct deferral *d); /* does not touch the lane */
void deferral_set_error(struct deferral *d, struct str code, struct str detail);
/* PHASE_WAITING until then; the row is durable. */
void deferral_wait(struct deferral *d, int64_t delay_ms);
void lane_make_due(struct lane *l);

/* ---- letter_rows.c: into the append that is open ---- */
struct dead_letter;
/* So that a start knows the stream's end and the open letters without reading them. */
void letter_put_counts(struct append *a, const struct subscription *s);
void letter_put(struct append *a, const struct dead_letter *letter);
/* An event of the subscription's own stream, at s->sequence. */
void letter_append_event(struct append *a, const struct subscription *s, struct event *e);
/* A new dead letter, with all its rows and its event; of: the message, for the order's id. s->sequence
 * and n_letters are set. */
void letter_append_new(struct append *a, const struct subscription *s,
                       const struct dead_letter *letter, const struct payload *of);
/* The dead letter of the lane's head; likewise. */
void letter_append(struct append *a, const struct deferral *d);
void lane_put_row(struct append *a, const struct deferred_lane *lane);
void deferral_put_row(struct append *a, const struct deferral *d);
/* The lane's messages up to this position are done with; the row says so, or goes where the lane is
 * alone. */
void deferral_put_passed(struct append *a, const struct deferral *d, uint64_t position);

/* ---- bus_read.c ---- */
void subscription_catch_up(struct subscription *s);
void subscription_read_due_lanes(struct subscription *s);

/* ---- bus_chores.c ---- */
void bus_chores_init(struct bus *b);
void bus_chores_deinit(struct bus *b);
/* A cursor may have moved: see to it within BUS_CHORES_MS. */
void bus_touch_cursors(struct bus *b);
/* The lane is deferred no more: its row is deleted, unless it fails again before. */
void bus_clear_row(struct subscription *s, struct lane_id lane);
/* Into the open append, which says what became of a message of this lane, that is not deferred: its row,
 * if there still is one. Behind the effect of a later message the row would have that one handed over
 * again by a start whose cursor is past it. */
void bus_put_clear(const struct subscription *s, struct lane_id lane, struct append *a);
/* At once rather than soon: for a drain. */
void bus_flush_chores(struct bus *b);
/* Nothing of the bus is on its way to the log. */
bool bus_chores_are_done(const struct bus *b);
#endif
