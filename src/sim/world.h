/* What the files of the simulated world share.
 *
 *     process.c  the server, and how it ends and begins       clients.c  connections, requests, answers
 *     shop.c     what the clients want: orders and products   finish.c   when faults have stopped
 *     faults.c   what goes wrong, how often in this seed      probe.c    two orders more, then
 *     followers.c  who follows the log                        world.c    the loop: what happens next
 *     relay.c    a relay, and its broker               outside.c  a context beyond that broker
 *
 * A step is one thing that the seed chose among all that can happen now: a turn of the loop, its alarm,
 * a commit of some of the writes, a read, some bytes from a client, an answer read. Where nothing can,
 * time goes on to the next thing that is due.
 *
 * Whatever runs the server's code runs between process_enter and process_leave, so that what it
 * allocates is the process's. */
#ifndef SRC_SIM_WORLD_H
#define SRC_SIM_WORLD_H
#include "chance.h"
#include "orderly/app/relay.h"
#include "orderly/base/heap.h"
#include "orderly/infra/api/api.h"
#include "orderly/infra/http/loopback.h"
#include "orderly/infra/inbound/inlet.h"
#include "orderly/infra/store/store_virtual.h"
#include "orderly/infra/virtual/manual_scheduler.h"
#include "orderly/infra/virtual/payment_service.h"
#include "orderly/infra/virtual/seeded_random.h"
#include "orderly/infra/virtual/stock_service.h"
#include "process_memory.h"
#include "sim.h"
#include "sim_disk.h"
#include "trace.h"

struct world;

/* Something that is due at a time. */
struct task {
    struct heap_node node;
    void (*run)(struct world *w, struct task *t);
};

/* ---- process.c ------------------------------------------------------------------------------- */

#define PROCESS_HELD_MAX 32

/* A delivery whose handler has not begun yet. */
struct held {
    struct delivery *delivery;
    int64_t due_us;
    bool overtaken;
};

struct process {
    struct process_memory memory;
    struct store_virtual store;
    struct app *app;
    struct api *api;
    struct http_server http;
    struct bus_tap tap;
    void (*handles[SUBSCRIPTION_COUNT])(struct subscription *s, struct delivery *d);
    struct held held[PROCESS_HELD_MAX];
    unsigned n_held;
    bool is_running;
    bool is_told;      /* the witness knows that it has loaded */
    bool is_listening; /* clients may connect */
    bool has_failed;   /* its store broke, or has no room to begin in: it ends now */
    bool is_draining, is_drained;
    struct task deadline; /* of a drain */
    unsigned n_starts;
};

void process_start(struct world *w);
/* Gone, with all that was not committed. */
void process_crash(struct world *w, const char *why);
/* Accepts nothing more; ends when nothing is in progress, or when that takes too long. */
void process_drain(struct world *w);
/* To be called after each step: ends a process that has drained. True if it has ended now. */
bool process_ended(struct world *w);
struct mem_source *process_enter(struct world *w);
void process_leave(struct mem_source *before);
/* Begins the nth held delivery. */
void process_begin_held(struct world *w, unsigned n);
/* After anything that ran in the process. */
void process_look(struct world *w);

/* ---- clients.c ------------------------------------------------------------------------------- */

#define CLIENTS_MAX 8
#define CLIENTS_WAITING 3 /* more, each for one who waits */
#define REQUEST_TARGET_MAX 160
#define REQUEST_BODY_MAX 1200
#define REQUEST_KEY_MAX 48
#define REPEATS_MAX 24

struct plan;
struct wish;

/* What was read, valid during the callback. */
struct response {
    int status;
    bool is_replayed;
    uint64_t sequence;
    struct str body;
};
/* NULL: nobody tries any more. */
typedef void (*wish_cb)(struct world *w, struct wish *r, const struct response *res);

struct wish {
    struct task task; /* to be sent then */
    struct list link; /* of the client's, or of the kept ones */
    enum sim_command command;
    uint64_t number;
    const char *method;
    char key[REQUEST_KEY_MAX]; /* "": none */
    char target[REQUEST_TARGET_MAX];
    char body[REQUEST_BODY_MAX];
    struct plan *plan; /* NULL: none */
    bool has_order;
    struct order_id order;
    enum event_type message_type;
    enum simulator simulator;
    uint64_t if_match; /* 0: none */
    uint32_t until;    /* SIM_WAIT */
    int64_t wait_ms;
    unsigned tries, tries_max;
    bool is_essential; /* tried until it is answered */
    bool may_lose;     /* its answer may be lost and come late */
    bool was_repeated;
    unsigned client; /* UINT_MAX: any */
    int64_t asked_wall_ms;
    int64_t asked_awake_us;
    int64_t answered_wall_ms;
    int64_t asked_us, give_up_us;
    wish_cb done;
};

