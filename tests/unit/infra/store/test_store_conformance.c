/* What the store port promises, for every engine under every adapter (support/store_rig.h). */
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "support/chance.h"
#include "support/store_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct str a_number(uint64_t n, char out[8])
{
    bytes_put_u64(out, n);
    return (struct str){ out, 8 };
}

static void put(struct rig *r, enum store_db db, struct str key, struct str value)
{
    struct a_write *w = a_write_create(0);

    a_write_put(w, db, key, value);
    assert_int_equal(rig_write(r, w), ERR_OK);
}

static void assert_value(struct rig *r, enum store_db db, struct str key, struct str expected)
{
    struct str value;

    assert_int_equal(rig_get(r, db, key, &value), ERR_OK);
    assert_true(str_eq(value, expected));
}

static void assert_absent(struct rig *r, enum store_db db, struct str key)
{
    assert_int_equal(rig_get(r, db, key, NULL), ERR_NOT_FOUND);
}

static void destroy_back(struct rig *r)
{
    for (unsigned i = 0; i < r->n_back; i++)
        a_write_destroy(r->back[i]);
    r->n_back = r->n_started = 0;
}

/* ---- writes ----------------------------------------------------------------------- */

static void writes__come_back_once_each_in_the_order_of_hand_over(struct rig *r)
{
    for (unsigned i = 0; i < 5000; i++) {
        struct a_write *w = a_write_create(i);

        a_write_event(w, i, STR("event"));
        a_write_put(w, DB_SETTINGS, STR("last"), (struct str){ w->numbers[0], 8 });
        rig_start(r, w);
        if (i % 1000 == 0)
            assert_int_equal(rig_stats(r).waiting, i + 1);
    }
    rig_settle(r);
    assert_int_equal(r->n_back, 5000);
    for (unsigned i = 0; i < 5000; i++) {
        assert_int_equal(r->back[i]->id, i);
        assert_int_equal(r->back[i]->back, 1);
        assert_int_equal(r->back[i]->write.status, ERR_OK);
    }
    assert_value(r, DB_SETTINGS, STR("last"), (struct str){ r->back[4999]->numbers[0], 8 });
    assert_int_equal(rig_stats(r).waiting, 0);
    destroy_back(r);
}

static void writes__share_commits_up_to_a_batch(struct rig *r)
{
    struct store_stats stats;

    for (unsigned i = 0; i < 5000; i++) {
        struct a_write *w = a_write_create(i);

        a_write_event(w, i, STR("event"));
        rig_start(r, w);
    }
    rig_settle(r);
    stats = rig_stats(r);
    assert_int_equal(stats.events, 5000);
    assert_int_equal(stats.commit_events, 5000);
    assert_in_range(stats.commits, 5000 / STORE_BATCH_EVENTS_MAX + 1, 5000 / 2);
    assert_true(stats.bytes > 5000 * 13);
    destroy_back(r);
}

static void writes__may_be_larger_than_a_batch(struct rig *r)
{
    size_t n = 3 * STORE_BATCH_BYTES_MAX;
    char *big = mem_alloc(n);

    memset(big, 'b', n);
    for (unsigned i = 0; i < 3; i++) {
        struct a_write *w = a_write_create(i);

        a_write_event(w, i, (struct str){ big, n });
        rig_start(r, w);
    }
    rig_settle(r);
    assert_value(r, DB_EVENTS, (struct str){ r->back[2]->numbers[0], 8 }, (struct str){ big, n });
    mem_free(big);
    destroy_back(r);
}

static void writes__apply_their_rows_in_order(struct rig *r)
{
    struct a_write *w = a_write_create(0);

    a_write_put(w, DB_CARTS, STR("a"), STR("1"));
    a_write_put(w, DB_CARTS, STR("a"), STR("2"));
    a_write_put(w, DB_CARTS, STR("b"), STR("1"));
    a_write_delete(w, DB_CARTS, STR("b"));
    a_write_delete(w, DB_CARTS, STR("c")); /* was never there: no error */
    a_write_put(w, DB_CARTS, STR("c"), STR("1"));
    assert_int_equal(rig_write(r, w), ERR_OK);
    assert_value(r, DB_CARTS, STR("a"), STR("2"));
    assert_absent(r, DB_CARTS, STR("b"));
    assert_value(r, DB_CARTS, STR("c"), STR("1"));
}

