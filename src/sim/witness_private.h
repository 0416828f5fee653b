/* What the files of the witness share: the history that was seen to become durable, and what each
 * invariant remembers of it.
 *
 *   witness.c           the calls: who judges what, in which order
 *   witness_history.c   events and lanes as they became durable
 *   witness_rows.c      the other rows as they became durable, and whether the store still has them
 *   witness_answers.c   ACKNOWLEDGED, ONCE
 *   witness_lanes.c     LANE_ORDER
 *   witness_letters.c   DEAD_LETTER
 *   witness_cursors.c   CURSOR
 *   witness_streams.c   STREAM
 *   witness_wants.c     who has to hear what
 *   witness_ignored.c   HEARD: what Orders passes over
 *   witness_contexts.c  HEARD: what the built-in contexts answer
 *   witness_followers.c STREAMED
 *   witness_relays.c    RELAYED
 *   witness_received.c  RECEIVED
 *   witness_refusals.c  ANSWER: what is refused
 *   witness_bodies.c    ANSWER: what is granted
 *   witness_money.c     CHARGED_ONCE, REFUNDED
 *   witness_stock.c     STOCK
 *   witness_models.c    READ_MODEL
 *   witness_timers.c    TIMER
 *   witness_settled.c   SETTLED
 *
 * Of the server's own code the witness uses what reads rows, and for READ_MODEL the replay;
 * what follows from an event otherwise it works out for itself, so that a decision that is wrong in
 * the server is not wrong here too. */
#ifndef SRC_SIM_WITNESS_PRIVATE_H
#define SRC_SIM_WITNESS_PRIVATE_H
#include "orderly/app/dead_letters.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/order_counts.h"
#include "orderly/app/replay.h"
#include "orderly/app/settings.h"
#include "orderly/base/arena.h"
#include "orderly/base/map.h"
#include "witness.h"

/* While a process is up it does something at least so often. */
#define WITNESS_STEP_US (INT64_C(2) * 1000 * 1000)
#define WITNESS_DAY_MS (INT64_C(24) * 60 * 60 * 1000)

/* ---- history --------------------------------------------------------------------------------- */

/* A committed event; its position is its place in the array, from 1. */
struct seen {
    uint64_t position;
    enum event_type type;
    enum verdict verdict;
    enum flow_id flow;
    enum subscription_id handled_by;
    uint16_t wanted;  /* bit for each subscription that has to hear it */
    uint16_t done;    /* of those: who said that it is handled */
    uint16_t settled; /* who has left something durable that says so: an effect, a letter */
    bool is_by_lane, is_by_type;
    bool is_relayed; /* a broker has taken it */
    struct event_id id;
    uint64_t cause; /* position; 0: none */
    int64_t occurred_at_ms;
    struct seen_lane *lane;
    struct str row;
    struct map_node node; /* by id */
};

/* The messages of a lane that one subscription has to hear, and where it stands with them. */
struct queue {
    uint64_t *positions; /* ascending */
    unsigned n, cap;
    unsigned n_ended; /* of them, from the first on without a gap: handled, or ended by a letter */
    unsigned next;    /* index; with is_placed */
    bool is_placed;   /* this process has handed one over, or there was none before it started */
    enum {
        QUEUE_IDLE,
        QUEUE_IN_HAND,
        QUEUE_FAILED,  /* nothing durable says so yet */
        QUEUE_WAITING, /* for its next attempt */
        QUEUE_PARKED
    } state;
    bool is_permanent; /* FAILED, for good */
    unsigned attempt;  /* of the one at `next`: the one in hand, or the last that failed; 0: none */
    int64_t failed_us;
    int64_t handed_us;     /* IN_HAND, since then, in time awake */
    struct letter *letter; /* PARKED behind it */
};

/* A shipment that Orders has heard of. */
struct goods {
    struct shipment_id id;
    bool is_own;
};

struct money {
    struct payment_id id;
    int64_t amount;
    struct currency currency;
    bool is_of_payments; /* taken by Payments, the built-in or the outside one */
    bool is_taken;       /* an event says that it was */
    bool is_paying;      /* it paid the order */
    unsigned n_asked, n_given_back, n_recorded;
    unsigned n_odd; /* recorded, of another sum */
};
struct pieces {
    struct reservation_id id;
    bool is_of_inventory; /* reserved by Inventory, the built-in or the outside one */
    bool is_outside;      /* of the latter, whose stock is not here */
    bool is_reserving;    /* it moved the order */
    unsigned n_asked, n_released, n_taken, n_recorded;
    unsigned n_lines;
    const struct stock_line *lines;
};

/* An order, cart, product, or what foreign messages named: all events with one lane id. */
struct seen_lane {
    struct map_node node;
    struct lane_id id;
    struct list touched_link;
    struct queue queues[SUBSCRIPTION_COUNT];
    struct replay replay; /* READ_MODEL only */
    unsigned n_rows;      /* durable rows that belong to it */