struct client {
    struct loopback link;
    bool is_connected;
    struct list flying;  /* sent, oldest first */
    struct list waiting; /* to be sent */
    unsigned n_flying;
    struct buf out; /* bytes of the first waiting one that are not sent yet */
    size_t out_at;
    struct wish *sending;
    size_t seen;   /* bytes of link.received that were taken out */
    size_t looked; /* as many were there when it last looked */
    int64_t reads_at_us;
};

struct clients {
    struct client all[CLIENTS_MAX + CLIENTS_WAITING]; /* who waits behind the others */
    unsigned n, n_all, pipeline;
    uint64_t n_requests, n_numbers;
    struct list kept; /* answered ones that may be repeated a day later */
    unsigned n_kept;
};

void clients_init(struct world *w);
void clients_deinit(struct world *w);
/* The process is gone: all connections are. */
void clients_lose_all(struct world *w);
/* In the process. */
void clients_close_all(struct world *w);
bool client_can_send(const struct world *w, const struct client *c);
bool client_can_read(const struct world *w, const struct client *c);
void client_send(struct world *w, struct client *c);
void client_read(struct world *w, struct client *c);
void client_give_up(struct world *w, struct client *c);
int64_t client_next_us(const struct world *w, const struct client *c);
/* Tells connections that have ended. */
void clients_turn(struct world *w);

struct wish *wish_create(struct world *w, enum sim_command command, const char *method,
                         struct plan *plan);
