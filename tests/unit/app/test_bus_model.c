/* The bus against a model, over thousands of random histories: messages, answers of every kind,
 * late answers, small windows, reads and commits that take their time, full disks, crashes.
 *
 * The model knows of each message and subscription how far it is, and checks at each hand-over that
 * it is the lane's next one, and again and again that what is durable would be enough to go on. */
#include "orderly/app/dead_letters.h"
#include "orderly/base/bytes.h"
#include "support/bus_world.h"
#include "support/chance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LANES 5
#define MESSAGES_MAX 400
#define STEPS 250
#define HISTORIES 1500

enum fate { FATE_WAITS, FATE_DONE, FATE_DISMISSED, FATE_PARKED };

struct model_message {
    bool is_there, is_wanted[WORLD_PLAYERS_MAX];
    unsigned lane;
    enum fate fate[WORLD_PLAYERS_MAX];
    unsigned attempts[WORLD_PLAYERS_MAX];
};

/* What is durable. */
struct durable {
    uint64_t cursor[WORLD_PLAYERS_MAX];
    uint64_t head[WORLD_PLAYERS_MAX][LANES + 1]; /* 0: no row */
    unsigned attempts[WORLD_PLAYERS_MAX][LANES + 1];
    bool is_parked[WORLD_PLAYERS_MAX][LANES + 1];
    bool has_letter[WORLD_PLAYERS_MAX][MESSAGES_MAX];
    unsigned n_letters, n_rows;
    uint64_t sequence[WORLD_PLAYERS_MAX];
};

static struct {
    struct bus_world w;
    struct chance c;
    struct model_message messages[MESSAGES_MAX];
    uint64_t last;
    bool in_progress[WORLD_PLAYERS_MAX][LANES + 1];
    bool only_done;
    struct durable durable;
    unsigned n_crashes;
    uint64_t n_handed, n_parked, n_dismissed;
} t;

static unsigned number_of(const struct player *p)
{
    return (unsigned)(p - t.w.players);
}

/* ---- the model ------------------------------------------------------------------------------- */

static void model_add(void *ctx, const struct message *m)
{
    uint64_t position = m->event.position;
    struct model_message *x = &t.messages[position];

    (void)ctx;
    assert_true(position < MESSAGES_MAX);
    assert_false(x->is_there);
    *x = (struct model_message){ .is_there = true, .lane = lane_number_of(m->event.lane) };
    for (unsigned i = 0; i < t.w.n_players; i++) {
        const struct subscription *s = &t.w.players[i].s;

        x->is_wanted[i] = m->topic.n > 0 && s->wants(s, &m->event);
    }
    t.last = position;
}

static bool model_is_finished(const struct model_message *x, unsigned player)
{
    return x->fate[player] == FATE_DONE || x->fate[player] == FATE_DISMISSED;
}

static void model_check_next(unsigned player, const struct delivery *d)
{
    uint64_t position = d->message->event.position;
    const struct model_message *x = &t.messages[position];

    assert_true(x->is_there);
    assert_true(x->is_wanted[player]);
    assert_int_equal(x->fate[player], FATE_WAITS);
    assert_int_equal(d->attempt, x->attempts[player] + 1);
    assert_false(t.in_progress[player][x->lane]);
    for (uint64_t q = 1; q < position; q++) {
        const struct model_message *y = &t.messages[q];

        if (y->is_there && y->lane == x->lane && y->is_wanted[player])
            assert_true(model_is_finished(y, player));
    }
}

static void model_answer(unsigned player, const struct delivery *d, enum answer a)
{
    struct model_message *x = &t.messages[d->message->event.position];

    t.in_progress[player][x->lane] = a == ANSWER_LATER;
    if (a == ANSWER_DONE) {
        x->fate[player] = FATE_DONE;
    } else if (a == ANSWER_PERMANENT) {
        x->fate[player] = FATE_DISMISSED;
        t.n_dismissed++;
    } else if (a == ANSWER_FAIL && ++x->attempts[player] > t.w.players[player].s.config.retries) {
        x->fate[player] = FATE_PARKED;
        t.n_parked++;
    }
}

static enum answer random_answer(bool may_be_late)
{
    size_t n = chance_below(&t.c, 100);

    if (t.only_done || n < 55)
        return ANSWER_DONE;
    if (n < 75)
        return ANSWER_FAIL;
    if (n < 80)
        return ANSWER_PERMANENT;
    if (n < 85 || !may_be_late)
        return ANSWER_UNAVAILABLE;
    return ANSWER_LATER;
}

static enum answer model_decide(struct player *p, struct delivery *d)
{
    enum answer a = random_answer(true);

    t.n_handed++;
    model_check_next(number_of(p), d);
    model_answer(number_of(p), d, a);
    return a;
}

static void model_answer_held(struct player *p)
{
    size_t i;
    enum answer a = random_answer(false);

    if (p->n_held == 0)
        return;
    i = chance_below(&t.c, p->n_held);
    model_answer(number_of(p), p->held[i], a);
    player_answer(p, i, a);
}

