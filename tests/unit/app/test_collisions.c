/* Keys that somebody has chosen so that they collide under a hash key that he knows, against every
 * table whose keys come from outside; and that he can't know it. */
#include "../../../src/app/app_private.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A process that is killed frees nothing. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

#define KEYS 100000u
/* Bits that all the keys' hashes have in common; that many tries find one key more. Twenty would be
 * found as well, by who has hours. */
#define COMMON_BITS 7
#define COMMON ((UINT64_C(1) << COMMON_BITS) - 1)
#define KEY_ROOM 24

static const struct map_key known = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } };

struct entry {
    struct map_node node;
    char key[KEY_ROOM];
};
static struct str entry_key(const struct entry *e, size_t n)
{
    return (struct str){ e->key, n };
}

/* ---- keys as the tables have them ------------------------------------------------------------ */

/* Carts, lanes, dossiers, dead letters, messages that were handled, digests of idempotency keys,
 * addresses: sixteen bytes. */
static size_t sixteen_bytes(uint64_t i, char key[KEY_ROOM])
{
    bytes_put_u64(key, i * UINT64_C(0x9e3779b97f4a7c15));
    bytes_put_u64(key + 8, i);
    return 16;
}
/* Products by sku; payments, reservations and shipments by their type and an id from outside. */
static size_t text(uint64_t i, char key[KEY_ROOM])
{
    memcpy(key, "PAYMENT-", 8);
    for (size_t at = 18; at-- > 8; i /= 10)
        key[at] = (char)('0' + i % 10);
    return 18;
}

static const struct kind {
    const char *name;
    size_t (*key)(uint64_t i, char key[KEY_ROOM]);
} kinds[] = { { "sixteen bytes", sixteen_bytes }, { "text", text } };

/* Keys whose hashes under `known` are the same in these bits. */
static size_t collide(const struct kind *kind, uint64_t bits, struct entry *all)
{
    size_t n = 0;

    for (uint64_t i = 0, found = 0; found < KEYS; i++) {
        n = kind->key(i, all[found].key);
        found += (siphash(&known, entry_key(&all[found], n)) & bits) == 0;
    }
    return n;
}

/* ---- the map --------------------------------------------------------------------------------- */

static size_t longest(struct map_node *const *buckets, size_t from, size_t n)
{
    size_t most = 0;

    for (size_t i = from; i < n; i++) {
        size_t len = 0;

        for (const struct map_node *node = buckets[i]; node; node = node->next)
            len++;
        most = len > most ? len : most;
    }
    return most;
}

/* Nodes that a look-up may have to compare. */
static size_t longest_chain(const struct map *m)
{
    size_t now = longest(m->buckets, 0, m->mask + 1);
    size_t old = m->old ? longest(m->old, m->moved, m->old_mask + 1) : 0;

    return now > old ? now : old;
}

static size_t chain_under(const struct map_key *key, struct entry *all, size_t n_key)
{
    struct map m;
    size_t chain;

    map_init(&m, key);
    for (size_t i = 0; i < KEYS; i++)
        map_insert(&m, &all[i].node, entry_key(&all[i], n_key));
    assert_int_equal(m.len, KEYS);
    chain = longest_chain(&m);
    for (size_t i = 0; i < KEYS; i += 97) /* slow or not, it is right */
        assert_ptr_equal(map_find(&m, entry_key(&all[i], n_key)), &all[i].node);
    for (size_t i = 0; i < KEYS; i++)
        map_remove(&m, &all[i].node);
    map_deinit(&m);
    return chain;
}

static void map__degrades_only_under_a_key_that_is_known(void **state)
{
    struct entry *all = mem_alloc(KEYS * sizeof(*all));
    struct seeded_random random;

    (void)state;
    seeded_random_init(&random, 20260101);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        size_t n_key = collide(&kinds[k], COMMON, all);
        size_t buckets = 1u << 17, chain = chain_under(&known, all, n_key);

        /* All lie in one of so many buckets. Longer than that by no more than chance. */
        assert_in_range(chain, KEYS / (buckets >> COMMON_BITS),
                        2 * (KEYS / (buckets >> COMMON_BITS)));
        for (unsigned life = 0; life < 5; life++) {
            struct map_key drawn;

            random_fill(&random.random, drawn.bytes, sizeof(drawn.bytes));
            assert_in_range(chain_under(&drawn, all, n_key), 1, 16);
        }
    }
    mem_free(all);
}

/* ---- the set of idempotency keys ------------------------------------------------------------- */

