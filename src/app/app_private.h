/* What the use cases share. Private to src/app. */
#ifndef ORDERLY_APP_PRIVATE_H
#define ORDERLY_APP_PRIVATE_H
#include "orderly/app/app.h"
#include "orderly/app/carts.h"
#include "orderly/app/catalogue.h"
#include "orderly/app/contexts.h"
#include "orderly/app/dossier.h"
#include "orderly/app/feed.h"
#include "orderly/app/idempotency.h"
#include "orderly/app/message_reader.h"
#include "orderly/app/order_counts.h"
#include "orderly/app/relay.h"

struct deadlines {
    struct timer timer;
    struct store_read read;
    struct arena arena;
    struct order_id *due;
    unsigned n_due, n_open;
    int64_t next_ms; /* wall clock of the earliest open deadline that is known */
    int64_t now_ms;
    int64_t read_next_ms;
    enum err status;
    bool is_reading;
};

struct key_sweep {
    struct timer timer;
    struct store_read read;
    struct append append;
    struct digest16 keys[IDEMPOTENCY_SWEEP_MAX];
    int64_t expires_ms[IDEMPOTENCY_SWEEP_MAX];
    bool is_current[IDEMPOTENCY_SWEEP_MAX];
    unsigned n;
    int64_t now_ms;
    enum err status;
    bool is_busy;
};

#define BULK_PAGE_MAX 256
#define BULK_IN_HAND_MAX 64

/* The retry of many dead letters that is under way (bulk_retry.c). */
struct bulk_run {
    bool is_running; /* from the command on */
    unsigned per_second;
    int64_t paced_us; /* monotonic: what was allowed up to here has begun */
    struct timer timer;
    struct dead_letter_scan page;
    struct dead_letter_id ids[BULK_PAGE_MAX];
    unsigned next; /* of the page's ids */
    struct store_read read;
    enum err read_err;
    bool is_reading, is_at_end, is_failed;
    struct list items; /* letters in hand, those that wait to be tried again among them */
    unsigned n_in_hand;
    uint64_t n_retried, n_refused;
    struct text_id user_id; /* whose run it is; 1..64 printable ASCII */
};

/* Names of rows in DB_META. */
#define META_LETTERS BUS_META_LETTERS
#define META_COUNTS ORDER_COUNTS_META

#define DOOR_READY_MAX                                                                             \
    128                      /* things ready on the loop: less than a millisecond of work, and
                               * what is in work still fits into a core's own cache */
#define DOOR_WRITES_MAX 8192 /* two batches: one on the disk, one that fills meanwhile */
#define DOOR_TURN_MAX 64     /* that enter in one turn of the loop */
#define DOOR_WAITING_MAX 512 /* at 20,000 orders a second the last waits 25 ms */

struct demo;

/* What the store has left. */
enum room { ROOM_ENOUGH, ROOM_LITTLE, ROOM_NONE };

struct app {
    struct app_config config;
    struct scheduler *scheduler;
    struct store *store;
    struct random *random;
    struct log *logger;
    struct metrics metrics;
    struct timers timers;
    struct event_log log;
    struct bus bus;
    struct feed feed;
    struct subscription subscriptions[SUBSCRIPTION_COUNT];
    struct relay *relays[SUBSCRIPTION_COUNT]; /* borrowed; NULL: none */
    bool begins_at_end[SUBSCRIPTION_COUNT];   /* relays whose cursor this start chose */
    struct dossiers dossiers;
    struct carts carts;
    struct catalogue catalogue;
    struct idempotency idempotency;
    struct map letters;  /* dead letters that are in somebody's hands (dead_letter_commands.c) */
    struct map bindings; /* payment, reservation, shipment ids decided but not yet durable */
    struct list bindings_left, binding_checks; /* binding.c; oldest first */
    uint64_t n_binding_checks;
    const struct message_reader *reader; /* NULL: none */
    struct simulators simulators;
    struct event_list decision; /* scratch of one decision; empty between them */
    struct list door;           /* commands that wait to enter (door.c) */
    unsigned n_door;
    int64_t turn_ended_us;
    struct list finished; /* commands whose answer needed no commit */
    struct list handlings_spare;
    unsigned n_handlings_spare;
    struct deadlines deadlines;
    struct key_sweep key_sweep;
    struct bulk_run bulk;
    struct timer probe_timer;
    struct map handled; /* startup.c: what the last process already did of what is read again */
    struct append counts_append, settings_append;
    void (*settings_kept)(struct app *app);
    bool has_setting[SIMULATOR_COUNT]; /* the store has the simulator's settings */
    unsigned contexts_of_store;
    bool has_contexts;       /* the store says so, or need not */
    uint64_t counts_written; /* position of the last row of order counts */
    enum room room;          /* as it was last told */
    uint64_t damaged_told;   /* rows, as store_stats counts them */
    bool is_writing_counts;
    unsigned n_waiters;
    struct list watches; /* order_watch that wait, for the drain */
    unsigned commands_in_flight;
    bool is_started, is_draining, is_demo;
    void (*drained)(void *ctx);
    void *drained_ctx;
    void (*ready)(void *ctx, enum err status);
    void *ready_ctx;
    struct timer start_timer;
    struct demo *demo;
};