static bool model_was_handled(const struct subscription *s, const struct message *m)
{
    const struct player *p = container_of(s, struct player, s);

    return model_is_finished(&t.messages[m->event.position], number_of(p));
}

/* ---- what is durable ------------------------------------------------------------------------- */

static void look_at_lane(void *ctx, struct str key, struct str value)
{
    struct deferred_lane row;
    unsigned player, lane;

    (void)ctx;
    assert_int_equal(deferred_lane_decode(key, value, &row), ERR_OK);
    player = (unsigned)row.subscription - 1;
    lane = lane_number_of(row.lane);
    t.durable.head[player][lane] = row.head_position;
    t.durable.attempts[player][lane] = row.attempts;
    t.durable.is_parked[player][lane] = row.is_parked;
    t.durable.n_rows++;
}

static void look_at_letter(void *ctx, struct str key, struct str value)
{
    struct dead_letter d;

    (void)ctx;
    (void)key;
    assert_int_equal(dead_letter_decode(value, &d), ERR_OK);
    assert_false(t.durable.has_letter[d.subscription - 1][d.position]);
    t.durable.has_letter[d.subscription - 1][d.position] = true;
    t.durable.n_letters++;
}

static void look_at_event(void *ctx, struct str key, struct str value)
{
    struct message *m = NULL;

    (void)ctx;
    assert_int_equal(message_of_row(value, bytes_get_u64(key.p), &m), ERR_OK);
    if (m->event.type == EVENT_DEAD_LETTERED && !ctx)
        assert_int_equal(m->event.sequence, ++t.durable.sequence[m->event.handled_by - 1]);
    if (!t.messages[m->event.position].is_there && ctx)
        model_add(NULL, m);
    message_unref(m);
}

static void look_at_what_is_durable(void)
{
    memset(&t.durable, 0, sizeof(t.durable));
    for (unsigned i = 0; i < t.w.n_players; i++)
        t.durable.cursor[i] = bus_world_stored_cursor(&t.w, &t.w.players[i]);
    bus_world_each_row(&t.w, DB_LANES, look_at_lane, NULL);
    bus_world_each_row(&t.w, DB_DEAD_LETTERS, look_at_letter, NULL);
    bus_world_each_row(&t.w, DB_EVENTS, look_at_event, NULL);
}

/* Each message is handled, or ahead of the cursor, or behind the head of a row. */
static void check_that_nothing_would_be_lost(void)
{
    look_at_what_is_durable();
    for (uint64_t position = 1; position <= t.last; position++) {
        const struct model_message *x = &t.messages[position];

        for (unsigned i = 0; i < t.w.n_players; i++) {
            uint64_t head = t.durable.head[i][x->lane];

            if (!x->is_wanted[i] || x->fate[i] == FATE_DONE || t.durable.has_letter[i][position])
                continue;
            assert_true(position > t.durable.cursor[i] || (head != 0 && head <= position));
        }
    }
}

/* ---- crash ----------------------------------------------------------------------------------- */

/* What only the memory knew did not happen. */
static void model_forget(void)
{
    memset(t.in_progress, 0, sizeof(t.in_progress));
    for (uint64_t position = 1; position <= t.last; position++) {
        struct model_message *x = &t.messages[position];

        for (unsigned i = 0; i < t.w.n_players; i++) {
            bool is_head = t.durable.head[i][x->lane] == position;

            if (x->fate[i] == FATE_DONE ||
                (x->fate[i] == FATE_DISMISSED && t.durable.has_letter[i][position]))
                continue;
            x->attempts[i] = is_head ? t.durable.attempts[i][x->lane] : 0;
            x->fate[i] = is_head && t.durable.is_parked[i][x->lane] ? FATE_PARKED : FATE_WAITS;
        }
    }
}

static void crash_and_recover(void)
{
    check_that_nothing_would_be_lost();
    t.n_crashes++;
    bus_world_crash(&t.w);
    model_forget();
    bus_world_each_row(&t.w, DB_EVENTS, look_at_event, &t); /* those whose letter was not read */
    t.w.on_publish = model_add;
    t.w.bus.deferred_max = 2 + (unsigned)chance_below(&t.c, LANES);
    bus_world_recover(&t.w);
}

/* ---- histories ------------------------------------------------------------------------------- */

static void begin(uint64_t seed)
{
    static const enum event_type wants[] = { EVENT_NONE, EVENT_NONE, EVENT_ORDER_PAID };

    memset(&t, 0, sizeof(t));
    t.c = (struct chance){ seed };
    bus_world_init(&t.w, seed);
    t.w.on_publish = model_add;
    t.w.bus.deferred_max = 2 + (unsigned)chance_below(&t.c, LANES);
    for (unsigned i = 0; i < 1 + chance_below(&t.c, 3); i++) {
        struct player *p = bus_world_add(&t.w);

        p->decide = model_decide;
        p->wants = wants[chance_below(&t.c, 3)];
        p->s.config.window = 1 + (unsigned)chance_below(&t.c, 6);
        p->s.config.retries = (unsigned)chance_below(&t.c, 4);
        p->s.was_handled = model_was_handled;
    }
    bus_world_start(&t.w);
}