static void writes__keep_databases_apart(struct rig *r)
{
    for (unsigned db = 0; db < STORE_DB_COUNT; db++) {
        const char *name = store_db_name((enum store_db)db);

        put(r, (enum store_db)db, STR("position"), str_of(name)); /* 8 bytes, as an event's is */
    }
    for (unsigned db = 0; db < STORE_DB_COUNT; db++)
        assert_value(r, (enum store_db)db, STR("position"),
                     str_of(store_db_name((enum store_db)db)));
}

static void writes__take_the_longest_key_and_any_byte(struct rig *r)
{
    char key[STORE_KEY_MAX];

    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (char)(255 - i);
    put(r, DB_META, (struct str){ key, sizeof(key) }, (struct str){ key, sizeof(key) });
    put(r, DB_META, (struct str){ "\0", 1 }, STR_NONE);
    put(r, DB_META, (struct str){ "\0\0", 2 }, STR("two"));
    assert_value(r, DB_META, (struct str){ key, sizeof(key) }, (struct str){ key, sizeof(key) });
    assert_value(r, DB_META, (struct str){ "\0", 1 }, STR_NONE);
    assert_value(r, DB_META, (struct str){ "\0\0", 2 }, STR("two"));
    assert_absent(r, DB_META, (struct str){ key, sizeof(key) - 1 });
}

/* ---- the hand-over queue ---------------------------------------------------------- */

static enum err start_one(struct rig *r, bool is_command)
{
    struct a_write *w = a_write_create(r->n_started);
    enum err e;

    a_write_put(w, DB_META, STR("k"), STR("v"));
    w->write.is_command = is_command;
    e = rig_try_start(r, w);
    if (e != ERR_OK)
        a_write_destroy(w);
    return e;
}

static void queue__keeps_its_last_quarter_for_what_commands_caused(struct rig *r)
{
    for (unsigned i = 0; i < STORE_QUEUE_COMMANDS_MAX; i++)
        assert_int_equal(start_one(r, i % 2 == 0), ERR_OK);
    assert_int_equal(start_one(r, true), ERR_BUSY);
    for (unsigned i = STORE_QUEUE_COMMANDS_MAX; i < STORE_QUEUE_MAX; i++)
        assert_int_equal(start_one(r, false), ERR_OK);
    assert_int_equal(start_one(r, false), ERR_BUSY);
    assert_int_equal(start_one(r, true), ERR_BUSY);
    rig_settle(r);
    assert_int_equal(r->n_back, STORE_QUEUE_MAX);
    destroy_back(r);
    assert_int_equal(start_one(r, true), ERR_OK);
    rig_settle(r);
    destroy_back(r);
}

/* ---- full ------------------------------------------------------------------------- */

static void restart_once_after_failure(struct rig *r, struct a_write *w)
{
    struct a_write *again;

    if (w->write.status != ERR_FULL || w->id != 3)
        return;
    again = a_write_create(1000);
    a_write_put(again, DB_META, STR("after"), STR("failure"));
    rig_start(r, again);
}

/* Fills a small store to its last event. */
static void fill(struct rig *r)
{
    for (unsigned i = 0; i < RIG_SMALL_EVENTS; i++) {
        struct a_write *w = a_write_create(i);

        a_write_event(w, i, STR("event"));
        rig_start(r, w);
    }
    rig_settle(r);
    for (unsigned i = 0; i < RIG_SMALL_EVENTS; i++)
        assert_int_equal(r->back[i]->write.status, ERR_OK);
    destroy_back(r);
}

static void full__fails_the_write_and_everything_behind_and_goes_on(struct rig *r)
{
    char key[8];

    fill(r);
    assert_int_equal(rig_stats(r).events, RIG_SMALL_EVENTS);
    r->on_back = restart_once_after_failure;
    for (unsigned i = 0; i < 500; i++) {
        struct a_write *w = a_write_create(i);

        a_write_put(w, DB_ORDERS, a_number(i, w->numbers[7]), STR("order"));
        if (i == 0)
            a_write_event(w, RIG_SMALL_EVENTS, STR("one too many"));
        rig_start(r, w);
    }
    rig_settle(r);
    assert_int_equal(r->n_back, 501);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(r->back[i]->id, i);
        assert_int_equal(r->back[i]->write.status, ERR_FULL);
    }
    assert_int_equal(r->back[500]->id, 1000);
    assert_int_equal(r->back[500]->write.status, ERR_OK);
    for (unsigned i = 0; i < 500; i++)
        assert_absent(r, DB_ORDERS, a_number(i, key));
    assert_absent(r, DB_EVENTS, a_number(RIG_SMALL_EVENTS, key));
    assert_value(r, DB_META, STR("after"), STR("failure"));
    assert_int_equal(rig_stats(r).events, RIG_SMALL_EVENTS);
    destroy_back(r);
}