/* The subscriptions of an app are its members. */
static inline struct app *app_of(const struct subscription *s)
{
    const struct subscription *first = s - s->config.id;

    return container_of(first, struct app, subscriptions);
}

/* ---- commands (command.c) -------------------------------------------------------------------- */

/* Sees to the Idempotency-Key, then calls run, inside this call or later. run ends in exactly one
 * of command_reply, command_refuse and command_submit. */
void command_start(struct command *c, void (*run)(struct command *c));
/* Decided, with no events: rendered now; the key is made durable alone where there is one. */
void command_reply(struct command *c, const struct reply *r);
/* Could not be decided: queue full, shutting down, a read that failed. Never stored. */
void command_refuse(struct command *c, enum err err);
/* Decided, with events in c->append, which is open: rendered now, submitted with the key. applied
 * runs when it is durable (ERR_OK) or was not written (ERR_FULL), before the answer is given. */
void command_submit(struct command *c, const struct reply *r,
                    void (*applied)(struct command *c, enum err status));
/* False: the command's If-Match names another version; it has been answered with 412. */
MUST_CHECK bool command_if_match(struct command *c, uint64_t current);
/* Metadata of an event that a command makes. */
void command_event(const struct command *c, struct event *e);

/* From the app's turn; true if more wait. */
bool command_run_finished(struct app *app, unsigned max);

/* Calls run at once, or when the loop has caught up; or refuses (door.c). */
void door_enter(struct command *c, void (*run)(struct command *c));
/* From the app's turn; true if another turn is needed. What shuts the door asks for one itself when it
 * is over. */
bool door_run(struct app *app);

/* New orders are refused under pressure; what for, or REFUSED_COUNT. */
enum refused app_refuses_orders(const struct app *a);

/* ---- carts (cart_commands.c) ------------------------------------------------------------------- */

/* granted runs with the cart's turn, and the cart exists and is the version asked for; otherwise the
 * command has been answered. cart_turn_end gives the turn back. */
void cart_turn_start(struct cart_turn *t, struct command *c, struct cart_id id,
                     void (*granted)(struct command *c));
void cart_turn_end(struct cart_turn *t);
void cart_append_events(struct command *c, struct cart_id id, const struct cart *before,
                        struct event_list *events, struct cart *next);
void cart_outcome_reply(enum cart_outcome outcome, struct command *c, struct reply *r);

/* ---- orders (order_rows.c, order_change.c) --------------------------------------------------- */

/* Sets stream, lane, sequence and time of an order's decided events, appends them, and returns the
 * order as it will be. before: NULL for a new order. */
struct order *order_append_events(struct app *app, struct append *a, const struct order *before,
                                  struct event_list *events, const struct event *cause,
                                  enum subscription_id handled_by, const struct command *c);
/* Snapshot and lists from before (NULL: new) to after. */
void order_put_rows(struct append *a, const struct order *before, const struct order *after);
/* The new state is the state: cache, counts, watchers. next is taken. */
void order_became(struct app *app, struct dossier *d, struct order *next);

/* Watchers of an order that has changed (order_watch.c). */
void order_watch_notify(struct app *app, struct dossier *d);
void order_watch_drain(struct app *app);

/* ---- dead letters (dead_letter_commands.c, receive_message.c) ---------------------------------- */

/* Receives a message once more, for the letter that it ended as; the letter's rows go into the same
 * append. Ends in the answer, and in dead_letter_command_leave. */
/* The idempotency key of a message from outside: its id, whoever sends it. */
void receive_message_key(struct str message_id, struct digest16 *key);
void receive_again(struct receive_message *m, struct dead_letter_command *letter);
void bulk_init(struct bulk_run *run);
void bulk_deinit(struct bulk_run *run);
/* For receive_again. Returns the event that the message follows from. */
struct event_id dead_letter_command_append(struct dead_letter_command *dc, struct append *a);
/* The message is at this position, in the append that is open. */
void dead_letter_command_received(struct dead_letter_command *dc, struct append *a,
                                  uint64_t position);
