/* Allocation that stops the process when it fails. Sizes that come from outside are capped before
 * they get here; an untested out-of-memory path would be worse than a restart. */
#ifndef ORDERLY_BASE_MEM_H
#define ORDERLY_BASE_MEM_H
#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
void mem_free(void *p);

/* Where memory comes from. The system, but for who has to drop all that a part of the process holds
 * at once, as the simulator does when its server crashes. Each gives NULL where there is no more. */
struct mem_source {
    void *(*alloc)(struct mem_source *s, size_t size);
    void *(*zalloc)(struct mem_source *s, size_t size);
    void *(*realloc)(struct mem_source *s, void *p, size_t size);
    void (*free)(struct mem_source *s, void *p);
};
/* From now on memory is taken from s and given back to it; NULL: the system. What was taken from one
 * source is never given to another. Returns the one before. Thread: only while there is no other. */
struct mem_source *mem_use(struct mem_source *s);
#endif
