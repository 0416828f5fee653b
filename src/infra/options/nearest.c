/* What was probably meant: the offer with the fewest letters to change. */
#include "table.h"

#define NEAREST_MAX 63

static char plain(char c)
{
    if (c == '_')
        return '-';
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Letters to insert, delete, change or swap with their neighbour. */
static unsigned distance(struct str a, struct str b)
{
    unsigned rows[3][NEAREST_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2], *spare;

    if (a.n > NEAREST_MAX || b.n > NEAREST_MAX)
        return UINT32_MAX;
    for (unsigned j = 0; j <= b.n; j++)
        last[j] = before[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            bool same = plain(a.p[i - 1]) == plain(b.p[j - 1]);
            unsigned best = last[j - 1] + !same;

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && plain(a.p[i - 1]) == plain(b.p[j - 2]) &&
                plain(a.p[i - 2]) == plain(b.p[j - 1]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.n];
}

static unsigned too_far(struct str text)
{
    return text.n < 6 ? 3 : (unsigned)(text.n / 3) + 1;
}

const char *option_nearest_of(struct str text, const char *const *offers)
{
    const char *nearest = NULL;
    unsigned least = too_far(text);

    for (; *offers; offers++) {
        unsigned d = distance(text, str_of(*offers));

        if (d < least) {
            least = d;
            nearest = *offers;
        }
    }
    return nearest;
}

const char *option_nearest(struct str key)
{
    const char *nearest = NULL;
    unsigned least = too_far(key);

    for (unsigned i = 0; i < option_count(); i++) {
        unsigned d = distance(key, str_of(option_at(i)->key));

        if (d < least) {
            least = d;
            nearest = option_at(i)->key;
        }
    }
    /* The last word alone, as in 'delayMs' or 'timeout'. */
    for (unsigned i = 0; !nearest && i < option_count(); i++) {
        const char *word = strrchr(option_at(i)->key, '.');

        if (word && option_key_eq(key, str_of(word + 1)))
            nearest = option_at(i)->key;
    }
    return nearest;
}
