/* The walk: breadth first over all states, each seen once, so that the first way to a fault is a
 * shortest one. */
#include "orderly/base/check.h"
#include "orderly/base/map.h"
#include "orderly/base/mem.h"
#include "world.h"

#define NOBODY UINT32_MAX
#define CHUNK_SIZE (1u << 20)
#define SLOTS_FIRST (1u << 12)

const char *flow_world_text(enum flow_world w)
{
    static const char *const texts[FLOW_WORLD_COUNT] = {
#define X(name, text) [FLOW_WORLD_##name] = text,
        FLOW_WORLD_MAP(X)
#undef X
    };

    REQUIRE((unsigned)w < FLOW_WORLD_COUNT);
    return texts[w];
}

const char *flow_property_text(enum flow_property p)
{
    static const char *const texts[FLOW_PROPERTY_COUNT] = {
#define X(name, text) [FLOW_##name] = text,
        FLOW_PROPERTY_MAP(X)
#undef X
    };

    REQUIRE((unsigned)p < FLOW_PROPERTY_COUNT);
    return texts[p];
}

struct node {
    const uint8_t *packed; /* in a chunk */
    uint32_t parent;       /* NOBODY: the first */
    struct step step;      /* that led here from the parent */
    bool is_end;
};

/* Where a property is broken: in a state, or by a step from it. */
struct fault {
    bool is_found, is_step;
    uint32_t node;
    struct step step;
};

struct chunk {
    struct chunk *next;
    size_t n;
    uint8_t bytes[CHUNK_SIZE];
};

struct slot {
    uint32_t taken; /* 1 + node; 0: free */
    uint32_t hash;  /* its upper half, so that most others are not looked at */
};

struct edge {
    uint32_t from, to;
};

struct flow_walk {
    struct world world;
    struct flow_walk_counts counts;
    struct fault faults[FLOW_PROPERTY_COUNT];
    uint32_t until; /* bits of properties: the first fault of one of them ends the walk */

    struct chunk *chunks; /* newest first */
    struct node *nodes;
    size_t nodes_cap;
    struct edge *edges;
    size_t n_edges, edges_cap;
    struct slot *slots; /* a power of two of them, half of them free at least */
    size_t n_slots;
};

struct flow_walk *flow_walk_create(const struct flow *f, enum flow_world world,
                                   struct flow_coverage *used)
{
    struct flow_walk *w = mem_zalloc(sizeof(*w));

    REQUIRE(f->n_rows <= FLOW_ROWS_MAX);
    REQUIRE(f->n_reactions <= FLOW_REACTIONS_MAX);
    world_init(&w->world, f, world, used);
    w->n_slots = SLOTS_FIRST;
    w->slots = mem_zalloc(w->n_slots * sizeof(*w->slots));
    return w;
}

void flow_walk_destroy(struct flow_walk *w)
{
    if (!w)
        return;
    while (w->chunks) {
        struct chunk *next = w->chunks->next;

        mem_free(w->chunks);
        w->chunks = next;
    }
    mem_free(w->nodes);
    mem_free(w->edges);
    mem_free(w->slots);
    world_deinit(&w->world);
    mem_free(w);
}

/* ---- states seen ------------------------------------------------------------------------------ */

static size_t packed_size(const uint8_t *packed)
{
    const uint8_t *n = packed + offsetof(struct state, n);
    size_t size = offsetof(struct state, lanes);

    for (unsigned l = 0; l < WORLD_CONTEXTS; l++)
        size += n[l] * sizeof(struct said);
    return size;
}

/* No key to keep from anybody: the states are our own, and the same ones each time. */
static uint64_t hash_of(const uint8_t *packed, size_t n)
{
    static const struct map_key none;

    return siphash(&none, (struct str){ (const char *)packed, n });
}

static void slots_grow(struct flow_walk *w)
{
    size_t n_slots = w->n_slots * 2;
    struct slot *slots = mem_zalloc(n_slots * sizeof(*slots));

    for (size_t i = 0; i < w->counts.n_states; i++) {
        const uint8_t *packed = w->nodes[i].packed;
        uint64_t hash = hash_of(packed, packed_size(packed));
        size_t at = hash & (n_slots - 1);

        while (slots[at].taken)
            at = (at + 1) & (n_slots - 1);
        slots[at] = (struct slot){ (uint32_t)i + 1, (uint32_t)(hash >> 32) };
    }
    mem_free(w->slots);
    w->slots = slots;
    w->n_slots = n_slots;
}