    /* An order, once flow is set. */
    enum flow_id flow;
    enum order_status status;
    uint32_t visited;                       /* bit for each status */
    int64_t visited_us[ORDER_STATUS_COUNT]; /* for the first time, in time awake */
    uint64_t sequence;                      /* of the order's stream */
    uint8_t *statuses;                      /* [sequence - 1] */
    size_t statuses_cap;
    bool is_acknowledged, is_dispatched, is_delivered, is_payment_requested;
    bool is_charge_pending, is_charge_decided, is_stock_decided, is_shipment_made; /* built in */
    bool is_expected; /* to go its whole way */
    unsigned n_events;
    bool is_confirmed;    /* Shipments knows that it was shipped */
    int64_t confirmed_us; /* since then, in time awake */
    /* What clients have read of it: last, and by when the latest. */
    uint64_t shown_sequence, read_sequence;
    struct digest16 shown;
    int64_t read_us;
    int64_t total;
    struct currency currency;
    int64_t deadline_ms;
    int64_t overdue_us; /* since when it is overdue, in time awake; 0: not */
    struct list open_link;
    struct money *money;
    unsigned n_money, n_money_cap;
    struct pieces *pieces;
    unsigned n_pieces, n_pieces_cap;
    struct goods *goods;
    unsigned n_goods, n_goods_cap;
};

struct stream { /* STREAM */
    struct map_node node;
    char key[1 + TEXT_ID_MAX];
    uint64_t sequence;
};
struct owned { /* CHARGED_ONCE: whose payment it is */
    struct map_node node;
    struct text_id id;
    struct seen_lane *lane;
};
struct product_stock { /* STOCK */
    struct map_node node;
    struct sku sku;
    int64_t first, on_hand, reserved;
    uint64_t position;
    struct list touched_link;
};

/* DEAD_LETTER */
struct letter {
    struct map_node node;
    struct dead_letter_id id;
    enum subscription_id subscription;
    enum dead_letter_state state;
    bool is_parking;
    struct seen_lane *lane;
    uint64_t position, closed_position;
    unsigned attempts;
    /* Of an open one that was retried: beside its lane, as long as its row is there. */
    bool is_alone, is_in_hand, has_failed, is_permanent;
    unsigned attempt;
    int64_t failed_us;
    struct list alone_link;
};

/* ---- rows ------------------------------------------------------------------------------------ */

struct durable_row {
    struct map_node node;
    enum store_db db;
    char key[1 + STORE_KEY_MAX]; /* the database first */
    size_t key_n;
    struct str value; /* own */
    size_t value_cap;
};

struct witness {
    struct witness_config config;
    bool is_running; /* a process is up */
    int64_t mono_us, wall_ms;
    int64_t wall_high_ms;     /* the latest time that the clock ever showed */
    int64_t wall_set_back_ms; /* how far it was set back, all times added up */
    bool is_violated;
    struct sim_violation violation; /* the first */
    struct witness_counts counts;

    struct map_key key;
    struct arena memory;                                   /* what stays */
    struct arena scratch;                                  /* of one event or row */
    struct subscription subscriptions[SUBSCRIPTION_COUNT]; /* config */
    bool has_subscription[SUBSCRIPTION_COUNT];

    struct seen **events; /* [position - 1] */
    uint64_t n_events, events_cap;
    struct event_id last_id;
    struct map by_id, lanes, streams, owned, stock, letters, rows, requests, message_ids, brought;
    uint64_t n_rows[STORE_DB_COUNT];
    struct list touched_lanes, touched_stock; /* by the write that is looked at */
    struct list open;                         /* orders with a deadline that is open */
    struct list alone;
    uint64_t letter_events[SUBSCRIPTION_COUNT];
    int64_t letters_open[SUBSCRIPTION_COUNT];
    uint64_t cursors[SUBSCRIPTION_COUNT];
    bool has_skipped_audit;
    struct order_counts counted; /* up to its position */
    struct simulators settings;
    bool has_settings[SIMULATOR_COUNT];
    int64_t settings_us[SIMULATOR_COUNT];      /* changed then, in time awake */
    int64_t settings_mono_us[SIMULATOR_COUNT]; /* the same, monotonic */
    int64_t swept_us;
    int64_t awake_us; /* time in which the process could have done something */
    struct {
        bool is_set;
        enum subscription_id subscription;
        uint64_t position;
        enum failure_code code;
    } fails;
};

