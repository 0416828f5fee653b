#include "process_memory.h"
#include "orderly/base/check.h"
#include <stdalign.h>
#include <stdlib.h>

/* Before what is handed out. */
struct process_block {
    struct list link;
    alignas(max_align_t) char bytes[];
};

static struct process_memory *memory_of(struct mem_source *s)
{
    return container_of(s, struct process_memory, source);
}

static struct process_block *block_of(void *p)
{
    return container_of(p, struct process_block, bytes);
}

static void *hold(struct process_memory *m, struct process_block *b)
{
    if (!b)
        return NULL;
    list_push_back(&m->blocks, &b->link);
    m->n_blocks++;
    return b->bytes;
}

static void *process_alloc(struct mem_source *s, size_t size)
{
    return hold(memory_of(s), malloc(sizeof(struct process_block) + size));
}

static void *process_zalloc(struct mem_source *s, size_t size)
{
    return hold(memory_of(s), calloc(1, sizeof(struct process_block) + size));
}

static void *process_realloc(struct mem_source *s, void *p, size_t size)
{
    struct process_memory *m = memory_of(s);
    struct process_block *b;

    if (!p)
        return process_alloc(s, size);
    b = block_of(p);
    list_remove(&b->link);
    m->n_blocks--;
    return hold(m, realloc(b, sizeof(struct process_block) + size));
}

static void process_free(struct mem_source *s, void *p)
{
    struct process_memory *m = memory_of(s);

    if (!p)
        return;
    ENSURE(m->n_blocks > 0);
    m->n_blocks--;
    list_remove(&block_of(p)->link);
    free(block_of(p));
}

void process_memory_init(struct process_memory *m)
{
    *m = (struct process_memory){ .source = { .alloc = process_alloc,
                                              .zalloc = process_zalloc,
                                              .realloc = process_realloc,
                                              .free = process_free } };
    list_init(&m->blocks);
}

void process_memory_drop(struct process_memory *m)
{
    struct list *at = m->blocks.next;

    while (at != &m->blocks) {
        struct process_block *block = container_of(at, struct process_block, link);

        at = at->next;
        free(block);
    }
    list_init(&m->blocks);
    m->n_blocks = 0;
}
