#include "pick_route.h"
#include "fuzz.h"

/* FNV-1a, folded; make_seeds.py does the same. */
static uint32_t hash_more(uint32_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

static unsigned place_of(const struct route *r)
{
    uint32_t hash = hash_more(2166136261u, http_method_name(r->method));

    hash = hash_more(hash_more(hash, " "), r->pattern);
    return (hash >> 16 ^ hash) & 0xffff;
}

const struct route *pick_route(bool (*fits)(const struct route *r), unsigned at)
{
    const struct route *best = NULL;
    unsigned least = 0;

    for (unsigned i = 0; i < routes_len; i++) {
        unsigned way = (place_of(&routes[i]) - at) & 0xffff;

        if (fits(&routes[i]) && (!best || way < least)) {
            best = &routes[i];
            least = way;
        }
    }
    FUZZ_EXPECT(best != NULL, "no route");
    return best;
}
