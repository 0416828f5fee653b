#include "row_sort.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <string.h>

#define RUN 8 /* rows that are put in order one by one; then runs are merged */

static struct row_ref ref_of(const struct store_row *row)
{
    char bytes[16] = { 0 };
    const char *p = row->key.p;

    if (row->key.n < sizeof(bytes)) {
        memcpy(bytes, p, row->key.n);
        p = bytes;
    }
    return (struct row_ref){ { bytes_get_u64(p), bytes_get_u64(p + 8) }, row };
}

/* The order that LMDB gives its keys: bytes, and the shorter before the longer. */
static bool key_is_before(struct str a, struct str b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return c != 0 ? c < 0 : a.n < b.n;
}

static bool is_before(const struct row_ref *a, const struct row_ref *b)
{
    if (a->prefix[0] != b->prefix[0])
        return a->prefix[0] < b->prefix[0];
    if (a->prefix[1] != b->prefix[1])
        return a->prefix[1] < b->prefix[1];
    return key_is_before(a->row->key, b->row->key);
}

static void sort_run(struct row_ref *r, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct row_ref one = r[i];
        size_t at = i;

        for (; at > 0 && is_before(&one, &r[at - 1]); at--)
            r[at] = r[at - 1];
        r[at] = one;
    }
}

/* Of two that are equal the left one goes first, so the order of a key's rows is kept. */
static void merge(const struct row_ref *left, size_t n_left, const struct row_ref *right,
                  size_t n_right, struct row_ref *to)
{
    /* Often so: what comes later has later keys. */
    if (n_left > 0 && n_right > 0 && !is_before(right, left + n_left - 1)) {
        memcpy(to, left, n_left * sizeof(*to));
        memcpy(to + n_left, right, n_right * sizeof(*to));
        return;
    }
    while (n_left > 0 && n_right > 0) {
        if (is_before(right, left)) {
            *to++ = *right++;
            n_right--;
        } else {
            *to++ = *left++;
            n_left--;
        }
    }
    memcpy(to, left, n_left * sizeof(*to));
    memcpy(to + n_left, right, n_right * sizeof(*to));
}

static void merge_pass(const struct row_ref *from, struct row_ref *to, size_t n, size_t width)
{
    for (size_t at = 0; at < n; at += 2 * width) {
        size_t left = n - at < width ? n - at : width;
        size_t right = n - at - left < width ? n - at - left : width;

        merge(from + at, left, from + at + left, right, to + at);
    }
}

static void sort(struct row_ref *refs, struct row_ref *spare, size_t n)
{
    struct row_ref *from = refs, *to = spare, *swap;

    for (size_t at = 0; at < n; at += RUN)
        sort_run(refs + at, n - at < RUN ? n - at : RUN);
    for (size_t width = RUN; width < n; width *= 2) {
        merge_pass(from, to, n, width);
        swap = from;
        from = to;
        to = swap;
    }
    if (from != refs)
        memcpy(refs, from, n * sizeof(*refs));
}

/* The loop thread wrote the keys, so they come from its caches: all of them are asked for here, before
 * the first is looked at. */
static size_t count_rows(struct row_sort *s, const struct list *writes)
{
    size_t n[STORE_DB_COUNT] = { 0 };

    list_for_each(at, writes)
    {
        const struct store_write *w = container_of(at, struct store_write, link);

        for (unsigned i = 0; i < w->n_rows; i++) {
            REQUIRE((unsigned)w->rows[i].db < STORE_DB_COUNT);
            n[w->rows[i].db]++;
            __builtin_prefetch(w->rows[i].key.p);
        }
    }
    s->first[0] = 0;
    for (unsigned i = 0; i < STORE_DB_COUNT; i++)
        s->first[i + 1] = s->first[i] + n[i];
    return s->first[STORE_DB_COUNT];
}

static void reserve(struct row_sort *s, size_t n)
{
    if (n <= s->cap)
        return;
    s->cap = n * 2;
    s->refs = mem_realloc(s->refs, s->cap * sizeof(*s->refs));
    s->spare = mem_realloc(s->spare, s->cap * sizeof(*s->spare));
}

void row_sort_take(struct row_sort *s, const struct list *writes)
{
    size_t at[STORE_DB_COUNT];

    reserve(s, count_rows(s, writes));
    memcpy(at, s->first, sizeof(at));
    list_for_each(link, writes)
    {
        const struct store_write *w = container_of(link, struct store_write, link);

        for (unsigned i = 0; i < w->n_rows; i++)
            s->refs[at[w->rows[i].db]++] = ref_of(&w->rows[i]);
    }
    for (unsigned i = 0; i < STORE_DB_COUNT; i++)
        if (i != DB_EVENTS)
            sort(s->refs + s->first[i], s->spare, s->first[i + 1] - s->first[i]);
}

void row_sort_deinit(struct row_sort *s)
{
    mem_free(s->refs);
    mem_free(s->spare);
}