/* ---- reads ------------------------------------------------------------------------ */

static void assert_seek(struct rig *r, enum store_seek how, struct str key, const char *expected)
{
    struct str found;
    struct str value;
    enum err e = rig_seek(r, DB_PRODUCTS, how, key, &found, &value);

    if (!expected) {
        assert_int_equal(e, ERR_NOT_FOUND);
        return;
    }
    assert_int_equal(e, ERR_OK);
    assert_string_equal(found.p, expected); /* with a NUL behind it */
    assert_int_equal(found.n, strlen(expected));
    assert_true(str_eq(value, found));
}

static void seek__finds_the_nearest_row_on_either_side(struct rig *r)
{
    static const char *const rows[] = { "b", "bb", "bbbbbbbb", "bbbbbbbbb", "d", "\xFF" };

    for (unsigned how = STORE_GE; how <= STORE_LT; how++)
        assert_seek(r, (enum store_seek)how, STR("x"), NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        put(r, DB_PRODUCTS, str_of(rows[i]), str_of(rows[i]));
    put(r, DB_STOCK, STR("c"), STR("not in this database"));
    assert_seek(r, STORE_GE, STR_NONE, "b");
    assert_seek(r, STORE_GT, STR_NONE, "b");
    assert_seek(r, STORE_LE, STR_NONE, NULL);
    assert_seek(r, STORE_LT, STR_NONE, NULL);
    assert_seek(r, STORE_GE, STR("b"), "b");
    assert_seek(r, STORE_GT, STR("b"), "bb");
    assert_seek(r, STORE_LE, STR("b"), "b");
    assert_seek(r, STORE_LT, STR("b"), NULL);
    assert_seek(r, STORE_GT, STR("bb"), "bbbbbbbb");
    assert_seek(r, STORE_GT, STR("bbbbbbbb"), "bbbbbbbbb");
    assert_seek(r, STORE_LT, STR("bbbbbbbbb"), "bbbbbbbb");
    assert_seek(r, STORE_GE, STR("c"), "d");
    assert_seek(r, STORE_GT, STR("c"), "d");
    assert_seek(r, STORE_LE, STR("c"), "bbbbbbbbb");
    assert_seek(r, STORE_LT, STR("c"), "bbbbbbbbb");
    assert_seek(r, STORE_GT, STR("\xFF"), NULL);
    assert_seek(r, STORE_GE, STR("\xFF\x01"), NULL);
    assert_seek(r, STORE_LE, STR("\xFF\xFF\xFF"), "\xFF");
    assert_seek(r, STORE_LT, STR("\xFF"), "d");
}

struct walk {
    struct store_read read;
    struct rig *rig;
    struct arena arena;
    enum store_seek how;
    struct str from;
    unsigned n;
    uint64_t numbers[2000];
    bool is_late;
};

/* Keys only: a value that is not wanted need not be copied. */
static void walk_run(struct store_read *read, const struct store_view *v)
{
    struct walk *w = container_of(read, struct walk, read);
    struct str key = w->from;

    while (store_seek(v, DB_BY_LANE, w->how, key, &w->arena, &key, NULL) == ERR_OK)
        w->numbers[w->n++] = bytes_get_u64(key.p);
    w->is_late = v->ops->is_late(v);
    if (w->n > 0)
        (void)store_get(v, DB_BY_LANE, key, &w->arena, NULL);
}

static void walk_done(struct store_read *read)
{
    container_of(read, struct walk, read)->rig->n_reads--;
}

static void walk_all(struct rig *r, struct walk *w, enum store_seek how, struct str from)
{
    memset(w, 0, sizeof(*w));
    w->read = (struct store_read){ .run = walk_run, .done = walk_done };
    w->rig = r;
    w->how = how;
    w->from = from;
    arena_init(&w->arena, NULL, 0);
    r->n_reads++;
    assert_int_equal(store_read_start(r->store, &w->read), ERR_OK);
    rig_settle(r);
    arena_deinit(&w->arena);
    assert_false(w->is_late);
}

static void seek__walks_a_range_both_ways(struct rig *r)
{
    struct chance c = chance_init(__func__);
    struct walk *w = mem_zalloc(sizeof(*w));
    unsigned order[2000];

    for (unsigned i = 0; i < 2000; i++)
        order[i] = i;
    for (unsigned i = 2000; i-- > 1;) {
        size_t k = chance_below(&c, i + 1);
        unsigned other = order[k];

        order[k] = order[i];
        order[i] = other;
    }
    for (unsigned i = 0; i < 2000; i++) {
        struct a_write *write = a_write_create(i);

        a_write_put(write, DB_BY_LANE, a_number(order[i], write->numbers[7]), STR_NONE);
        rig_start(r, write);
    }
    rig_settle(r);
    destroy_back(r);
    walk_all(r, w, STORE_GT, STR_NONE);
    assert_int_equal(w->n, 2000);
    for (unsigned i = 0; i < 2000; i++)
        assert_true(w->numbers[i] == i);
    walk_all(r, w, STORE_LT, STR("\xFF"));
    assert_int_equal(w->n, 2000);
    for (unsigned i = 0; i < 2000; i++)
        assert_true(w->numbers[i] == 1999 - i);
    mem_free(w);
}

struct many_reads {
    struct store_read read;
    struct rig *rig;
    bool ran;
};

static void many_reads_run(struct store_read *read, const struct store_view *v)
{
    (void)v;
    container_of(read, struct many_reads, read)->ran = true;
}

static void many_reads_done(struct store_read *read)
{
    struct many_reads *m = container_of(read, struct many_reads, read);

    assert_true(m->ran);
    m->rig->n_reads--;
}

static void reads__wait_up_to_a_limit_and_all_get_done(struct rig *r)
{
    struct many_reads *all = mem_zalloc((STORE_READS_WAITING_MAX + 1) * sizeof(*all));

    for (size_t i = 0; i <= STORE_READS_WAITING_MAX; i++) {
        enum err e;

        all[i].read = (struct store_read){ .run = many_reads_run, .done = many_reads_done };
        all[i].rig = r;
        e = store_read_start(r->store, &all[i].read);
        assert_int_equal(e, i < STORE_READS_WAITING_MAX ? ERR_OK : ERR_BUSY);
        r->n_reads += e == ERR_OK;
    }
    assert_int_equal(r->n_reads, STORE_READS_WAITING_MAX); /* none was done inside start */
    rig_settle(r);
    assert_false(all[STORE_READS_WAITING_MAX].ran);
    mem_free(all);
}

/* Every write sets both rows to its number; so a look at one and then at the other never goes back,
 * whichever comes first. */
struct pair_read {
    struct store_read read;
    struct rig *rig;
    struct arena arena;
    bool a_first;
    uint64_t first, second;
    unsigned left;
};

static uint64_t pair_get(struct pair_read *p, const struct store_view *v, bool a)
{
    struct str value;

    if (store_get(v, a ? DB_CURSORS : DB_META, STR("pair"), &p->arena, &value) != ERR_OK)
        return 0;
    return bytes_get_u64(value.p);
}

static void pair_run(struct store_read *read, const struct store_view *v)
{
    struct pair_read *p = container_of(read, struct pair_read, read);

    p->first = pair_get(p, v, p->a_first);
    p->second = pair_get(p, v, !p->a_first);
}

static void pair_done(struct store_read *read)
{
    struct pair_read *p = container_of(read, struct pair_read, read);

    assert_true(p->second >= p->first);
    arena_reset(&p->arena);
    p->a_first = !p->a_first;
    if (--p->left == 0) {
        p->rig->n_reads--;
        return;
    }
    assert_int_equal(store_read_start(p->rig->store, read), ERR_OK);
}

static void reads__never_see_half_of_a_write(struct rig *r)
{
    struct pair_read reads[8];

    for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
        reads[i] = (struct pair_read){ .rig = r, .a_first = i % 2, .left = 300 };
        reads[i].read = (struct store_read){ .run = pair_run, .done = pair_done };
        arena_init(&reads[i].arena, NULL, 0);
        r->n_reads++;
        assert_int_equal(store_read_start(r->store, &reads[i].read), ERR_OK);
    }
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 20; i++) {
            struct a_write *w = a_write_create(i);
            struct str number = a_number(round * 20 + i + 1, w->numbers[7]);

            a_write_put(w, DB_CURSORS, STR("pair"), number);
            a_write_put(w, DB_ORDERS, number, number);
            a_write_put(w, DB_META, STR("pair"), number);
            rig_start(r, w);
        }
        r->kind->adapter->step(r);
    }
    rig_settle(r);
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        arena_deinit(&reads[i].arena);
    destroy_back(r);
}