static unsigned fullest_shard(const struct map_key *key, const struct entry *all)
{
    struct idempotency i;
    unsigned most = 0, len = 0;

    idempotency_init(&i, key, 2 * KEYS);
    for (size_t k = 0; k < KEYS; k++)
        idempotency_add(&i, (const struct digest16 *)(const void *)all[k].key);
    for (size_t k = 0; k < KEYS; k += 97)
        assert_true(idempotency_may_hold(&i, (const struct digest16 *)(const void *)all[k].key));
    for (unsigned s = 0; s < IDEMPOTENCY_SHARDS; s++) {
        len += i.shards[s].len;
        most = i.shards[s].len > most ? i.shards[s].len : most;
    }
    assert_int_equal(len, KEYS);
    idempotency_deinit(&i);
    return most;
}

static void idempotency__fills_one_shard_only_under_a_key_that_is_known(void **state)
{
    struct entry *all = mem_alloc(KEYS * sizeof(*all));
    struct seeded_random random;

    (void)state;
    seeded_random_init(&random, 20260102);
    (void)collide(&kinds[0], COMMON << (64 - COMMON_BITS), all);
    assert_in_range(fullest_shard(&known, all), KEYS / (IDEMPOTENCY_SHARDS >> COMMON_BITS), KEYS);
    for (unsigned life = 0; life < 5; life++) {
        struct map_key drawn;

        random_fill(&random.random, drawn.bytes, sizeof(drawn.bytes));
        assert_in_range(fullest_shard(&drawn, all), 1, 2 * KEYS / IDEMPOTENCY_SHARDS);
    }
    mem_free(all);
}

/* ---- the key is drawn ------------------------------------------------------------------------ */

static void assert_key(const struct map_key *got, const struct map_key *expected)
{
    assert_memory_equal(got->bytes, expected->bytes, sizeof(expected->bytes));
}

/* Every table of the app, by name: one that is added belongs here. */
static void assert_all_have(const struct app *a, const struct map_key *key)
{
    assert_key(&a->dossiers.map.key, key);
    assert_key(&a->carts.map.key, key);
    assert_key(&a->catalogue.map.key, key);
    assert_key(&a->idempotency.in_flight.key, key);
    assert_key(&a->idempotency.hash_key, key);
    assert_key(&a->letters.key, key);
    assert_key(&a->bindings.key, key);
    assert_key(&a->handled.key, key);
    assert_key(&a->bus.map_key, key);
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (a->subscriptions[i].bus)
            assert_key(&a->subscriptions[i].lanes.key, key);
    }
}

static void app__draws_the_key_of_all_its_tables_anew_at_each_start(void **state)
{
    enum { LIVES = 4 };
    struct app_config config = app_fixture_config();
    struct map_key keys[LIVES], none = { { 0 } };
    struct app_fixture f;

    (void)state;
    config.audit = true;
    app_fixture_init(&f, &config);
    for (unsigned life = 0; life < LIVES; life++) {
        keys[life] = f.app->bus.map_key;
        assert_all_have(f.app, &keys[life]);
        assert_memory_not_equal(keys[life].bytes, none.bytes, sizeof(none.bytes));
        for (unsigned before = 0; before < life; before++)
            assert_memory_not_equal(keys[life].bytes, keys[before].bytes, sizeof(none.bytes));
        app_fixture_crash(&f);
    }
    app_fixture_deinit(&f);
}

/* A port that says what it gave. */
struct told_random {
    struct random random;
    uint8_t given[sizeof(struct map_key)];
    bool has_given;
};
static void told_fill(struct random *r, void *out, size_t n)
{
    struct told_random *t = container_of(r, struct told_random, random);

    memset(out, 0xa5, n);
    if (t->has_given)
        return;
    assert_int_equal(n, sizeof(t->given));
    for (size_t i = 0; i < n; i++)
        t->given[i] = (uint8_t)(i * 7 + 1);
    memcpy(out, t->given, n);
    t->has_given = true;
}

static void app__takes_the_key_from_the_random_port_and_from_nowhere_else(void **state)
{
    struct told_random told = { .random = { told_fill } };
    struct app_config config = app_fixture_config();
    struct manual_scheduler ms;
    struct store_virtual store;
    struct capture_log log;
    struct engine *engine = memory_engine_create(1000);
    struct map_key key;
    struct app *app;

    (void)state;
    manual_scheduler_init(&ms);
    capture_log_init(&log);
    store_virtual_init(&store, engine);
    app = app_create(&config, &ms.scheduler, &store.port, &told.random, &log.log);
    assert_true(told.has_given);
    memcpy(key.bytes, told.given, sizeof(key.bytes));
    assert_all_have(app, &key);
    app_destroy(app);
    store_virtual_deinit(&store);
    capture_log_deinit(&log);
    memory_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map__degrades_only_under_a_key_that_is_known),
        cmocka_unit_test(idempotency__fills_one_shard_only_under_a_key_that_is_known),
        cmocka_unit_test(app__draws_the_key_of_all_its_tables_anew_at_each_start),
        cmocka_unit_test(app__takes_the_key_from_the_random_port_and_from_nowhere_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