void dead_letter_command_applied(struct dead_letter_command *dc, enum err status);
void dead_letter_command_leave(struct dead_letter_command *dc);

/* Whose dead letters these are: the stream's end and the count hold whether or not it is subscribed in
 * this process. */
static inline struct subscription *app_letters_of(struct app *app, enum subscription_id id)
{
    return &app->subscriptions[id];
}

/* ---- messages from outside (receive_message.c, hear_message.c) ----------------------------------- */

/* The same message, where no Orders is here. */
void hear_message_begin(struct receive_message *m);
/* When its event is in the log or will never be: the stream's state follows, what was taken is given
 * back, and what is bound is bound or free again. */
void receive_applied(struct command *c, enum err status);
/* Gives back the turn and the dossier; the answer is given. */
void receive_end(struct receive_message *m);

/* ---- handling a message (handling.c) ----------------------------------------------------------- */

#define HANDLING_STOCK_INLINE 4

/* One delivery in the hands of a context: delay -> dossier -> turn -> decide -> append -> done. */
struct handling {
    struct app *app;
    struct delivery *delivery;
    const struct event *event; /* of the message */
    struct list link;          /* spare */
    struct timer delay;
    struct dossier_wait open;
    struct dossier *dossier;
    struct turn *turn;
    struct turn_wait turn_wait;
    void (*decide)(struct handling *h); /* with the dossier, and the turn where there is one */
    struct part *part;
    struct part_state next_part;
    bool has_next_part;
    struct order *next_order;
    struct binding *binding;
    struct stock_change *stock;
    unsigned n_stock;
    void (*durable)(struct handling *h); /* the append came back written; may be NULL */
    struct stock_change stock_inline[HANDLING_STOCK_INLINE];
    struct append append;
};
struct handling *handling_create(struct app *app, struct delivery *d);
/* After delay_ms (0: now) opens the dossier of the message's lane and calls decide. */
void handling_open(struct handling *h, int64_t delay_ms, void (*decide)(struct handling *h));
/* From decide: waits for the turn, then calls decide. */
void handling_take_turn(struct handling *h, struct turn *t, void (*decide)(struct handling *h));
/* ERR_OK: h->append is open. Else the handling has ended as unavailable. */
MUST_CHECK enum err handling_begin(struct handling *h);
void handling_submit(struct handling *h);
/* Ends without an append. */
void handling_done(struct handling *h);
void handling_failed(struct handling *h, enum failure_code code, struct str detail);
void handling_unavailable(struct handling *h);
/* The message changed nothing: one row for explain, then done. */
void handling_ignored(struct handling *h, enum order_status state, const char *why);
/* Appends the one event of the decision on a part's stream, with its snapshot. */
void handling_append_part(struct handling *h, struct part *p, struct event *e);

struct stock_change *handling_add_stock(struct handling *h, unsigned n);

/* ---- contexts ---------------------------------------------------------------------------------- */
void orders_subscribe(struct app *app);
void payments_subscribe(struct app *app);
void inventory_subscribe(struct app *app);
void shipments_subscribe(struct app *app);
void audit_subscribe(struct app *app);
void context_subscribe(struct app *app, enum subscription_id id, enum context context,
                       void (*handle)(struct subscription *s, struct delivery *d));
/* 0 <= value < 1, a function of seed and order alone. */
double context_chance(uint64_t seed, struct order_id id, unsigned what);

/* Writes the settings of simulators that the store has none of: those that hold at a first start hold
 * at later ones; of which contexts the store is, where it is not of all; and where a relay begins that
 * begins now. done runs once, later or now; that there is no room is an error only for the two latter
 * (has_contexts, begins_at_end). */
void settings_keep(struct app *app, void (*done)(struct app *app));

/* ---- start (startup.c) ------------------------------------------------------------------------- */
MUST_CHECK enum err startup_start(struct app *app); /* ends in app_started, later */
void app_started(struct app *app, enum err status);
bool startup_was_handled(const struct subscription *s, const struct message *m);
void startup_forget(struct app *app);

/* ---- relays (relays.c) ------------------------------------------------------------------------- */
/* The worst of them, as a reason of readiness; none: all get on. */
struct str relays_warning(const struct app *app);

/* ---- timers ------------------------------------------------------------------------------------ */
void deadlines_init(struct app *app);
void deadlines_deinit(struct app *app);
void deadlines_note(struct app *app, int64_t due_ms);
void key_sweep_init(struct app *app);

#endif