static void store__agrees_with_a_model_over_random_writes(struct rig *r)
{
    enum { KEYS = 200 };
    struct chance c = chance_init(__func__);
    uint64_t model[KEYS] = { 0 }; /* 0: absent */
    char key[8];

    for (unsigned round = 0; round < 100; round++) {
        for (size_t n = chance_below(&c, 50); n > 0; n--) {
            struct a_write *w = a_write_create(0);

            for (size_t i = 1 + chance_below(&c, A_WRITE_ROWS_MAX / 2); i > 0; i--) {
                size_t k = chance_below(&c, KEYS);
                unsigned at = w->write.n_rows;
                struct str row_key = a_number(k, w->numbers[at]);

                if (chance_below(&c, 3) == 0) {
                    a_write_delete(w, DB_DEADLINES, row_key);
                    model[k] = 0;
                } else {
                    model[k] = 1 + chance_below(&c, 1000);
                    a_write_put(w, DB_DEADLINES, row_key,
                                a_number(model[k], w->numbers[A_WRITE_ROWS_MAX / 2 + at]));
                }
            }
            rig_start(r, w);
        }
        rig_settle(r);
        destroy_back(r);
        for (size_t i = 0; i < 10; i++) {
            size_t k = chance_below(&c, KEYS);
            struct str value;
            enum err e = rig_get(r, DB_DEADLINES, a_number(k, key), &value);

            assert_int_equal(e, model[k] ? ERR_OK : ERR_NOT_FOUND);
            if (model[k])
                assert_true(bytes_get_u64(value.p) == model[k]);
        }
    }
}