/* Something does not hold. The first one is kept; lane: NULL where it is about no order. */
void witness_violate(struct witness *w, enum sim_invariant i, const struct seen_lane *lane,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* history */
void history_init(struct witness *w);
void history_deinit(struct witness *w);
struct seen_lane *history_lane(struct witness *w, struct lane_id id); /* made where it is new */
struct seen_lane *history_find_lane(const struct witness *w, struct lane_id id);
struct seen *history_at(const struct witness *w, uint64_t position); /* NULL: not durable */
/* A row of DB_EVENTS has become durable: everybody who judges events does. */
void history_event(struct witness *w, const struct store_write *write, struct str key,
                   struct str row);
void history_touch(struct witness *w, struct seen_lane *l);
/* Of a message that a subscription has to hear: it is said to be done with. */
void history_settle(struct witness *w, enum subscription_id s, uint64_t position);

/* rows */
void rows_init(struct witness *w);
void rows_deinit(struct witness *w);
const struct durable_row *rows_find(const struct witness *w, enum store_db db, struct str key);
void rows_apply(struct witness *w, const struct store_row *row);
void rows_compare(struct witness *w, const struct store_view *v);
struct str row_key_of(const struct durable_row *r);

/* What judges an event when it becomes durable. e->position is its place; s is its record. */
void stream_event(struct witness *w, const struct event *e, struct seen *s);
void money_event(struct witness *w, const struct event *e, struct seen *s);
void stock_event(struct witness *w, const struct event *e, struct seen *s);
void lanes_event(struct witness *w, const struct event *e, struct seen *s);
void letters_event(struct witness *w, const struct store_write *write, const struct event *e,
                   struct seen *s);
void timers_event(struct witness *w, const struct event *e, struct seen *s);
void answers_event(struct witness *w, const struct event *e, struct seen *s);
void models_event(struct witness *w, const struct event *e, struct seen *s);
void received_event(struct witness *w, const struct event *e, struct seen *s);

void goods_event(const struct event *e, struct seen_lane *l);
void contexts_event(const struct event *e, struct seen_lane *l);

/* What judges a write once all of its rows are known. */
void models_write(struct witness *w, const struct store_write *write);
void stock_write(struct witness *w, const struct store_write *write);
void cursors_write(struct witness *w, const struct store_write *write);
void letters_write(struct witness *w, const struct store_write *write);
/* Before they replace what is there. */
void answers_row(struct witness *w, const struct store_write *write, const struct store_row *row);
/* Of keys: once all rows are known. */
void answers_write(struct witness *w, const struct store_write *write);
void contexts_row(struct witness *w, const struct store_row *row);
void ignored_row(struct witness *w, const struct store_row *row);

/* Deliveries. */
void lanes_handed_over(struct witness *w, const struct delivery *d);
void lanes_ended(struct witness *w, const struct delivery *d, enum delivery_end how);
void lanes_crashed(struct witness *w);
void lanes_started(struct witness *w);
/* The durable row of a lane that is deferred. False: there is none. */
bool lanes_row(const struct witness *w, enum subscription_id s, struct lane_id lane,
               struct deferred_lane *out);
void money_handled(struct witness *w, struct seen *s);
int64_t lanes_retry_us_least(const struct witness *w, enum subscription_id s, unsigned attempt);
bool lanes_fails_for_good(const struct witness *w, enum subscription_id s, const struct seen *m);
void letters_alone_handed_over(struct witness *w, struct letter *l, const struct delivery *d);
void letters_alone_ended(struct witness *w, struct letter *l, enum delivery_end how);
struct letter *letters_alone_of(const struct witness *w, enum subscription_id s, uint64_t position);
void letters_crashed(struct witness *w);
void ignored_handled(struct witness *w, const struct seen *m);
void contexts_handled(struct witness *w, enum subscription_id s, const struct queue *q,
                      const struct seen *m);

void answers_answered(struct witness *w, const struct sim_answer *a);
void refusals_answered(struct witness *w, const struct sim_answer *a);
void bodies_answered(struct witness *w, const struct sim_answer *a);
void waits_answered(struct witness *w, const struct sim_answer *a, const struct seen_lane *l);

/* What others know. */
bool received_is_said_outside(const struct witness *w, const struct event *e);
bool wants_to_hear(enum subscription_id s, const struct event *e);
bool money_is_known(const struct seen_lane *l, const struct payment_id *id); /* of Orders */
bool money_is_recorded(const struct seen_lane *l, const struct payment_id *id);
bool pieces_are_known(const struct seen_lane *l, const struct reservation_id *id);
bool pieces_are_recorded(const struct seen_lane *l, const struct reservation_id *id);
bool letters_are(const struct witness *w, struct uuid id, enum dead_letter_state state);
uint64_t stream_length(const struct witness *w, enum aggregate type, struct str id);
bool stock_first(const struct witness *w, struct str sku, int64_t *first); /* with which it came */
/* The first member of this name in a body: a text without escapes. */
bool text_of(struct str body, const char *name, struct str *out);
void timers_sweep(struct witness *w);
void timers_started(struct witness *w);

/* Whole state. */
void money_finished(struct witness *w);
void answers_finished(struct witness *w);
void stock_whole(struct witness *w, bool is_end);
void letters_whole(struct witness *w);
void cursors_whole(struct witness *w);
void settled_whole(struct witness *w);
void settled_lists(struct witness *w);
void lanes_finished(struct witness *w);
void relays_finished(struct witness *w);
void received_finished(struct witness *w);
void timers_finished(struct witness *w);

_Static_assert(SUBSCRIPTION_COUNT <= 16, "a set of subscriptions no longer fits 16 bits");
static inline uint16_t subscription_bit(enum subscription_id s)
{
    return (uint16_t)(1u << s);
}
#endif
