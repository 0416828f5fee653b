#include "lmdb_pages.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* A page:  number(8) pad(2) flags(2) lower(2) upper(2) offset(2)... free... node...
 * A node:  low(2) high(2) flags(2) key length(2) key value
 *          low, high: the value's length; in a branch, with flags behind them, a page's number */
#define PAGE_FLAGS 10
#define PAGE_LOWER 12
#define PAGE_UPPER 14
#define PAGE_HEAD 16
#define PAGE_BRANCH 0x01
#define PAGE_LEAF 0x02
#define PAGE_OVERFLOW 0x04
#define PAGE_META 0x08
#define OVERFLOW_PAGES 12 /* (4), in place of lower and upper */
#define META_MAGIC 0xBEEFC0DEu

#define NODE_HIGH 2
#define NODE_FLAGS 4
#define NODE_KEY_LEN 6
#define NODE_HEAD 8
#define NODE_BIG 0x01 /* the value is the number of the page where it begins */
#define NODE_TREE 0x02

#define RECORD_FLAGS 4
#define RECORD_DEPTH 6
#define RECORD_ENTRIES 32
#define RECORD_ROOT 40
#define RECORD_LEN 48
#define NO_PAGE UINT64_MAX

static unsigned u16_at(const char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t u32_at(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t u64_at(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static int broken(struct lmdb_tree *t, uint64_t page, const char *what)
{
    (void)snprintf(t->why, sizeof(t->why), "page %llu %s", (unsigned long long)page, what);
    return MDB_CORRUPTED;
}

/* As LMDB orders keys. */
static int key_order(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* ---- nodes ---------------------------------------------------------------------- */

static const char *node_at(const char *page, unsigned i)
{
    return page + u16_at(page + PAGE_HEAD + (size_t)2 * i);
}

static struct str node_key(const char *node)
{
    return (struct str){ node + NODE_HEAD, u16_at(node + NODE_KEY_LEN) };
}

static size_t node_value_len(const char *node)
{
    return u16_at(node) | (size_t)u16_at(node + NODE_HIGH) << 16;
}

static uint64_t node_page(const char *node)
{
    return node_value_len(node) | (uint64_t)u16_at(node + NODE_FLAGS) << 32;
}

/* What it takes in its page. */
static size_t node_size(const char *node, unsigned kind)
{
    size_t n = NODE_HEAD + u16_at(node + NODE_KEY_LEN);

    if (kind == PAGE_LEAF)
        n += u16_at(node + NODE_FLAGS) & NODE_BIG ? sizeof(uint64_t) : node_value_len(node);
    return n + (n & 1);
}

/* ---- pages ---------------------------------------------------------------------- */

/* The nodes lie side by side from `upper` to the end. Says in *what what is wrong. */
static bool page_is_filled(const char *page, size_t size, unsigned kind, unsigned node_flags,
                           const char **what)
{
    size_t lower = u16_at(page + PAGE_LOWER);
    size_t upper = u16_at(page + PAGE_UPPER);
    size_t used = 0;

    *what = "has a wrong head";
    if (lower <= PAGE_HEAD || lower % 2 != 0 || lower > upper || upper > size)
        return false;
    *what = "has rows that do not fit it";
    for (size_t at = PAGE_HEAD; at < lower; at += 2) {
        size_t offset = u16_at(page + at);
        size_t n;

        if (offset < upper || offset % 2 != 0 || offset + NODE_HEAD > size)
            return false;
        n = node_size(page + offset, kind);
        if (n > size - offset ||
            (kind == PAGE_LEAF && (u16_at(page + offset + NODE_FLAGS) & ~node_flags) != 0))
            return false;
        used += n;
    }
    return used == size - upper;
}

/* The first key of a branch stands for everything before the second; LMDB does not look at it. */
static bool page_is_in_order(const char *page, unsigned kind, struct str low, struct str high)
{
    unsigned n = (unsigned)(u16_at(page + PAGE_LOWER) - PAGE_HEAD) / 2;
    struct str before = low;
    unsigned first = kind == PAGE_BRANCH;

    for (unsigned i = first; i < n; i++) {
        struct str key = node_key(node_at(page, i));
        int order = key_order(before, key);

        if (key.n == 0 || order > 0 || (order == 0 && i > first))
            return false;
        before = key;
    }
    return !high.p || n == first || key_order(before, high) < 0;
}

/* Makes level `i` of the page, unless it is that already. */
static int tree_enter(struct lmdb_tree *t, unsigned i, uint64_t number, struct str low,
                      struct str high)
{
    unsigned kind = i + 1 == t->depth ? PAGE_LEAF : PAGE_BRANCH;
    struct lmdb_level *l = &t->levels[i];
    const char *page;
    const char *what;

    if (number < 2 || number > t->map.last_page) {
        t->n_levels = 0;
        return broken(t, number, "does not exist");
    }
    page = t->map.base + number * t->map.page_size;
    /* The levels above have stayed, so the same low bound is that of the same branch. */
    if (i < t->n_levels && l->page == page && l->low.p == low.p)
        return 0;
    t->n_levels = i;
    if (u64_at(page) != number || u16_at(page + PAGE_FLAGS) != kind)
        return broken(t, number, "is another one");
    if (!page_is_filled(page, t->map.page_size, kind, NODE_BIG, &what))
        return broken(t, number, what);
    if (!page_is_in_order(page, kind, low, high))
        return broken(t, number, "has rows out of order");
    *l = (struct lmdb_level){
        .page = page,
        .n = (u16_at(page + PAGE_LOWER) - PAGE_HEAD) / 2,
        .low = low,
        .high = high,
    };
    t->n_levels = i + 1;
    return 0;
}

/* The page that branch `at` of level i leads to. */
static int tree_descend(struct lmdb_tree *t, unsigned i)
{
    const struct lmdb_level *l = &t->levels[i];
    struct str low = l->at > 0 ? node_key(node_at(l->page, l->at)) : l->low;
    struct str high = l->at + 1 < l->n ? node_key(node_at(l->page, l->at + 1)) : l->high;

    return tree_enter(t, i + 1, node_page(node_at(l->page, l->at)), low, high);
}

/* ---- trees ---------------------------------------------------------------------- */

bool lmdb_map_find(struct lmdb_map *m, MDB_env *env, MDB_val record)
{
    const char *page;
    MDB_envinfo info;
    uint64_t number;
    MDB_stat stat;

    (void)mdb_env_info(env, &info); /* neither fails where there is an environment */
    (void)mdb_env_stat(env, &stat);
    m->page_size = stat.ms_psize;
    m->last_page = info.me_last_pgno;
    page = (const char *)record.mv_data - (uintptr_t)record.mv_data % m->page_size;
    number = u64_at(page);
    if (number < 2 || number > m->last_page)
        return false;
    m->base = page - number * m->page_size;
    /* Only to learn whether that is mapped at all. */
    return msync((void *)m->base, m->page_size, MS_ASYNC) == 0 && u64_at(m->base) == 0 &&
           u16_at(m->base + PAGE_FLAGS) == PAGE_META && u32_at(m->base + PAGE_HEAD) == META_MAGIC;
}

bool lmdb_record_pages(MDB_val record, size_t page_size, uint64_t out[2])
{
    const char *at = record.mv_data;

    if (record.mv_size != RECORD_LEN)
        return false;
    out[0] = u64_at(at - (uintptr_t)at % page_size);
    out[1] = u64_at(at + RECORD_ROOT);
    return true;
}

/* The page of names that was read by LMDB itself. */
static int tree_check_names(struct lmdb_tree *t, MDB_val record)
{
    const char *page = (const char *)record.mv_data - (uintptr_t)record.mv_data % t->map.page_size;
    uint64_t number = u64_at(page);
    const char *what;

    if (number > t->map.last_page || page != t->map.base + number * t->map.page_size ||
        u16_at(page + PAGE_FLAGS) != PAGE_LEAF)
        return broken(t, number, "is another one");
    if (!page_is_filled(page, t->map.page_size, PAGE_LEAF, NODE_TREE, &what))
        return broken(t, number, what);
    if (!page_is_in_order(page, PAGE_LEAF, STR_NONE, STR_NONE))
        return broken(t, number, "has rows out of order");
    return 0;
}

int lmdb_tree_init(struct lmdb_tree *t, const struct lmdb_map *map, MDB_val record)
{
    const char *at = record.mv_data;
    int rc;

    t->map = *map;
    t->n_levels = 0;
    t->why[0] = '\0';
    rc = tree_check_names(t, record);
    if (rc != 0)
        return rc;
    if (record.mv_size != RECORD_LEN)
        return broken(t, 0, "leads to no database");
    t->root = u64_at(at + RECORD_ROOT);
    t->depth = u16_at(at + RECORD_DEPTH);
    t->entries = u64_at(at + RECORD_ENTRIES);
    if (u16_at(at + RECORD_FLAGS) != 0 || t->depth > LMDB_DEPTH_MAX ||
        (t->depth == 0) != (t->root == NO_PAGE) || (t->depth == 0) != (t->entries == 0))
        return broken(t, t->root, "is no root of a database");
    return 0;
}

/* The first node at or behind the key; of a branch, the last one at or before it. */
static unsigned level_search(const struct lmdb_level *l, bool is_branch, struct str key,
                             bool *is_there)
{
    unsigned low = is_branch, high = l->n;

    *is_there = false;
    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        int order = key_order(node_key(node_at(l->page, mid)), key);

        if (order == 0) {
            *is_there = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return is_branch ? low - 1 : low;
}

int lmdb_tree_find(struct lmdb_tree *t, struct str key, bool *is_there)
{
    *is_there = false;
    if (t->depth == 0)
        return MDB_NOTFOUND;
    if (t->n_levels == t->depth) { /* who walks asks for what it was given last */
        const struct lmdb_level *leaf = &t->levels[t->depth - 1];

        if (leaf->at < leaf->n && key_order(node_key(node_at(leaf->page, leaf->at)), key) == 0) {
            *is_there = true;
            return 0;
        }
    }
    for (unsigned i = 0; i < t->depth; i++) {
        bool is_branch = i + 1 < t->depth;
        int rc = i == 0 ? tree_enter(t, 0, t->root, STR_NONE, STR_NONE) : tree_descend(t, i - 1);

        if (rc != 0)
            return rc;
        t->levels[i].at = level_search(&t->levels[i], is_branch, key, is_there);
    }
    return 0;
}

/* To the leaf beside, at its first or last row. */
static int tree_go_beside(struct lmdb_tree *t, bool is_up)
{
    unsigned i = t->depth - 1;

    for (;;) {
        struct lmdb_level *l;

        if (i == 0)
            return MDB_NOTFOUND;
        l = &t->levels[--i];
        if (is_up ? l->at + 1 < l->n : l->at > 0) {
            l->at += is_up ? 1 : -1U;
            break;
        }
    }
    for (; i + 1 < t->depth; i++) {
        int rc = tree_descend(t, i);

        if (rc != 0)
            return rc;
        t->levels[i + 1].at = is_up ? 0 : t->levels[i + 1].n - 1;
    }
    return 0;
}

/* A tree that has gone off its end stands nowhere. */
static int tree_leave(struct lmdb_tree *t, int rc)
{
    if (rc != 0)
        t->n_levels = 0;
    return rc;
}

int lmdb_tree_settle(struct lmdb_tree *t)
{
    const struct lmdb_level *leaf = &t->levels[t->depth - 1];

    REQUIRE(t->n_levels == t->depth);
    return leaf->at < leaf->n ? 0 : tree_leave(t, tree_go_beside(t, true));
}

int lmdb_tree_before(struct lmdb_tree *t)
{
    struct lmdb_level *leaf = &t->levels[t->depth - 1];

    REQUIRE(t->n_levels == t->depth);
    if (leaf->at == 0)
        return tree_leave(t, tree_go_beside(t, false));
    leaf->at--;
    return 0;
}

int lmdb_tree_next(struct lmdb_tree *t)
{
    REQUIRE(t->n_levels == t->depth);
    t->levels[t->depth - 1].at++;
    return lmdb_tree_settle(t);
}

int lmdb_tree_row(struct lmdb_tree *t, struct str *key, struct str *stored)
{
    const struct lmdb_level *leaf = &t->levels[t->depth - 1];
    const char *node;
    const char *page;
    uint64_t number;

    REQUIRE(t->n_levels == t->depth);
    REQUIRE(leaf->at < leaf->n);
    node = node_at(leaf->page, leaf->at);
    *key = node_key(node);
    *stored = (struct str){ key->p + key->n, node_value_len(node) };
    if (!(u16_at(node + NODE_FLAGS) & NODE_BIG))
        return 0;
    number = u64_at(stored->p);
    if (number < 2 || number > t->map.last_page)
        return broken(t, number, "does not exist");
    page = t->map.base + number * t->map.page_size;
    if (u64_at(page) != number || u16_at(page + PAGE_FLAGS) != PAGE_OVERFLOW)
        return broken(t, number, "is another one");
    if (u32_at(page + OVERFLOW_PAGES) > t->map.last_page - number + 1 ||
        u32_at(page + OVERFLOW_PAGES) * t->map.page_size < PAGE_HEAD + stored->n)
        return broken(t, number, "is too short for its row");
    stored->p = page + PAGE_HEAD;
    return 0;
}