static void append_some(void)
{
    static const enum event_type types[] = { EVENT_ORDER_PLACED, EVENT_ORDER_PAID };

    for (size_t n = 1 + chance_below(&t.c, 3); n > 0; n--) {
        if (t.w.log.last_position < MESSAGES_MAX / 2)
            (void)bus_world_append(&t.w, 1 + (unsigned)chance_below(&t.c, LANES),
                                   types[chance_below(&t.c, 2)]);
    }
}

static void commit_some(void)
{
    store_virtual_run(&t.w.store, 1 + (uint32_t)chance_below(&t.c, 3));
}

static void step(void)
{
    struct player *p = &t.w.players[chance_below(&t.c, t.w.n_players)];
    size_t n = chance_below(&t.c, 100);

    if (n < 15)
        append_some();
    else if (n < 30)
        commit_some();
    else if (n < 45)
        (void)event_log_run(&t.w.log, 1 + (unsigned)chance_below(&t.c, 4));
    else if (n < 65)
        bus_world_turn(&t.w);
    else if (n < 75)
        store_virtual_run_reads(&t.w.store, 1);
    else if (n < 80)
        manual_scheduler_advance_us(&t.w.ms, (int64_t)chance_below(&t.c, 200000));
    else if (n < 85)
        (void)manual_scheduler_run_alarm(&t.w.ms);
    else if (n < 93)
        model_answer_held(p);
    else if (n < 95)
        check_that_nothing_would_be_lost();
    else if (n < 96)
        store_virtual_fail_write(&t.w.store, 1 + (uint32_t)chance_below(&t.c, 4), ERR_FULL);
    else if (n < 98)
        event_log_probe(&t.w.log);
    else if (n < 99)
        bus_resume(&t.w.bus);
    else if (chance_below(&t.c, 3) == 0)
        crash_and_recover();
}

static void end(void)
{
    unsigned n_letters = 0, n_rows = 0;

    t.only_done = true;
    t.w.bus.deferred_max = 1000;
    store_virtual_fail_write(&t.w.store, 0, ERR_FULL);
    for (unsigned i = 0; i < 100; i++) {
        bus_world_settle(&t.w);
        event_log_probe(&t.w.log);
        for (unsigned k = 0; k < t.w.n_players; k++) {
            while (t.w.players[k].n_held > 0)
                model_answer_held(&t.w.players[k]);
        }
        bus_world_pass_ms(&t.w, 1000);
    }
    look_at_what_is_durable();
    for (unsigned i = 0; i < t.w.n_players; i++) {
        const struct subscription *s = &t.w.players[i].s;
        bool is_parked[LANES + 1] = { false };

        for (uint64_t position = 1; position <= t.last; position++) {
            const struct model_message *x = &t.messages[position];

            if (!x->is_wanted[i])
                continue;
            assert_true(is_parked[x->lane] || x->fate[i] != FATE_WAITS);
            if (x->fate[i] == FATE_PARKED) {
                is_parked[x->lane] = true;
                n_rows++;
            }
            n_letters += x->fate[i] == FATE_PARKED || x->fate[i] == FATE_DISMISSED;
        }
        assert_true(s->is_live);
        assert_int_equal(s->n_in_work, 0);
        assert_int_equal(s->n_recalled, 0);
        assert_int_equal(s->n_deferred, s->n_parked);
        assert_int_equal(s->lanes.len, s->n_parked);
        assert_int_equal(t.durable.cursor[i], t.w.log.durable_position);
    }
    assert_int_equal(t.durable.n_rows, n_rows);
    assert_int_equal(t.durable.n_letters, n_letters);
    assert_int_equal(t.w.bus.n_dead_letters_open, n_letters);
    check_that_nothing_would_be_lost();
    bus_world_deinit(&t.w);
}

static void bus__agrees_with_a_model_over_random_histories(void **state)
{
    struct chance seeds = chance_init(__func__);
    uint64_t n_handed = 0, n_parked = 0, n_dismissed = 0, n_crashes = 0;

    (void)state;
    for (unsigned i = 0; i < HISTORIES; i++) {
        uint64_t seed = seeds.state + i;

        begin(seed);
        fprintf(stderr, "seed %llu\r",
                (unsigned long long)seed); /* the last one printed is the culprit */
        for (unsigned k = 0; k < STEPS; k++)
            step();
        end();
        n_handed += t.n_handed;
        n_parked += t.n_parked;
        n_dismissed += t.n_dismissed;
        n_crashes += t.n_crashes;
    }
    printf("%llu handed over, %llu parked, %llu dismissed, %llu crashes\n",
           (unsigned long long)n_handed, (unsigned long long)n_parked,
           (unsigned long long)n_dismissed, (unsigned long long)n_crashes);
    assert_true(n_parked > HISTORIES / 4); /* the histories are worth their name */
    assert_true(n_dismissed > HISTORIES / 4);
    assert_true(n_crashes > HISTORIES / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bus__agrees_with_a_model_over_random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
