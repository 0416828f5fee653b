/* A bus over the real event log and the memory engine, on virtual time: nothing happens until a
 * test says so. Subscriptions are played by the test: each asks `decide` what to answer, and writes
 * down what it was handed. */
#ifndef TESTS_SUPPORT_BUS_WORLD_H
#define TESTS_SUPPORT_BUS_WORLD_H
#include "orderly/app/bus.h"
#include "orderly/infra/store/memory.h"
#include "orderly/infra/store/store_virtual.h"
#include "orderly/infra/virtual/manual_scheduler.h"
#include "orderly/infra/virtual/seeded_random.h"
#include "support/capture_log.h"

enum answer { ANSWER_DONE, ANSWER_FAIL, ANSWER_PERMANENT, ANSWER_UNAVAILABLE, ANSWER_LATER };

struct handed {
    uint64_t position;
    unsigned lane, attempt;
    int64_t at_us;
    unsigned turn;
};

struct bus_world;
struct player {
    struct subscription s;
    struct bus_world *world;
    enum answer (*decide)(struct player *p, struct delivery *d); /* NULL: ANSWER_DONE */
    void *ctx;
    enum event_type wants; /* EVENT_NONE: all that is published */
    struct handed *journal;
    size_t n_handed, journal_cap;
    struct delivery **held; /* ANSWER_LATER, oldest first */
    size_t n_held, held_cap;
    uint64_t n_taken[4]; /* done, failed, permanent, unavailable */
};

#define WORLD_PLAYERS_MAX 4
struct bus_world {
    struct manual_scheduler ms;
    struct seeded_random random;
    struct capture_log log_lines;
    struct metrics metrics;
    struct engine *engine;
    struct store_virtual store;
    struct timers timers;
    struct event_log log;
    struct bus bus;
    struct player players[WORLD_PLAYERS_MAX];
    unsigned n_players;
    bool is_bus_up;
    void (*on_publish)(void *ctx, const struct message *m); /* may be NULL */
    void *ctx;
    uint64_t sequence; /* of the stream that the test's events are in */
};

void bus_world_init(struct bus_world *w, uint64_t seed);
/* Lets everything come back first. */
void bus_world_deinit(struct bus_world *w);
/* As SUBSCRIPTION_NONE + 1 + place; window and retries are the default's until changed. Before
 * bus_world_start. */
struct player *bus_world_add(struct bus_world *w);
void bus_world_start(struct bus_world *w);
/* As if the process ended now and began again: only what is durable is left. */
void bus_world_crash(struct bus_world *w);
/* The state of a new start from the rows: cursors, deferred lanes, sequences. */
void bus_world_recover(struct bus_world *w);

struct lane_id lane_number(unsigned n);
unsigned lane_number_of(struct lane_id id);

/* Hands an event of this lane to the log; false when the log refuses. */
bool bus_world_append(struct bus_world *w, unsigned lane, enum event_type type);
/* The same, and lets it become durable and be published. */
void bus_world_publish(struct bus_world *w, unsigned lane);

/* Commits all that waits, and works the letters off; no turn of the bus. */
void bus_world_commit(struct bus_world *w);
/* One turn of the bus alone. */
bool bus_world_turn(struct bus_world *w);
/* Commits, reads and turns until nothing is left to do at this time. */
void bus_world_settle(struct bus_world *w);
/* Goes on in time to the next alarm, and settles; false if there is none within ms. */
bool bus_world_next_alarm(struct bus_world *w, int64_t within_ms);
/* Lets all timers of the next ms fire, one after the other. */
void bus_world_pass_ms(struct bus_world *w, int64_t ms);

/* Ends a held delivery. */
void player_answer(struct player *p, size_t held, enum answer a);

/* What is durable. */
uint64_t bus_world_stored_cursor(struct bus_world *w, const struct player *p);
unsigned bus_world_count_rows(struct bus_world *w, enum store_db db);
bool bus_world_stored_lane(struct bus_world *w, const struct player *p, unsigned lane,
                           struct deferred_lane *out);
/* Calls cb with each row of the database. */
void bus_world_each_row(struct bus_world *w, enum store_db db,
                        void (*cb)(void *ctx, struct str key, struct str value), void *ctx);
#endif