static const uint8_t *keep(struct flow_walk *w, const uint8_t *packed, size_t n)
{
    struct chunk *c = w->chunks;
    uint8_t *kept;

    if (!c || c->n + n > CHUNK_SIZE) {
        c = mem_alloc(sizeof(*c));
        c->next = w->chunks;
        c->n = 0;
        w->chunks = c;
    }
    kept = c->bytes + c->n;
    memcpy(kept, packed, n);
    c->n += n;
    return kept;
}

/* True: it is new. */
static bool see(struct flow_walk *w, const struct state *s, uint32_t parent,
                const struct step *step, uint32_t *node)
{
    uint8_t packed[WORLD_PACKED_MAX];
    size_t n = world_pack(s, packed);
    uint64_t hash = hash_of(packed, n);
    size_t at = hash & (w->n_slots - 1);

    for (; w->slots[at].taken; at = (at + 1) & (w->n_slots - 1)) {
        const struct slot *slot = &w->slots[at];
        const uint8_t *known = w->nodes[slot->taken - 1].packed;

        if (slot->hash == (uint32_t)(hash >> 32) && packed_size(known) == n &&
            memcmp(known, packed, n) == 0) {
            *node = slot->taken - 1;
            return false;
        }
    }
    if (w->counts.n_states == w->nodes_cap) {
        w->nodes_cap = w->nodes_cap ? w->nodes_cap * 2 : SLOTS_FIRST;
        w->nodes = mem_realloc(w->nodes, w->nodes_cap * sizeof(*w->nodes));
    }
    *node = (uint32_t)w->counts.n_states++;
    w->nodes[*node] = (struct node){ .packed = keep(w, packed, n), .parent = parent };
    if (step)
        w->nodes[*node].step = *step;
    w->slots[at] = (struct slot){ *node + 1, (uint32_t)(hash >> 32) };
    if (w->counts.n_states * 2 > w->n_slots)
        slots_grow(w);
    return true;
}

static void add_edge(struct flow_walk *w, uint32_t from, uint32_t to)
{
    if (w->n_edges == w->edges_cap) {
        w->edges_cap = w->edges_cap ? w->edges_cap * 2 : SLOTS_FIRST;
        w->edges = mem_realloc(w->edges, w->edges_cap * sizeof(*w->edges));
    }
    w->edges[w->n_edges++] = (struct edge){ from, to };
}

/* ---- walking ---------------------------------------------------------------------------------- */

static void note_faults(struct flow_walk *w, uint32_t node, const struct step *step)
{
    for (unsigned p = 0; p < FLOW_PROPERTY_COUNT; p++) {
        struct fault *f = &w->faults[p];

        if (!(w->world.faults & 1u << p) || f->is_found)
            continue;
        *f = (struct fault){ .is_found = true, .is_step = step != NULL, .node = node };
        if (step)
            f->step = *step;
    }
}

static void look_at(struct flow_walk *w, const struct state *s, uint32_t node)
{
    world_look(&w->world, s, 0);
    note_faults(w, node, NULL);
    w->nodes[node].is_end =
        order_status_is_final((enum order_status)s->status) && state_is_quiet(s);
    w->counts.n_ends += w->nodes[node].is_end;
}

static bool goes_on(const struct flow_walk *w)
{
    for (unsigned p = 0; p < FLOW_PROPERTY_COUNT; p++)
        if (w->until & 1u << p && w->faults[p].is_found)
            return false;
    return true;
}

static void go_on_from(struct flow_walk *w, uint32_t node)
{
    struct step steps[WORLD_STEPS_MAX];
    struct state s, next;
    unsigned n;

    world_unpack(w->nodes[node].packed, &s);
    n = world_steps(&w->world, &s, steps);
    for (unsigned i = 0; i < n && goes_on(w); i++) {
        uint32_t to;

        world_step(&w->world, &s, &steps[i], &next);
        w->counts.n_transitions++;
        note_faults(w, node, &steps[i]);
        if (see(w, &next, node, &steps[i], &to))
            look_at(w, &next, to);
        add_edge(w, node, to);
    }
}

