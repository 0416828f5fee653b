/* Shape
 *
 *   Every node has up to BTREE_WIDTH slots. A leaf's slot is an entry (key and value in one
 *   allocation). An inner node's slot is a child and the separator below which the child holds no
 *   key; slot 0 has no separator, its child takes everything that is less than separator 1.
 *
 *              [ - | m | t ]               a key goes to the last slot whose separator is <= it
 *              /     |     \
 *        [a c f] <-> [m o] <-> [t x]       leaves are linked both ways
 *
 *   A separator is the shortest string that tells the two leaves apart, not a key: deleting a key
 *   needs no repair above the leaf.
 *
 * Growing: a full node is split in the middle, except that an insert at its end begins a new node,
 * and an insert right behind the previous one splits there. Runs of ascending keys so leave full
 * nodes behind.
 *
 * Shrinking: a leaf that falls below a quarter is merged with a neighbour under the same parent if
 * both then fill at most half. An inner node goes away when it has no child left, and a root with
 * one child makes that child the root. This keeps no minimum of slots as the textbook does; it need
 * not, because rows here go away about in the order in which they came. */
#include "btree.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

/* A test builds this file with narrower nodes. */
#ifndef BTREE_WIDTH
#define BTREE_WIDTH 64u
#endif
#define BTREE_HEIGHT_MAX 24u

struct btree_entry {
    uint32_t value_len, value_cap;
    uint16_t key_len;
    char bytes[]; /* the key, then the value */
};

struct btree_node {
    uint16_t n;
    bool is_leaf;
    uint8_t next_insert;                   /* one behind the slot of the last insert */
    struct btree_node *prev, *next;        /* leaves only */
    uint64_t prefix[BTREE_WIDTH];          /* of keys[i] */
    struct btree_entry *keys[BTREE_WIDTH]; /* leaf: the rows; inner: separators, keys[0] is NULL */
    struct btree_node *children[];         /* inner: BTREE_WIDTH of them */
};

/* The way from the root to a leaf: slot[i] is where it leaves node[i]. */
struct btree_path {
    struct btree_node *node[BTREE_HEIGHT_MAX];
    unsigned slot[BTREE_HEIGHT_MAX];
};

/* ---- keys ------------------------------------------------------------------ */

/* The first eight bytes as a number, missing ones as zero. Unequal prefixes order as their keys do;
 * equal ones say nothing ("a" and "a\0"). */
static uint64_t prefix_of(struct str key)
{
    uint64_t v = 0;

    if (key.n >= 8)
        return bytes_get_u64(key.p);
    for (size_t i = 0; i < key.n; i++)
        v |= (uint64_t)(uint8_t)key.p[i] << (56 - 8 * i);
    return v;
}

