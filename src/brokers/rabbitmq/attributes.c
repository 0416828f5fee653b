#include "attributes.h"
#include "orderly/base/bytes.h"
#include "orderly/base/timetext.h"
#include "properties.h"
#include "reason.h"
#include <inttypes.h>

static amqp_table_entry_t text_entry(struct str key, struct str text)
{
    amqp_table_entry_t e = { .key = codec_bytes(key) };

    e.value.kind = AMQP_FIELD_KIND_UTF8;
    e.value.value.bytes = codec_bytes(text);
    return e;
}

bool attributes_to_headers(struct arena *a, struct str prefix, struct str origin,
                           const struct broker_attribute *from, unsigned n, amqp_table_t *to,
                           char *why)
{
    amqp_table_entry_t *entries = arena_alloc(a, (n + 1) * sizeof(*entries));

    if (prefix.n == 0)
        prefix = STR(ATTRIBUTE_PREFIX);
    for (unsigned i = 0; i < n; i++) {
        struct str key = { NULL, prefix.n + from[i].name.n };
        char *p;

        if (key.n > TABLE_KEY_MAX) {
            reason_write(why, "the header '" STR_FMT STR_FMT "' has more than %u bytes",
                         STR_ARG(prefix), STR_ARG(from[i].name), TABLE_KEY_MAX);
            return false;
        }
        p = arena_alloc(a, key.n);
        memcpy(p, prefix.p, prefix.n);
        memcpy(p + prefix.n, from[i].name.p, from[i].name.n);
        key.p = p;
        entries[i] = text_entry(key, from[i].value);
    }
    if (origin.n)
        entries[n++] = text_entry(STR(BROKER_ORIGIN_HEADER), origin);
    *to = (amqp_table_t){ (int)n, entries };
    return true;
}

static struct str signed_text(struct arena *a, int64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRId64, v);

    return arena_str(a, (struct str){ text, (size_t)n });
}

static struct str unsigned_text(struct arena *a, uint64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRIu64, v);

    return arena_str(a, (struct str){ text, (size_t)n });
}

static struct str time_text(struct arena *a, uint64_t seconds)
{
    char text[TIMETEXT_LEN];

    /* Clamped to the last of the years that have four digits, as the formatter does. */
    timetext_format(seconds > INT64_MAX / 1000 ? INT64_MAX : (int64_t)seconds * 1000, text);
    return arena_str(a, (struct str){ text, sizeof(text) });
}

static bool text_of(struct arena *a, const struct header *h, struct str *out)
{
    const char *p = h->value.p;

    switch (h->kind) {
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        *out = arena_str(a, h->value);
        return true;
    case AMQP_FIELD_KIND_BOOLEAN:
        *out = p[0] ? STR("true") : STR("false");
        return true;
    case AMQP_FIELD_KIND_I8:
        *out = signed_text(a, (int8_t)p[0]);
        return true;
    case AMQP_FIELD_KIND_I16:
        *out = signed_text(a, (int16_t)bytes_get_u16(p));
        return true;
    case AMQP_FIELD_KIND_I32:
        *out = signed_text(a, (int32_t)bytes_get_u32(p));
        return true;
    case AMQP_FIELD_KIND_I64:
        *out = signed_text(a, (int64_t)bytes_get_u64(p));
        return true;
    case AMQP_FIELD_KIND_U8:
        *out = unsigned_text(a, (uint8_t)p[0]);
        return true;
    case AMQP_FIELD_KIND_U16:
        *out = unsigned_text(a, bytes_get_u16(p));
        return true;
    case AMQP_FIELD_KIND_U32:
        *out = unsigned_text(a, bytes_get_u32(p));
        return true;
    case AMQP_FIELD_KIND_U64:
        *out = unsigned_text(a, bytes_get_u64(p));
        return true;
    case AMQP_FIELD_KIND_TIMESTAMP:
        *out = time_text(a, bytes_get_u64(p));
        return true;
    default:
        return false;
    }
}

static struct str without(struct str s, struct str prefix)
{
    if (!str_starts_with(s, prefix))
        return STR_NONE;
    return (struct str){ s.p + prefix.n, s.n - prefix.n };
}

static struct str name_of(struct str key, struct str prefix)
{
    struct str name;

    if (prefix.n)
        return without(key, prefix);
    name = without(key, STR(ATTRIBUTE_PREFIX));
    return name.n ? name : without(key, STR("cloudEvents:"));
}

unsigned attributes_of_headers(struct arena *a, struct str prefix, struct str headers,
                               struct broker_attribute *to, bool *are_more, struct str *origin)
{
    struct header h;
    unsigned n = 0;

    *are_more = false;
    *origin = STR("");
    while (properties_next_header(&headers, &h)) {
        struct str name = name_of(h.name, prefix), value;

        if (str_eq(h.name, STR(BROKER_ORIGIN_HEADER))) {
            (void)text_of(a, &h, origin); /* of another type it is none */
            continue;
        }
        if (*are_more || name.n == 0 || !text_of(a, &h, &value))
            continue;
        *are_more = n == BROKER_ATTRIBUTES_MAX;
        if (!*are_more)
            to[n++] = (struct broker_attribute){ arena_str(a, name), value };
    }
    return n;
}