/* ---- the table -------------------------------------------------------------------- */

static const struct conformance_test {
    const char *name;
    void (*run)(struct rig *r);
    bool small;
} conformance[] = {
#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name, false                                                                         \
    }
    TEST(writes__come_back_once_each_in_the_order_of_hand_over),
    TEST(writes__share_commits_up_to_a_batch),
    TEST(writes__may_be_larger_than_a_batch),
    TEST(writes__apply_their_rows_in_order),
    TEST(writes__keep_databases_apart),
    TEST(writes__take_the_longest_key_and_any_byte),
    TEST(queue__keeps_its_last_quarter_for_what_commands_caused),
    { "full__fails_the_write_and_everything_behind_and_goes_on",
      full__fails_the_write_and_everything_behind_and_goes_on, true },
    TEST(seek__finds_the_nearest_row_on_either_side),
    TEST(seek__walks_a_range_both_ways),
    TEST(reads__wait_up_to_a_limit_and_all_get_done),
    TEST(reads__never_see_half_of_a_write),
    TEST(store__agrees_with_a_model_over_random_writes),
#undef TEST
};

struct one_run {
    const struct conformance_test *test;
    const struct rig_kind *kind;
    char name[120];
};

static void run_one(void **state)
{
    const struct one_run *run = *state;
    struct rig *r = rig_open(run->kind, run->test->small);

    run->test->run(r);
    rig_close(r);
}

int main(void)
{
    enum { N = ARRAY_LEN(conformance) };
    struct one_run *runs = mem_zalloc(rig_kinds_len * N * sizeof(*runs));
    struct CMUnitTest *tests = mem_zalloc(rig_kinds_len * N * sizeof(*tests));
    int failed;

    for (unsigned i = 0; i < rig_kinds_len * N; i++) {
        runs[i].test = &conformance[i % N];
        runs[i].kind = &rig_kinds[i / N];
        (void)snprintf(runs[i].name, sizeof(runs[i].name), "%s: %s", runs[i].kind->name,
                       runs[i].test->name);
        tests[i] = (struct CMUnitTest){
            .name = runs[i].name,
            .test_func = run_one,
            .initial_state = &runs[i],
        };
    }
    failed = _cmocka_run_group_tests("store", tests, rig_kinds_len * N, NULL, NULL);
    mem_free(tests);
    mem_free(runs);
    return failed;
}
