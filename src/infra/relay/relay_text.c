#include "orderly/infra/relay/relay_text.h"
#include "orderly/app/queries.h"
#include <ctype.h>

bool relay_name_is_valid(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!isalnum((unsigned char)name.p[i]) && name.p[i] != '-' && name.p[i] != '_')
            return false;
    return name.n > 0;
}

bool relay_prefix_is_valid(struct str prefix, bool takes_colon)
{
    for (size_t i = 0; i < prefix.n; i++)
        if (!isalnum((unsigned char)prefix.p[i]) && !memchr("-_.", prefix.p[i], 3) &&
            !(prefix.p[i] == ':' && takes_colon))
            return false;
    return true;
}

bool relay_topics_parse(struct str list, bool topics[EVENT_TYPE_COUNT], struct str *wrong)
{
    bool any = false;

    memset(topics, 0, EVENT_TYPE_COUNT * sizeof(*topics));
    *wrong = STR_NONE;
    while (list.n) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma ? (size_t)(comma - list.p) : list.n;
        struct str pattern = str_trim((struct str){ list.p, n });
        struct event_query q = { 0 };

        list.p += n + (comma != NULL);
        list.n -= n + (comma != NULL);
        if (!pattern.n)
            continue;
        any = true;
        if (!event_query_set_topics(&q, pattern)) {
            *wrong = pattern;
            return false;
        }
        for (unsigned t = 0; t < EVENT_TYPE_COUNT; t++)
            topics[t] |= q.types[t];
    }
    return any;
}