__attribute__((format(printf, 2, 3))) void wish_target(struct wish *r, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void wish_body(struct wish *r, const char *fmt, ...);
void wish_key(struct world *w, struct wish *r); /* a new one */
void wish_order(struct wish *r, const struct order_id *id);
void wish_start(struct world *w, struct wish *r, int64_t delay_us);
/* The same request again, key included, as the client would write it. */
struct wish *wish_repeat(struct world *w, const struct wish *r);

/* ---- shop.c ---------------------------------------------------------------------------------- */

#define PRODUCTS_N_MAX 6
#define PLAN_LINES_MAX 3
#define PLAN_RESERVED_MAX 6

/* An order that a client wants, from the wish to the end. */
struct plan {
    struct task task, cancel;
    unsigned index;
    struct chance chance;
    bool by_cart, is_placed, is_over, has_key;
    enum flow_id flow;
    unsigned n_lines, n_added;
    unsigned product[PLAN_LINES_MAX], quantity[PLAN_LINES_MAX];
    char cart_id[UUID_TEXT_LEN + 1];
    struct order_id id;
    char id_text[UUID_TEXT_LEN + 1];
    enum order_status status;
    uint64_t sequence;
    char total[24];
    char shipment_id[TEXT_ID_MAX + 1];
    unsigned looks;
    unsigned n_outside, n_reserved; /* payments and shipments, reservations: of outside contexts */
};

struct shop {
    struct plan *plans;
    unsigned n_plans;
    unsigned n_products, n_products_made;
    int64_t quantity_most;
    struct task operator_task, settings_task, stock_task;
    unsigned n_messages;
    unsigned outside_ppm; /* how often an outside context speaks */
    unsigned n_over;
    bool is_finishing;
};

void shop_init(struct world *w);
void shop_deinit(struct world *w);
/* Products are there: orders may come. */
void shop_open(struct world *w, int64_t duration_us);
/* Reads what an order's answer says into the plan. */
void shop_look_at(struct plan *p, struct str body);
bool json_text(struct str body, const char *name, char *out, size_t size);
void shop_put_settings(struct world *w, enum simulator which, bool is_normal, wish_cb done);
/* Says a message for the order once or, as the seed likes, several times. */
void shop_say(struct world *w, struct plan *p, const struct order_id *order, enum event_type type,
              const char *payload, bool is_essential);

/* ---- finish.c -------------------------------------------------------------------------------- */

struct finish {
    unsigned n_open; /* questions that are not answered */
    unsigned round, n_unsettled, n_parked;
};
/* Runs the world until all is settled, or nothing more can be done for it. */
void finish_run(struct world *w);

/* ---- followers.c ----------------------------------------------------------------------------- */

#define FOLLOWERS_MAX 6 /* more than the server admits at a time */
struct follower_client {
    struct loopback link;
    bool is_of_events, is_from_start, is_slow;
    bool is_connected, is_begun, is_over;
    bool has_place; /* position is where it goes on */
    uint64_t position;
    size_t looked;  /* as many bytes were there when it last looked */
    int64_t due_us; /* not connected, or stalled: goes on then */
};
struct followers {
    struct follower_client all[FOLLOWERS_MAX];
    unsigned n;
    struct chance chance;
};
void followers_init(struct world *w);
/* As clients_lose_all, clients_close_all, and what clients_turn does. */
void followers_lose_all(struct world *w);
void followers_close_all(struct world *w);
void followers_turn(struct world *w);
int64_t follower_next_us(const struct world *w, const struct follower_client *f);
void follower_step(struct world *w, struct follower_client *f);
/* Nothing happens any more. */
void followers_finished(struct world *w);

/* ---- relay.c --------------------------------------------------------------------------------- */

#define SIM_RELAY_WINDOW 16
/* A message in the relay's hands. */
struct flight {
    struct delivery *delivery;
    int64_t due_us;
    bool is_taken; /* the broker has it, and has not said so */
};
struct sim_relay {
    bool is_there;
    struct relay port; /* the present process's */
    struct flight air[SIM_RELAY_WINDOW];
    unsigned n_air;
    struct task task;
    struct chance chance;
    int64_t away_until_us;
};
void relay_init(struct world *w);
/* To a process that has not started; where the seed has one. */
void relay_add(struct world *w);
/* What the broker has not said to have goes back; in the process. */
void relay_drain(struct world *w);
/* The process is gone. */
void relay_lose_all(struct world *w);
/* The broker is not there for anybody; begins now and then when it is asked for. */
bool relay_broker_is_away(struct world *w);

/* ---- outside.c ------------------------------------------------------------------------------- */

#define SIM_INLET_ITEMS 8
struct outside {
    bool is_there;
    enum simulator which; /* in whose place */
    struct payment_service payments;
    struct stock_service stock;
    struct inbound_reader reader;
    struct inlet *inlet; /* the present process's */
    struct list said;    /* all that the broker is to bring, or has brought */
    struct list given;   /* of it: what the process has, and has not said to be durable */
    uint64_t n_given;
    unsigned n_nonsense;
    struct chance chance;
};
/* The relay, and what the app is to be like, are chosen. */
void outside_init(struct world *w);
void outside_deinit(struct world *w);
/* There is no built-in one to be told how to behave. */
bool outside_answers_for(const struct world *w, enum simulator which);
/* The broker has taken it, perhaps again. */
void outside_hears(struct world *w, const struct event *e);
/* To a process that has not started; where the seed has one. */
void outside_add(struct world *w);
/* In the process: as relay_drain; and after its app has gone. */
void outside_drain(struct world *w);
void outside_remove(struct world *w);
/* The process is gone. */
void outside_lose_all(struct world *w);

/* ---- probe.c --------------------------------------------------------------------------------- */

struct probed {
    struct order_id id;
    char id_text[UUID_TEXT_LEN + 1];
};
struct probe {
    unsigned n_open; /* questions that are not answered */
    uint64_t first_number;
    struct probed orders[2]; /* pay_first, stock_first */
    char shipment_id[TEXT_ID_MAX + 1];
};
/* The contexts behave as they should by then. */
void probe_run(struct world *w);
/* That it has placed. */
unsigned probe_orders(const struct world *w);

/* ---- faults.c -------------------------------------------------------------------------------- */

struct faults {
    unsigned ppm[SIM_FAULT_COUNT]; /* how often, of the chances that there are */
    uint64_t counts[SIM_FAULT_COUNT];
    struct chance chance;
    struct task clock, suspend, restart;
    int64_t full_until_us;
    int64_t wall_offset_most_ms; /* of the wall clock */
    unsigned n_crashes;
    bool are_over;
};

void faults_init(struct world *w);
void faults_start(struct world *w);
void faults_last(struct world *w);
/* No more of them. */
void faults_stop(struct world *w);
/* Whether one of this kind happens here; counts it. */
bool fault_hits(struct world *w, enum sim_fault f);
bool fault_is_on(const struct world *w, enum sim_fault f);
void fault_count(struct world *w, enum sim_fault f);

/* ---- world.c --------------------------------------------------------------------------------- */

struct world {
    struct sim_config config;
    struct manual_scheduler ms;
    struct seeded_random random; /* the server's */
    struct chance steps;         /* which thing happens next */
    struct chance wishes;        /* what clients and operators want */
    struct sim_disk disk;
    struct process process;
    struct clients clients;
    struct followers followers;
    struct shop shop;
    struct faults faults;
    struct finish finish;
    struct probe probe;
    struct sim_relay relay;
    struct outside outside;
    struct heap tasks;
    struct task restart;
    struct witness *witness;
    struct trace trace;
    struct app_config app_config;
    size_t stream_queue_max; /* 0: the server's own */
    struct log log;
    int64_t commit_due_us, read_due_us; /* 0: not set, as nothing waits */
    int64_t started_us;
    bool is_over;     /* a violation was seen */
    bool is_stopping; /* the last process ends */
};

int64_t world_now_us(const struct world *w);
/* Tells the witness the time. */
void world_tell_time(struct world *w);
void task_start(struct world *w, struct task *t, void (*run)(struct world *w, struct task *t),
                int64_t delay_us);
void task_stop(struct world *w, struct task *t);
/* A new process starts soon. */
void world_restart(struct world *w);
/* The process ends now, and a new one starts soon. */
void world_crash(struct world *w, const char *why);
/* Runs until that time, or until the run is over. */
void world_run_until(struct world *w, int64_t until_us);

#define world_tell(w, order, plan, ...)                                                            \
    trace_tell(&(w)->trace, world_now_us(w), (order), (plan), __VA_ARGS__)
#endif