/* From the ends backwards. Most steps lead from earlier to later states, so few rounds do. */
static void look_for_ways_on(struct flow_walk *w)
{
    size_t n = w->counts.n_states;
    uint8_t *has_way = mem_zalloc(n + 1);
    bool goes_on = true;

    for (size_t i = 0; i < n; i++)
        has_way[i] = w->nodes[i].is_end;
    while (goes_on) {
        goes_on = false;
        for (size_t i = w->n_edges; i-- > 0;) {
            const struct edge *e = &w->edges[i];

            if (!has_way[e->to] || has_way[e->from])
                continue;
            has_way[e->from] = true;
            goes_on = true;
        }
    }
    for (size_t i = 0; i < n && !w->faults[FLOW_WAY_ON].is_found; i++)
        if (!has_way[i])
            w->faults[FLOW_WAY_ON] = (struct fault){ .is_found = true, .node = (uint32_t)i };
    mem_free(has_way);
}

static unsigned depth_of(const struct flow_walk *w, uint32_t node)
{
    unsigned depth = 0;

    while ((node = w->nodes[node].parent) != NOBODY)
        depth++;
    return depth;
}

void flow_walk_run(struct flow_walk *w, size_t n_states_max, uint32_t until)
{
    struct state s;
    uint32_t node;

    REQUIRE(w->counts.n_states == 0);
    REQUIRE(n_states_max <= FLOW_WALK_STATES_MAX);
    if (n_states_max == 0)
        n_states_max = FLOW_WALK_STATES_MAX;
    w->until = until | 1u << FLOW_WHOLE;
    world_begin(&w->world, &s);
    (void)see(w, &s, NOBODY, NULL, &node);
    look_at(w, &s, node);
    for (size_t i = 0; i < w->counts.n_states && goes_on(w); i++) {
        go_on_from(w, (uint32_t)i);
        if (w->counts.n_states > n_states_max && goes_on(w)) {
            w->world.faults = 1u << FLOW_WHOLE;
            note_faults(w, (uint32_t)i, NULL);
        }
    }
    w->counts.depth = depth_of(w, (uint32_t)w->counts.n_states - 1);
    if (goes_on(w))
        look_for_ways_on(w);
}

const struct flow_walk_counts *flow_walk_counts(const struct flow_walk *w)
{
    return &w->counts;
}

bool flow_walk_holds(const struct flow_walk *w, enum flow_property p)
{
    REQUIRE((unsigned)p < FLOW_PROPERTY_COUNT);
    return !w->faults[p].is_found;
}

/* ---- telling ---------------------------------------------------------------------------------- */

static void tell_step(struct flow_walk *w, unsigned number, const struct state *s,
                      const struct step *step, struct state *next)
{
    buf_printf(w->world.tell, "  %3u  ", number);
    world_step(&w->world, s, step, next);
    buf_printf(w->world.tell, "\n");
}

static unsigned tell_way(struct flow_walk *w, uint32_t node, struct state *s)
{
    unsigned number;
    struct state before;

    if (w->nodes[node].parent == NOBODY) {
        world_unpack(w->nodes[node].packed, s);
        buf_printf(w->world.tell, "  %3u  the order is placed, " STR_FMT "\n", 1,
                   STR_ARG(order_status_name((enum order_status)s->status)));
        return 1;
    }
    number = tell_way(w, w->nodes[node].parent, &before) + 1;
    tell_step(w, number, &before, &w->nodes[node].step, s);
    return number;
}

void flow_walk_tell(struct flow_walk *w, enum flow_property p, struct buf *out)
{
    const struct fault *f = &w->faults[p];
    struct flow_coverage used = *w->world.used; /* telling is not walking */
    struct state s, next;
    unsigned number;

    REQUIRE(f->is_found);
    w->world.tell = out;
    number = tell_way(w, f->node, &s);
    if (f->is_step) {
        tell_step(w, number + 1, &s, &f->step, &next);
    } else if (p == FLOW_WAY_ON) {
        buf_printf(out, "      the order is " STR_FMT ", and nothing that may happen ends it\n",
                   STR_ARG(order_status_name((enum order_status)s.status)));
    } else if (p == FLOW_WHOLE) {
        buf_printf(out, "      there are more states than the walk has room for\n");
    } else {
        world_look(&w->world, &s, 1u << p);
    }
    w->world.tell = NULL;
    *w->world.used = used;
}
