#include "held.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

/* Acked messages may wait behind one that is not, several times as many as may wait for their ack. */
#define HELD_PER_UNACKED 4u
#define HELD_LEAST 1024u
#define SLOT_BITS 19 /* of a handle; 4 * 65535 slots fit */
#define NO_PARTITION SIZE_MAX

struct held_message {
    uint64_t handle;  /* 0: acked, or free */
    int64_t end;      /* the place behind it and behind what was passed over after it */
    size_t partition; /* index; partitions never move. NO_PARTITION: it was revoked */
    uint32_t next;
};

void held_init(struct held *h, unsigned unacked_max)
{
    uint32_t max = unacked_max * HELD_PER_UNACKED;

    REQUIRE(unacked_max >= 1);
    REQUIRE(unacked_max <= 65535);
    *h = (struct held){ .max = max < HELD_LEAST ? HELD_LEAST : max, .unacked_max = unacked_max };
    h->messages = mem_zalloc(h->max * sizeof(*h->messages));
    h->next_handle = 1;
    held_clear(h);
}

void held_deinit(struct held *h)
{
    mem_free(h->messages);
    mem_free(h->partitions);
}

void held_clear(struct held *h)
{
    for (uint32_t i = 0; i < h->max; i++)
        h->messages[i] = (struct held_message){ .next = i + 1 < h->max ? i + 1 : HELD_NONE };
    h->free = 0;
    h->n_unacked = 0;
    h->n_partitions = 0;
}

static struct held_partition *find(const struct held *h, int32_t partition)
{
    for (size_t i = 0; i < h->n_partitions; i++)
        if (h->partitions[i].id == partition)
            return &h->partitions[i];
    return NULL;
}

void held_assign(struct held *h, int32_t partition)
{
    struct held_partition *p = find(h, partition);

    if (!p) {
        h->partitions = mem_realloc(h->partitions, (h->n_partitions + 1) * sizeof(*h->partitions));
        p = &h->partitions[h->n_partitions++];
    } else if (p->is_assigned) {
        return;
    }
    *p = (struct held_partition){ .id = partition,
                                  .is_assigned = true,
                                  .first = HELD_NONE,
                                  .last = HELD_NONE,
                                  .place = -1,
                                  .committed = -1 };
}

static void release(struct held *h, uint32_t slot)
{
    h->messages[slot] = (struct held_message){ .next = h->free };
    h->free = slot;
}

static uint32_t take_first(struct held *h, struct held_partition *p)
{
    uint32_t slot = p->first;

    p->first = h->messages[slot].next;
    if (p->first == HELD_NONE)
        p->last = HELD_NONE;
    return slot;
}

void held_revoke(struct held *h, int32_t partition)
{
    struct held_partition *p = find(h, partition);

    if (!p)
        return;
    while (p->first != HELD_NONE) {
        uint32_t slot = take_first(h, p);

        if (h->messages[slot].handle)
            h->messages[slot].partition = NO_PARTITION;
        else
            release(h, slot);
    }
    p->is_assigned = false;
}

bool held_has_room(const struct held *h)
{
    return h->n_unacked < h->unacked_max && h->free != HELD_NONE;
}

uint64_t held_add(struct held *h, int32_t partition, int64_t offset)
{
    struct held_partition *p = find(h, partition);
    uint32_t slot = h->free;
    struct held_message *m;

    if (!p || !p->is_assigned)
        return 0;
    REQUIRE(held_has_room(h));
    m = &h->messages[slot];
    h->free = m->next;
    *m = (struct held_message){ .handle = h->next_handle++ << SLOT_BITS | slot,
                                .end = offset + 1,
                                .partition = (size_t)(p - h->partitions),
                                .next = HELD_NONE };
    if (p->last == HELD_NONE)
        p->first = slot;
    else
        h->messages[p->last].next = slot;
    p->last = slot;
    h->n_unacked++;
    return m->handle;
}

void held_pass(struct held *h, int32_t partition, int64_t offset)
{
    struct held_partition *p = find(h, partition);

    if (!p || !p->is_assigned)
        return;
    if (p->last == HELD_NONE)
        p->place = offset + 1;
    else
        h->messages[p->last].end = offset + 1;
}

bool held_ack(struct held *h, uint64_t handle)
{
    uint32_t slot = (uint32_t)(handle & ((1u << SLOT_BITS) - 1));
    struct held_partition *p;

    if (handle == 0 || slot >= h->max || h->messages[slot].handle != handle)
        return false;
    h->messages[slot].handle = 0;
    h->n_unacked--;
    if (h->messages[slot].partition == NO_PARTITION) {
        release(h, slot);
        return true;
    }
    p = &h->partitions[h->messages[slot].partition];
    while (p->first != HELD_NONE && h->messages[p->first].handle == 0) {
        p->place = h->messages[p->first].end;
        release(h, take_first(h, p));
    }
    return true;
}
