/* A whole app on virtual time: memory engine, no threads, no sockets. Commands run to their answer,
 * time passes when a test says so, and every durable event is written into a trace that reads like
 * the story of the order: `[  40] order 1 PENDING > InventoryReserved`. */
#ifndef SUPPORT_APP_FIXTURE_H
#define SUPPORT_APP_FIXTURE_H
#include "capture_log.h"
#include "orderly/app/app.h"
#include "orderly/infra/store/memory.h"
#include "orderly/infra/store/store_virtual.h"
#include "orderly/infra/virtual/manual_scheduler.h"
#include "orderly/infra/virtual/seeded_random.h"

struct app_fixture {
    struct app_config config;
    struct manual_scheduler ms;
    struct seeded_random random;
    struct capture_log log;
    struct engine *engine;
    bool owns_engine;
    struct store_virtual store;
    struct app *app;
    int64_t started_us;
    void (*before_start)(struct app_fixture *f); /* of each app that is created; may be NULL */
    bool is_store_held;                          /* commits wait until the test lets them */
    bool is_draining, is_drained;
    /* What happened. */
    struct buf trace;
    struct event_type_count {
        unsigned n;
    } counts[EVENT_TYPE_COUNT];
    struct payment_id payment_id; /* of the last event of a payment */
    void (*publish)(void *ctx, struct message *m);
    void *publish_ctx;
    /* Of the last command. */
    struct arena arena;
    bool is_done;
    enum reply_code code;
    struct answer answer;
    struct order_id order_id; /* of the last reply that showed an order */
    enum order_status status;
    struct cart_id cart_id;
    unsigned n_faults;
    char first_pointer[64];
    enum dead_letter_state letter_state;
    uint64_t bulk_matched;
    unsigned bulk_shown;
    struct arena letters;
};

void app_fixture_init(struct app_fixture *f, const struct app_config *config);
void app_fixture_init_bounded(struct app_fixture *f, const struct app_config *config,
                              uint64_t events_max);
/* before_start: before the first start of an empty store, too. */
void app_fixture_init_with(struct app_fixture *f, const struct app_config *config,
                           void (*before_start)(struct app_fixture *f));
/* On an engine of the caller's, which must be empty and outlives the fixture. */
void app_fixture_init_on(struct app_fixture *f, const struct app_config *config,
                         struct engine *engine);
/* The app begins to end; deinit sees it through. */
void app_fixture_drain(struct app_fixture *f);
void app_fixture_deinit(struct app_fixture *f);
struct app_config app_fixture_config(void); /* default, no audit, WIDGET-001 is added by init */

/* The process ends now; only what is durable is left, and the next one has started. */
void app_fixture_crash(struct app_fixture *f);
/* Goes on, in time too, until n writes have become durable one by one, their letters not read yet;
 * or until 5 s are over, with nothing to write. */
void app_fixture_pass_commits(struct app_fixture *f, unsigned n);
/* Rows of this type in the log. */
unsigned app_fixture_count_events(struct app_fixture *f, enum event_type type);

/* Commits, reads and turns until nothing is left to do at this time. */
void app_fixture_settle(struct app_fixture *f);
/* Lets time pass, with all timers of that time, one after the other. */
void app_fixture_pass_ms(struct app_fixture *f, int64_t ms);

/* Commands: each runs to its answer (at this very time), fills f->code and f->order_id. */
struct command app_fixture_command(struct app_fixture *f);
enum reply_code a_product(struct app_fixture *f, const char *sku, const char *price, int64_t stock);
enum reply_code a_cart(struct app_fixture *f);
enum reply_code an_item(struct app_fixture *f, const char *sku, int64_t quantity);
enum reply_code a_checkout(struct app_fixture *f);
enum reply_code an_order(struct app_fixture *f, const char *sku, int64_t quantity);
enum reply_code an_order_of(struct app_fixture *f, enum flow_id flow, const char *sku,
                            int64_t quantity, const char *price);
enum reply_code do_order(struct app_fixture *f, enum order_input input, const char *text);
enum reply_code do_shipment(struct app_fixture *f, struct shipment_id id, bool is_deliver);
/* An outside message about the last order; id: payment, reservation or shipment. */
enum reply_code a_message(struct app_fixture *f, enum event_type type, const char *message_id,
                          const char *id, const char *amount);
enum reply_code set_simulators(struct app_fixture *f, enum simulator which,
                               const struct simulators *s);

/* A message from a broker that can't be received. */
enum reply_code a_refusal(struct app_fixture *f, enum subscription_id s, const char *topic,
                          struct str body);

/* Retry and discard of a dead letter; both run to their answer, f->letter_state is what it showed.
 * payload: NULL, or what a retry gives the message instead of its own. */
enum reply_code retry_letter(struct app_fixture *f, struct dead_letter_id id,
                             const struct payload *payload);
enum reply_code discard_letter(struct app_fixture *f, struct dead_letter_id id, bool is_forced);
/* The dead letters, oldest first; memory of the fixture until the next call of this. */
struct dead_letter_item *the_letters(struct app_fixture *f, unsigned *n);
/* The one letter that is parked or open; there must be one and no other. */
struct dead_letter_item the_open_letter(struct app_fixture *f);

/* The last order as it is now; valid until the next call. */
const struct order *the_order(struct app_fixture *f);
/* Both stock numbers of a product, durable. */
struct stock the_stock(struct app_fixture *f, const char *sku);
void trace_clear(struct app_fixture *f);
/* The trace without its times. */
#define assert_trace(f, expected) assert_string_equal(app_fixture_trace(f), expected)
const char *app_fixture_trace(struct app_fixture *f);
#endif