static int str_compare(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static struct str entry_key(const struct btree_entry *e)
{
    return (struct str){ e->bytes, e->key_len };
}

static struct str entry_value(const struct btree_entry *e)
{
    return (struct str){ e->bytes + e->key_len, e->value_len };
}

static size_t entry_size(const struct btree_entry *e)
{
    return sizeof(*e) + e->key_len + e->value_cap;
}

static struct btree_entry *entry_create(struct btree *t, struct str key, struct str value)
{
    struct btree_entry *e;

    REQUIRE(value.n <= UINT32_MAX);
    e = mem_alloc(sizeof(*e) + key.n + value.n);
    e->key_len = (uint16_t)key.n;
    e->value_len = e->value_cap = (uint32_t)value.n;
    memcpy(e->bytes, key.p, key.n);
    if (value.n)
        memcpy(e->bytes + key.n, value.p, value.n);
    t->bytes += entry_size(e);
    return e;
}

static void entry_destroy(struct btree *t, struct btree_entry *e)
{
    if (!e)
        return;
    t->bytes -= entry_size(e);
    mem_free(e);
}

/* The shortest beginning of `high` that is still greater than `low`. */
static struct str separator_between(struct str low, struct str high)
{
    size_t n = 0;

    while (n < low.n && low.p[n] == high.p[n])
        n++;
    REQUIRE(n < high.n);
    return (struct str){ high.p, n + 1 };
}

/* ---- nodes ----------------------------------------------------------------- */

static size_t node_size(bool is_leaf)
{
    size_t children = is_leaf ? 0 : BTREE_WIDTH * sizeof(struct btree_node *);

    return sizeof(struct btree_node) + children;
}

static struct btree_node *node_create(struct btree *t, bool is_leaf)
{
    struct btree_node *node = mem_alloc(node_size(is_leaf));

    node->n = 0;
    node->is_leaf = is_leaf;
    node->next_insert = 0;
    node->prev = node->next = NULL;
    t->bytes += node_size(is_leaf);
    return node;
}

static void node_destroy(struct btree *t, struct btree_node *node)
{
    t->bytes -= node_size(node->is_leaf);
    mem_free(node);
}

/* The first slot from `from` on whose key is >= key (or_equal false) or > key (true). */
static unsigned node_bound(const struct btree_node *node, unsigned from, struct str key,
                           bool skip_equal)
{
    uint64_t prefix = prefix_of(key);
    unsigned n = node->n - from;

    while (n > 0) {
        unsigned half = n / 2;
        unsigned i = from + half;
        bool is_before;

        if (node->prefix[i] != prefix) {
            is_before = node->prefix[i] < prefix;
        } else {
            int c = str_compare(entry_key(node->keys[i]), key);

            is_before = c < 0 || (c == 0 && skip_equal);
        }
        if (is_before) {
            from = i + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return from;
}

static bool leaf_has(const struct btree_node *leaf, unsigned i, struct str key)
{
    return i < leaf->n && str_eq(entry_key(leaf->keys[i]), key);
}

static void node_open_slot(struct btree_node *node, unsigned i)
{
    size_t behind = node->n - i;

    REQUIRE(node->n < BTREE_WIDTH);
    memmove(&node->prefix[i + 1], &node->prefix[i], behind * sizeof(node->prefix[0]));
    memmove(&node->keys[i + 1], &node->keys[i], behind * sizeof(struct btree_entry *));
    if (!node->is_leaf)
        memmove(&node->children[i + 1], &node->children[i], behind * sizeof(struct btree_node *));
    node->n++;
}

static void node_close_slot(struct btree_node *node, unsigned i)
{
    size_t behind = node->n - i - 1u;

    memmove(&node->prefix[i], &node->prefix[i + 1], behind * sizeof(node->prefix[0]));
    memmove(&node->keys[i], &node->keys[i + 1], behind * sizeof(struct btree_entry *));
    if (!node->is_leaf)
        memmove(&node->children[i], &node->children[i + 1], behind * sizeof(struct btree_node *));
    node->n--;
}

static void node_set(struct btree_node *node, unsigned i, struct btree_entry *key,
                     struct btree_node *child)
{
    node->keys[i] = key;
    node->prefix[i] = key ? prefix_of(entry_key(key)) : 0;
    if (!node->is_leaf)
        node->children[i] = child;
}

static void node_insert(struct btree_node *node, unsigned i, struct btree_entry *key,
                        struct btree_node *child)
{
    node_open_slot(node, i);
    node_set(node, i, key, child);
    node->next_insert = (uint8_t)(i + 1);
}

/* Moves the slots from `from` on to the end of `to`. */
static void node_move_slots(struct btree_node *to, struct btree_node *node, unsigned from)
{
    size_t n = node->n - from;

    REQUIRE(to->n + n <= BTREE_WIDTH);
    memcpy(&to->prefix[to->n], &node->prefix[from], n * sizeof(node->prefix[0]));
    memcpy(&to->keys[to->n], &node->keys[from], n * sizeof(struct btree_entry *));
    if (!node->is_leaf)
        memcpy(&to->children[to->n], &node->children[from], n * sizeof(struct btree_node *));
    to->n = (uint16_t)(to->n + n);
    node->n = (uint16_t)from;
}

/* ---- finding --------------------------------------------------------------- */

static unsigned inner_slot(const struct btree_node *node, struct str key)
{
    return node_bound(node, 1, key, true) - 1;
}

static struct btree_node *tree_leaf(const struct btree *t, struct str key)
{
    struct btree_node *node = t->root;

    while (!node->is_leaf)
        node = node->children[inner_slot(node, key)];
    return node;
}

static struct btree_node *tree_descend(const struct btree *t, struct str key,
                                       struct btree_path *path)
{
    struct btree_node *node = t->root;

    for (unsigned level = 0; level < t->height; level++) {
        path->node[level] = node;
        path->slot[level] = inner_slot(node, key);
        node = node->children[path->slot[level]];
    }
    return node;
}

bool btree_get(const struct btree *t, struct str key, struct str *value)
{
    const struct btree_node *leaf = tree_leaf(t, key);
    unsigned i = node_bound(leaf, 0, key, false);

    if (!leaf_has(leaf, i, key))
        return false;
    *value = entry_value(leaf->keys[i]);
    return true;
}

bool btree_seek(const struct btree *t, enum btree_seek how, struct str key, struct str *found_key,
                struct str *value)
{
    const struct btree_node *leaf = tree_leaf(t, key);
    unsigned i = node_bound(leaf, 0, key, how == BTREE_GT || how == BTREE_LE);

    if (how == BTREE_GE || how == BTREE_GT) {
        if (i == leaf->n) {
            leaf = leaf->next;
            i = 0;
        }
    } else if (i > 0) {
        i--;
    } else {
        leaf = leaf->prev;
        i = leaf ? leaf->n - 1u : 0;
    }
    if (!leaf || i >= leaf->n)
        return false;
    *found_key = entry_key(leaf->keys[i]);
    *value = entry_value(leaf->keys[i]);
    return true;
}

/* ---- putting --------------------------------------------------------------- */

static void tree_grow_root(struct btree *t, struct btree_path *path)
{
    struct btree_node *root = node_create(t, false);

    INVARIANT(t->height < BTREE_HEIGHT_MAX);
    memmove(&path->node[1], &path->node[0], t->height * sizeof(struct btree_node *));
    memmove(&path->slot[1], &path->slot[0], t->height * sizeof(path->slot[0]));
    node_insert(root, 0, NULL, t->root);
    path->node[0] = root;
    path->slot[0] = 0;
    t->root = root;
    t->height++;
}

/* Where a full node that gets an insert at slot i is cut. */
static unsigned node_cut(const struct btree_node *node, unsigned i)
{
    if (i == node->n)
        return i;
    return i > 0 && i == node->next_insert ? i : BTREE_WIDTH / 2;
}

/* Puts `right` and its separator behind the slot by which the path left the node on `level`,
 * splitting upwards as far as it must. */
static void tree_link_right(struct btree *t, struct btree_path *path, unsigned level,
                            struct btree_entry *separator, struct btree_node *right)
{
    for (;; level--) {
        struct btree_node *node = path->node[level];
        unsigned i = path->slot[level] + 1;
        struct btree_node *sibling;
        struct btree_entry *up;
        unsigned cut;

        if (node->n < BTREE_WIDTH) {
            node_insert(node, i, separator, right);
            return;
        }
        cut = node_cut(node, i);
        sibling = node_create(t, false);
        node_move_slots(sibling, node, cut);
        if (i < cut || (i == cut && sibling->n > 0)) {
            node_insert(node, i, separator, right);
            up = sibling->keys[0];
            node_set(sibling, 0, NULL, sibling->children[0]);
        } else if (sibling->n == 0) {
            /* An inner node of one child: its separator goes up, slot 0 needs none. */
            up = separator;
            node_insert(sibling, 0, NULL, right);
        } else {
            up = sibling->keys[0];
            node_set(sibling, 0, NULL, sibling->children[0]);
            node_insert(sibling, i - cut, separator, right);
        }
        if (level == 0) {
            tree_grow_root(t, path);
            level = 1; /* the new root is on level 0 */
        }
        separator = up;
        right = sibling;
    }
}

/* Inserts into a full leaf. */
static void tree_split_leaf(struct btree *t, struct btree_path *path, struct btree_node *leaf,
                            unsigned i, struct btree_entry *e)
{
    struct btree_node *right = node_create(t, true);
    unsigned cut = node_cut(leaf, i);
    struct str separator;

    node_move_slots(right, leaf, cut);
    if (i < cut || (i == cut && right->n > 0))
        node_insert(leaf, i, e, NULL);
    else
        node_insert(right, i - cut, e, NULL);
    right->prev = leaf;
    right->next = leaf->next;
    if (leaf->next)
        leaf->next->prev = right;
    else
        t->last = right;
    leaf->next = right;
    separator = separator_between(entry_key(leaf->keys[leaf->n - 1]), entry_key(right->keys[0]));
    if (t->height == 0)
        tree_grow_root(t, path);
    tree_link_right(t, path, t->height - 1, entry_create(t, separator, STR_NONE), right);
}

static void leaf_replace(struct btree *t, struct btree_node *leaf, unsigned i, struct str value)
{
    struct btree_entry *e = leaf->keys[i];

    /* In place when it fits and does not waste more than half. */
    if (value.n <= e->value_cap && value.n >= e->value_cap / 2) {
        if (value.n)
            memcpy(e->bytes + e->key_len, value.p, value.n);
        e->value_len = (uint32_t)value.n;
        return;
    }
    leaf->keys[i] = entry_create(t, entry_key(e), value);
    entry_destroy(t, e);
}

/* True if the key lies behind every other. */
static bool is_append(const struct btree_node *last, struct str key)
{
    uint64_t prefix = prefix_of(key);

    if (last->n == 0 || last->prefix[last->n - 1] != prefix)
        return last->n > 0 && last->prefix[last->n - 1] < prefix;
    return str_compare(entry_key(last->keys[last->n - 1]), key) < 0;
}

bool btree_put(struct btree *t, struct str key, struct str value)
{
    struct btree_path path;
    struct btree_node *leaf;
    unsigned i;

    REQUIRE(key.n > 0);
    REQUIRE(key.n <= BTREE_KEY_MAX);
    if (t->last->n < BTREE_WIDTH && is_append(t->last, key)) {
        node_insert(t->last, t->last->n, entry_create(t, key, value), NULL);
        t->len++;
        return true;
    }
    leaf = tree_descend(t, key, &path);
    i = node_bound(leaf, 0, key, false);
    if (leaf_has(leaf, i, key)) {
        leaf_replace(t, leaf, i, value);
        return false;
    }
    if (leaf->n < BTREE_WIDTH)
        node_insert(leaf, i, entry_create(t, key, value), NULL);
    else
        tree_split_leaf(t, &path, leaf, i, entry_create(t, key, value));
    t->len++;
    return true;
}

/* ---- deleting -------------------------------------------------------------- */

static void tree_unlink_leaf(struct btree *t, struct btree_node *leaf)
{
    if (leaf->prev)
        leaf->prev->next = leaf->next;
    if (leaf->next)
        leaf->next->prev = leaf->prev;
    else
        t->last = leaf->prev;
    node_destroy(t, leaf);
}

/* Takes slot i out of the inner node on `level`, and the nodes that this leaves without a child. */
static void tree_remove_slot(struct btree *t, struct btree_path *path, unsigned level, unsigned i)
{
    for (;;) {
        struct btree_node *node = path->node[level];

        entry_destroy(t, node->keys[i]);
        node_close_slot(node, i);
        node->next_insert = 0;
        if (node->n > 0) {
            if (i == 0) {
                entry_destroy(t, node->keys[0]);
                node_set(node, 0, NULL, node->children[0]);
            }
            break;
        }
        INVARIANT(level > 0); /* a root has two children at least, see below */
        node_destroy(t, node);
        level--;
        i = path->slot[level];
    }
    while (t->height > 0 && t->root->n == 1) {
        struct btree_node *root = t->root;

        t->root = root->children[0];
        node_destroy(t, root);
        t->height--;
    }
}

static void tree_shrink_leaf(struct btree *t, struct btree_path *path, struct btree_node *leaf)
{
    struct btree_node *parent;
    unsigned i;

    if (t->height == 0)
        return;
    parent = path->node[t->height - 1];
    i = path->slot[t->height - 1];
    if (leaf->n == 0) {
        tree_unlink_leaf(t, leaf);
        tree_remove_slot(t, path, t->height - 1, i);
        return;
    }
    if (leaf->n >= BTREE_WIDTH / 4)
        return;
    /* Merge with the neighbour on the left, or else with that on the right; the right one goes. */
    for (unsigned left = i > 0 ? i - 1 : 0; left <= i && left + 1u < parent->n; left++) {
        struct btree_node *a = parent->children[left];
        struct btree_node *b = parent->children[left + 1];

        if (a->n + b->n > BTREE_WIDTH / 2)
            continue;
        a->next_insert = 0;
        node_move_slots(a, b, 0);
        tree_unlink_leaf(t, b);
        tree_remove_slot(t, path, t->height - 1, left + 1);
        return;
    }
}

bool btree_delete(struct btree *t, struct str key)
{
    struct btree_path path;
    struct btree_node *leaf = tree_descend(t, key, &path);
    unsigned i = node_bound(leaf, 0, key, false);

    if (!leaf_has(leaf, i, key))
        return false;
    entry_destroy(t, leaf->keys[i]);
    node_close_slot(leaf, i);
    leaf->next_insert = 0;
    t->len--;
    tree_shrink_leaf(t, &path, leaf);
    return true;
}

/* ---- life ------------------------------------------------------------------ */

void btree_init(struct btree *t)
{
    *t = (struct btree){ 0 };
    t->root = t->last = node_create(t, true);
}

static void node_destroy_all(struct btree *t, struct btree_node *node)
{
    for (unsigned i = 0; i < node->n; i++) {
        entry_destroy(t, node->keys[i]);
        if (!node->is_leaf)
            node_destroy_all(t, node->children[i]);
    }
    node_destroy(t, node);
}

void btree_deinit(struct btree *t)
{
    node_destroy_all(t, t->root);
    ENSURE(t->bytes == 0);
    *t = (struct btree){ 0 };
}

/* ---- checking -------------------------------------------------------------- */

struct btree_tally {
    size_t rows, bytes;
    const struct btree_node *leaf; /* the last one seen */
};

/* All keys of the node lie in [low, high); NULL is no fence. */
static void node_check(const struct btree_node *node, unsigned levels_below,
                       const struct btree_entry *low, const struct btree_entry *high,
                       struct btree_tally *tally)
{
    INVARIANT(node->is_leaf == (levels_below == 0));
    INVARIANT(node->n <= BTREE_WIDTH);
    tally->bytes += node_size(node->is_leaf);
    for (unsigned i = 0; i < node->n; i++) {
        const struct btree_entry *e = node->keys[i];

        if (!e) {
            INVARIANT(!node->is_leaf);
            INVARIANT(i == 0);
            continue;
        }
        tally->bytes += entry_size(e);
        INVARIANT(node->prefix[i] == prefix_of(entry_key(e)));
        INVARIANT(!low || str_compare(entry_key(low), entry_key(e)) <= 0);
        INVARIANT(!high || str_compare(entry_key(e), entry_key(high)) < 0);
        INVARIANT(i == 0 || !node->keys[i - 1] ||
                  str_compare(entry_key(node->keys[i - 1]), entry_key(e)) < 0);
    }
    if (node->is_leaf) {
        INVARIANT(node->prev == tally->leaf);
        INVARIANT(!tally->leaf || tally->leaf->next == node);
        tally->leaf = node;
        tally->rows += node->n;
        return;
    }
    INVARIANT(node->n > 0);
    INVARIANT(node->keys[0] == NULL);
    for (unsigned i = 0; i < node->n; i++)
        node_check(node->children[i], levels_below - 1, i > 0 ? node->keys[i] : low,
                   i + 1u < node->n ? node->keys[i + 1] : high, tally);
}

void btree_check(const struct btree *t)
{
    struct btree_tally tally = { 0 };

    node_check(t->root, t->height, NULL, NULL, &tally);
    INVARIANT(tally.leaf == t->last);
    INVARIANT(t->last->next == NULL);
    INVARIANT(tally.rows == t->len);
    INVARIANT(tally.bytes == t->bytes);
    INVARIANT(t->height == 0 || t->root->n > 1);
}
