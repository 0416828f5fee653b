/* The rules by which LMDB's pages are believed, one by one: a small file is made by hand, one number
 * in it is changed, and what is said about it is compared word for word.
 *
 *     page 2   the names: one record, which says where the tree is
 *     page 3   its root, a branch: "" -> 4, "m" -> 5
 *     page 4   a leaf: apple, cherry
 *     page 5   a leaf: melon, pear, quince; the last one's value lies in pages 6 and 7 */
#include "../../../../src/infra/store/lmdb_env.h"
#include "../../../../src/infra/store/lmdb_pages.h"
#include "orderly/base/mem.h"
#include "support/temp_dir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096
#define PAGES 16
#define LAST_PAGE 9

#define AT_FLAGS 10
#define AT_LOWER 12
#define AT_UPPER 14
#define AT_ROWS 16
#define AT_MAGIC 16
#define BRANCH 1
#define LEAF 2
#define OVERFLOW 4
#define META 8
#define MAGIC 0xBEEFC0DEu

#define NODE_FLAGS 4
#define NODE_KEY_LEN 6
#define NODE_KEY 8
#define BIG 1
#define TREE 2

#define RECORD_FLAGS 4
#define RECORD_DEPTH 6
#define RECORD_ENTRIES 32
#define RECORD_ROOT 40
#define RECORD_LEN 48

static _Alignas(PAGE) char file[PAGES * PAGE];
static char *record;
static struct lmdb_map map;

/* ---- writing pages --------------------------------------------------------------------------- */

static char *page_at(unsigned n)
{
    return file + (size_t)n * PAGE;
}

static void put16(char *at, unsigned value)
{
    uint16_t v = (uint16_t)value;

    memcpy(at, &v, sizeof(v));
}

