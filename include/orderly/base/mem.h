/* Allocation that stops the process when it fails. Sizes that come from outside are capped before
 * they get here; an untested out-of-memory path would be worse than a restart. */
#ifndef ORDERLY_BASE_MEM_H
#define ORDERLY_BASE_MEM_H
#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
void mem_free(void *p);
#endif