static void put32(char *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static void put64(char *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

static unsigned get16(const char *at)
{
    uint16_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static char *page_begin(unsigned n, unsigned flags)
{
    char *page = page_at(n);

    memset(page, 0, PAGE);
    put64(page, n);
    put16(page + AT_FLAGS, flags);
    put16(page + AT_LOWER, AT_ROWS);
    put16(page + AT_UPPER, PAGE);
    return page;
}

/* Behind the rows that are there. Returns its node, where the head has been written but the flags. */
static char *page_add(char *page, const char *key, size_t n_key, size_t n_value)
{
    size_t n = NODE_KEY + n_key + n_value;
    unsigned lower = get16(page + AT_LOWER);
    unsigned upper = get16(page + AT_UPPER) - (unsigned)(n + n % 2);
    char *node = page + upper;

    put16(page + lower, upper);
    put16(page + AT_LOWER, lower + 2);
    put16(page + AT_UPPER, upper);
    put16(node + NODE_KEY_LEN, (unsigned)n_key);
    memcpy(node + NODE_KEY, key, n_key);
    return node;
}

static char *add_row(unsigned page, const char *key, const char *value, size_t n)
{
    char *node = page_add(page_at(page), key, strlen(key), n);

    put16(node, (unsigned)n);
    memcpy(node + NODE_KEY + strlen(key), value, n);
    return node;
}

static void add_text(unsigned page, const char *key)
{
    (void)add_row(page, key, "value", 5);
}

static void add_branch(unsigned page, const char *key, unsigned to)
{
    put16(page_add(page_at(page), key, strlen(key), 0), to);
}

static char *row_at(unsigned page, unsigned i)
{
    return page_at(page) + get16(page_at(page) + AT_ROWS + 2 * (size_t)i);
}

/* Returns where the number of its first page lies. */
static char *add_big(unsigned page, const char *key, unsigned to, size_t n)
{
    char *node = page_add(page_at(page), key, strlen(key), sizeof(uint64_t));

    put16(node, (unsigned)n);
    put16(node + NODE_FLAGS, BIG);
    put64(node + NODE_KEY + strlen(key), to);
    return node + NODE_KEY + strlen(key);
}

#define BIG_LEN 5000

static void record_says(unsigned depth, uint64_t root, uint64_t entries)
{
    put16(record + RECORD_DEPTH, depth);
    put64(record + RECORD_ROOT, root);
    put64(record + RECORD_ENTRIES, entries);
}

static int file_begins(void **state)
{
    char *node;

    (void)state;
    memset(file, 0, sizeof(file));
    map = (struct lmdb_map){ .base = file, .page_size = PAGE, .last_page = LAST_PAGE };
    page_begin(2, LEAF);
    node = page_add(page_at(2), "ORDERS", 6, RECORD_LEN);
    put16(node, RECORD_LEN);
    put16(node + NODE_FLAGS, TREE);
    record = node + NODE_KEY + 6;
    record_says(2, 3, 5);
    page_begin(3, BRANCH);
    add_branch(3, "", 4);
    add_branch(3, "m", 5);
    page_begin(4, LEAF);
    add_text(4, "apple");
    add_text(4, "cherry");
    page_begin(5, LEAF);
    add_text(5, "melon");
    add_text(5, "pear");
    (void)add_big(5, "quince", 6, BIG_LEN);
    page_begin(6, OVERFLOW);
    put32(page_at(6) + AT_LOWER, 2);
    memset(page_at(6) + AT_ROWS, 'b', BIG_LEN);
    return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static MDB_val the_record(void)
{
    return (MDB_val){ .mv_size = RECORD_LEN, .mv_data = record };
}

static struct lmdb_tree begin_tree(void)
{
    struct lmdb_tree t;
    int rc = lmdb_tree_init(&t, &map, the_record());

    if (rc != 0)
        fail_msg("%s", t.why);
    return t;
}

static void assert_not_a_tree(const char *why)
{
    struct lmdb_tree t;

    assert_int_equal(lmdb_tree_init(&t, &map, the_record()), MDB_CORRUPTED);
    assert_string_equal(t.why, why);
    (void)file_begins(NULL);
}

static void assert_finds(struct lmdb_tree *t, const char *key, bool should)
{
    bool is_there = !should;

    assert_int_equal(lmdb_tree_find(t, str_of(key), &is_there), 0);
    assert_int_equal(is_there, should);
}

/* What is said on the way to the key; the file is whole again afterwards. */
static void assert_broken_on_the_way_to(const char *key, const char *why)
{
    struct lmdb_tree t = begin_tree();
    bool is_there = true;

    assert_int_equal(lmdb_tree_find(&t, str_of(key), &is_there), MDB_CORRUPTED);
    assert_false(is_there);
    assert_string_equal(t.why, why);
    (void)file_begins(NULL);
}

/* ---- what is sound --------------------------------------------------------------------------- */

static void tree__that_is_sound_is_walked_both_ways(void **state)
{
    static const char *const keys[] = { "apple", "cherry", "melon", "pear", "quince" };
    struct lmdb_tree t = begin_tree();
    struct str key, stored;

    (void)state;
    assert_finds(&t, "a", false);
    assert_int_equal(lmdb_tree_settle(&t), 0);
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        assert_int_equal(lmdb_tree_row(&t, &key, &stored), 0);
        assert_true(str_eq(key, str_of(keys[i])));
        assert_int_equal(stored.n, i == 4 ? BIG_LEN : 5);
        assert_int_equal(stored.p[0], i == 4 ? 'b' : 'v');
        assert_finds(&t, keys[i], true); /* where it stands already */
        assert_int_equal(lmdb_tree_next(&t), i == 4 ? MDB_NOTFOUND : 0);
    }
    assert_finds(&t, "zebra", false);
    for (unsigned i = ARRAY_LEN(keys); i > 0; i--) {
        assert_int_equal(lmdb_tree_before(&t), 0);
        assert_int_equal(lmdb_tree_row(&t, &key, &stored), 0);
        assert_true(str_eq(key, str_of(keys[i - 1])));
    }
    assert_int_equal(lmdb_tree_before(&t), MDB_NOTFOUND);
    assert_finds(&t, "cherry", true);
    assert_finds(&t, "pear", true);
}

static void tree__without_a_page_has_no_rows(void **state)
{
    struct lmdb_tree t;
    bool is_there = true;

    (void)state;
    record_says(0, UINT64_MAX, 0);
    t = begin_tree();
    assert_int_equal(lmdb_tree_find(&t, STR("apple"), &is_there), MDB_NOTFOUND);
    assert_false(is_there);
}

/* A branch may be left with one way, whose key nobody looks at. */
static void branch__may_lead_to_one_page_only(void **state)
{
    struct lmdb_tree t;

    (void)state;
    record_says(3, 9, 5);
    page_begin(9, BRANCH);
    add_branch(9, "", 3);
    add_branch(9, "z", 8);
    t = begin_tree();
    assert_finds(&t, "pear", true);
    page_begin(3, BRANCH);
    add_branch(3, "", 4);
    t = begin_tree();
    assert_finds(&t, "apple", true);
}

static void record__tells_its_page_and_its_root(void **state)
{
    MDB_val of_another_length = { .mv_size = RECORD_LEN - 1, .mv_data = record };
    uint64_t pages[2];

    (void)state;
    assert_true(lmdb_record_pages(the_record(), PAGE, pages));
    assert_int_equal(pages[0], 2);
    assert_int_equal(pages[1], 3);
    assert_false(lmdb_record_pages(of_another_length, PAGE, pages));
}

/* ---- the names ------------------------------------------------------------------------------- */

static void names__of_another_page_are_not_believed(void **state)
{
    (void)state;
    put64(page_at(2), LAST_PAGE + 1);
    assert_not_a_tree("page 10 is another one");
    put64(page_at(2), 5);
    assert_not_a_tree("page 5 is another one");
    put16(page_at(2) + AT_FLAGS, BRANCH);
    assert_not_a_tree("page 2 is another one");
}

static void names__that_do_not_fit_their_page_are_not_believed(void **state)
{
    (void)state;
    put16(page_at(2) + AT_LOWER, AT_ROWS);
    assert_not_a_tree("page 2 has a wrong head");
    put16(page_at(2) + AT_UPPER, get16(page_at(2) + AT_UPPER) - 2);
    assert_not_a_tree("page 2 has rows that do not fit it");
    put16(row_at(2, 0) + NODE_FLAGS, 4);
    assert_not_a_tree("page 2 has rows that do not fit it");
    add_text(2, "ABC");
    assert_not_a_tree("page 2 has rows out of order");
}

static void record__that_is_none_is_not_believed(void **state)
{
    MDB_val of_another_length = { .mv_size = RECORD_LEN + 2, .mv_data = record };
    struct lmdb_tree t;

    (void)state;
    assert_int_equal(lmdb_tree_init(&t, &map, of_another_length), MDB_CORRUPTED);
    assert_string_equal(t.why, "page 0 leads to no database");
    put16(record + RECORD_FLAGS, 4);
    assert_not_a_tree("page 3 is no root of a database");
    record_says(LMDB_DEPTH_MAX + 1, 3, 5);
    assert_not_a_tree("page 3 is no root of a database");
    record_says(0, 3, 5);
    assert_not_a_tree("page 3 is no root of a database");
    record_says(2, UINT64_MAX, 5);
    assert_not_a_tree("page 18446744073709551615 is no root of a database");
    record_says(2, 3, 0);
    assert_not_a_tree("page 3 is no root of a database");
}

/* ---- which page ------------------------------------------------------------------------------ */

static void page__that_is_another_one_is_not_entered(void **state)
{
    (void)state;
    record_says(2, 1, 5); /* a meta page */
    assert_broken_on_the_way_to("pear", "page 1 does not exist");
    record_says(2, LAST_PAGE + 1, 5);
    assert_broken_on_the_way_to("pear", "page 10 does not exist");
    put16(row_at(3, 1) + NODE_FLAGS, 1); /* the highest bits of its number */
    assert_broken_on_the_way_to("pear", "page 4294967301 does not exist");
    put64(page_at(5), 4);
    assert_broken_on_the_way_to("pear", "page 5 is another one");
    put16(page_at(5) + AT_FLAGS, BRANCH); /* as deep as it is, it has to be a leaf */
    assert_broken_on_the_way_to("pear", "page 5 is another one");
    put16(page_at(3) + AT_FLAGS, LEAF);
    assert_broken_on_the_way_to("pear", "page 3 is another one");
}

/* Two ways to one page: what is right from here is not from there. */
static void page__is_looked_at_anew_where_another_branch_leads_to_it(void **state)
{
    struct lmdb_tree t;
    bool is_there;

    (void)state;
    put16(row_at(3, 1), 4);
    t = begin_tree();
    assert_finds(&t, "apple", true);
    assert_int_equal(lmdb_tree_find(&t, STR("pear"), &is_there), MDB_CORRUPTED);
    assert_string_equal(t.why, "page 4 has rows out of order");
}

/* ---- how a page is filled -------------------------------------------------------------------- */

static void page__with_a_wrong_head_is_not_entered(void **state)
{
    char *page = page_at(5);

    (void)state;
    put16(page + AT_LOWER, AT_ROWS); /* no rows */
    assert_broken_on_the_way_to("pear", "page 5 has a wrong head");
    put16(page + AT_LOWER, AT_ROWS + 3);
    assert_broken_on_the_way_to("pear", "page 5 has a wrong head");
    put16(page + AT_LOWER, get16(page + AT_UPPER) + 2);
    assert_broken_on_the_way_to("pear", "page 5 has a wrong head");
    put16(page + AT_UPPER, PAGE + 2);
    assert_broken_on_the_way_to("pear", "page 5 has a wrong head");
}

static void page__with_rows_that_do_not_fit_it_is_not_entered(void **state)
{
    static const char why[] = "page 5 has rows that do not fit it";
    char *page = page_at(5);
    char *first = page + AT_ROWS;

    (void)state;
    put16(first, get16(page + AT_UPPER) - 2); /* in front of them all */
    assert_broken_on_the_way_to("pear", why);
    put16(first, get16(first) + 1);
    assert_broken_on_the_way_to("pear", why);
    put16(first, PAGE - NODE_KEY + 2); /* its head goes over the end */
    assert_broken_on_the_way_to("pear", why);
    put16(row_at(5, 0) + NODE_KEY_LEN, PAGE); /* and here its key */
    assert_broken_on_the_way_to("pear", why);
    put16(row_at(5, 1), 3000);
    assert_broken_on_the_way_to("pear", why);
    put16(row_at(5, 1) + NODE_FLAGS, TREE); /* there is no tree in a tree */
    assert_broken_on_the_way_to("pear", why);
    put16(row_at(5, 1), 3); /* which leaves a hole */
    assert_broken_on_the_way_to("pear", why);
    put16(page + AT_UPPER, get16(page + AT_UPPER) - 2); /* and so does this */
    assert_broken_on_the_way_to("pear", why);
    put16(first, get16(first + 2)); /* one row twice, and one as long not at all */
    assert_broken_on_the_way_to("pear", "page 5 has rows out of order");
    put16(first, get16(first + 4)); /* another one twice, which is longer */
    assert_broken_on_the_way_to("pear", why);
}

/* ---- in which order -------------------------------------------------------------------------- */

/* In place of the rows of page 5. */
static void leaf_has(const char *const *keys, unsigned n)
{
    page_begin(5, LEAF);
    for (unsigned i = 0; i < n; i++)
        add_text(5, keys[i]);
}

static void page__with_keys_out_of_order_is_not_entered(void **state)
{
    static const char why[] = "page 5 has rows out of order";
    static const char *const empty[] = { "", "pear" };
    static const char *const falling[] = { "pear", "melon" };
    static const char *const twice[] = { "pear", "pear" };
    static const char *const prefix[] = { "pears", "pear" };
    static const char *const below[] = { "kiwi", "pear" };
    static const char *const equal_low[] = { "m", "pear" };
    struct lmdb_tree t;

    (void)state;
    leaf_has(empty, 2);
    assert_broken_on_the_way_to("pear", why);
    leaf_has(falling, 2);
    assert_broken_on_the_way_to("pear", why);
    leaf_has(twice, 2);
    assert_broken_on_the_way_to("pear", why);
    leaf_has(prefix, 2);
    assert_broken_on_the_way_to("pear", why);
    leaf_has(below, 2);
    assert_broken_on_the_way_to("pear", why);
    leaf_has(equal_low, 2); /* the branch's key may be that of the first row */
    t = begin_tree();
    assert_finds(&t, "m", true);
    (void)file_begins(NULL);

    page_begin(4, LEAF);
    add_text(4, "apple");
    add_text(4, "m"); /* belongs to the next page */
    assert_broken_on_the_way_to("apple", "page 4 has rows out of order");
    page_begin(3, BRANCH);
    add_branch(3, "", 4);
    add_branch(3, "m", 5);
    add_branch(3, "m", 5);
    assert_broken_on_the_way_to("apple", "page 3 has rows out of order");
}

/* ---- beside ---------------------------------------------------------------------------------- */

static void page__beside_is_looked_at_as_well(void **state)
{
    struct lmdb_tree t;

    (void)state;
    put64(page_at(5), 7);
    t = begin_tree();
    assert_finds(&t, "cherry", true);
    assert_int_equal(lmdb_tree_next(&t), MDB_CORRUPTED);
    assert_string_equal(t.why, "page 5 is another one");
    (void)file_begins(NULL);
    put64(page_at(4), 7);
    t = begin_tree();
    assert_finds(&t, "melon", true);
    assert_int_equal(lmdb_tree_before(&t), MDB_CORRUPTED);
    assert_string_equal(t.why, "page 4 is another one");
}

/* ---- values with pages of their own ---------------------------------------------------------- */

static void assert_big_row_is_broken(const char *why)
{
    struct lmdb_tree t = begin_tree();
    struct str key, stored;

    assert_finds(&t, "quince", true);
    assert_int_equal(lmdb_tree_row(&t, &key, &stored), MDB_CORRUPTED);
    assert_string_equal(t.why, why);
    (void)file_begins(NULL);
}

static void value__in_pages_that_are_not_its_own_is_not_shown(void **state)
{
    const size_t at = NODE_KEY + 6;

    (void)state;
    put64(row_at(5, 2) + at, 1);
    assert_big_row_is_broken("page 1 does not exist");
    put64(row_at(5, 2) + at, LAST_PAGE + 1);
    assert_big_row_is_broken("page 10 does not exist");
    put64(page_at(6), 7);
    assert_big_row_is_broken("page 6 is another one");
    put16(page_at(6) + AT_FLAGS, LEAF);
    assert_big_row_is_broken("page 6 is another one");
    put32(page_at(6) + AT_LOWER, LAST_PAGE - 6 + 2);
    assert_big_row_is_broken("page 6 is too short for its row");
    put32(page_at(6) + AT_LOWER, 1);
    assert_big_row_is_broken("page 6 is too short for its row");
}

/* ---- where the file is mapped ---------------------------------------------------------------- */

struct any_env {
    struct temp_dir dir;
    struct lmdb_env db;
    uint64_t last_page;
};

/* With four pages: of what lies in them, nothing is asked. */
static void any_env_init(struct any_env *e)
{
    MDB_envinfo info;
    MDB_txn *txn;

    temp_dir_init(&e->dir);
    assert_int_equal(lmdb_env_open(&e->db, e->dir.path, 0, 1u << 20), 0);
    assert_int_equal(mdb_txn_begin(e->db.env, NULL, 0, &txn), 0);
    assert_int_equal(lmdb_env_open_all(&e->db, txn, true), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    assert_int_equal(mdb_env_info(e->db.env, &info), 0);
    e->last_page = info.me_last_pgno;
    assert_true(e->last_page >= 2);
}

static void any_env_deinit(struct any_env *e)
{
    lmdb_env_close(&e->db);
    temp_dir_deinit(&e->dir);
}

static void map__is_found_by_a_page_that_says_its_number(void **state)
{
    struct any_env e;
    struct lmdb_map m;

    (void)state;
    any_env_init(&e);
    put16(page_at(0) + AT_FLAGS, META);
    put32(page_at(0) + AT_MAGIC, MAGIC);
    assert_true(lmdb_map_find(&m, e.db.env, the_record()));
    assert_ptr_equal(m.base, file);
    assert_int_equal(m.page_size, PAGE);
    assert_int_equal(m.last_page, e.last_page);

    put64(page_at(2), 1);
    assert_false(lmdb_map_find(&m, e.db.env, the_record()));
    put64(page_at(2), e.last_page + 1);
    assert_false(lmdb_map_find(&m, e.db.env, the_record()));
    put64(page_at(2), 2);
    put32(page_at(0) + AT_MAGIC, 1);
    assert_false(lmdb_map_find(&m, e.db.env, the_record()));
    put32(page_at(0) + AT_MAGIC, MAGIC);
    put16(page_at(0) + AT_FLAGS, LEAF);
    assert_false(lmdb_map_find(&m, e.db.env, the_record()));
    put16(page_at(0) + AT_FLAGS, META);
    put64(page_at(0), 1);
    assert_false(lmdb_map_find(&m, e.db.env, the_record()));
    any_env_deinit(&e);
}

/* Where it leads may be mapped by nobody. */
static void map__that_would_begin_where_nothing_is_mapped_is_none(void **state)
{
    char *pages =
        mmap(NULL, (size_t)3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct any_env e;
    struct lmdb_map m;

    (void)state;
    assert_ptr_not_equal(pages, MAP_FAILED);
    any_env_init(&e);
    put64(pages + (size_t)2 * PAGE, 2);
    assert_int_equal(munmap(pages, PAGE), 0);
    assert_false(lmdb_map_find(
        &m, e.db.env, (MDB_val){ .mv_size = 1, .mv_data = pages + (size_t)2 * PAGE + 100 }));
    assert_int_equal(munmap(pages + PAGE, (size_t)2 * PAGE), 0);
    any_env_deinit(&e);
}

int main(void)
{
#define FILE_OF(test) cmocka_unit_test_setup(test, file_begins)
    const struct CMUnitTest tests[] = {
        FILE_OF(tree__that_is_sound_is_walked_both_ways),
        FILE_OF(tree__without_a_page_has_no_rows),
        FILE_OF(branch__may_lead_to_one_page_only),
        FILE_OF(record__tells_its_page_and_its_root),
        FILE_OF(names__of_another_page_are_not_believed),
        FILE_OF(names__that_do_not_fit_their_page_are_not_believed),
        FILE_OF(record__that_is_none_is_not_believed),
        FILE_OF(page__that_is_another_one_is_not_entered),
        FILE_OF(page__is_looked_at_anew_where_another_branch_leads_to_it),
        FILE_OF(page__with_a_wrong_head_is_not_entered),
        FILE_OF(page__with_rows_that_do_not_fit_it_is_not_entered),
        FILE_OF(page__with_keys_out_of_order_is_not_entered),
        FILE_OF(page__beside_is_looked_at_as_well),
        FILE_OF(value__in_pages_that_are_not_its_own_is_not_shown),
        FILE_OF(map__is_found_by_a_page_that_says_its_number),
        FILE_OF(map__that_would_begin_where_nothing_is_mapped_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
