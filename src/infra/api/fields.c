#include "fields.h"
#include "orderly/base/arena.h"
#include "orderly/infra/api/api.h"
#include "orderly/infra/inbound/media.h"

bool field_next_item(struct str *rest, struct str *item)
{
    while (rest->n) {
        size_t end = 0;
        bool is_quoted = false;

        for (; end < rest->n && (is_quoted || rest->p[end] != ','); end++) {
            if (rest->p[end] == '"')
                is_quoted = !is_quoted;
            else if (is_quoted && rest->p[end] == '\\' && end + 1 < rest->n)
                end++;
        }
        *item = str_trim((struct str){ rest->p, end });
        rest->p += end;
        rest->n -= end;
        if (rest->n) {
            rest->p++;
            rest->n--;
        }
        if (item->n)
            return true;
    }
    return false;
}

/* q=0, q=0.0 and so on: the range is refused. */
static bool parameters_refuse(struct str rest)
{
    while (rest.n) {
        struct str parameter = media_take_parameter(&rest);

        if (parameter.n < 3 || (parameter.p[0] | 32) != 'q' || parameter.p[1] != '=')
            continue;
        for (size_t i = 2; i < parameter.n; i++) {
            if (parameter.p[i] != '0' && parameter.p[i] != '.')
                return false;
        }
        return true;
    }
    return false;
}

/* How closely a range names the type: 0 not at all, 1 by the wildcard, 2 its first half, 3 whole. */
static int range_fits(struct str range, struct str type, struct str subtype)
{
    const char *slash = range.n ? memchr(range.p, '/', range.n) : NULL;
    struct str left, right;

    if (!slash)
        return 0;
    left = (struct str){ range.p, (size_t)(slash - range.p) };
    right = (struct str){ slash + 1, range.n - left.n - 1 };
    if (str_eq(range, STR("*/*")))
        return 1;
    if (!str_eq_nocase(left, type))
        return 0;
    if (str_eq(right, STR("*")))
        return 2;
    if (str_eq_nocase(right, subtype))
        return 3;
    return str_eq(subtype, STR("json")) && media_has_suffix(right, STR("+json")) ? 3 : 0;
}

bool field_accepts(struct str accept, struct str type, struct str subtype)
{
    struct str item;
    int best = -1;
    bool accepts = true;

    if (accept.n == 0)
        return true;
    while (field_next_item(&accept, &item)) {
        struct str rest = item, range = media_take_parameter(&rest);
        int fit = range_fits(range, type, subtype);

        if (best < 0) { /* there is a range at all, so silence is no consent any more */
            best = 0;
            accepts = false;
        }
        if (fit == 0 || fit < best)
            continue;
        accepts = (fit == best && accepts) || !parameters_refuse(rest);
        best = fit;
    }
    return accepts;
}

/* 0..1000 of "0.25"; what is no weight counts as 1, as if it were not there. */
static int weight_of(struct str s)
{
    int weight = 0, unit = 1000;

    for (size_t i = 0; i < s.n; i++) {
        if (i == 1 && s.p[i] == '.')
            continue;
        if (s.p[i] < '0' || s.p[i] > '9')
            return 1000;
        weight += (s.p[i] - '0') * unit;
        unit /= 10;
    }
    return weight > 1000 ? 1000 : weight;
}

int field_accept_quality(struct str accept, struct str range)
{
    struct str item;

    while (field_next_item(&accept, &item)) {
        struct str rest = item;
        int quality = 1000;

        if (!str_eq_nocase(media_take_parameter(&rest), range))
            continue;
        while (rest.n) {
            struct str parameter = media_take_parameter(&rest);

            if (parameter.n >= 2 && (parameter.p[0] | 32) == 'q' && parameter.p[1] == '=')
                quality = weight_of((struct str){ parameter.p + 2, parameter.n - 2 });
        }
        return quality;
    }
    return -1;
}

bool field_idempotency_key(struct str value, struct arena *a, struct str *key)
{
    char *out;
    size_t n = 0;
    bool is_quoted = value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"';
    struct str inner = is_quoted ? media_unquoted(value) : value;

    if (inner.n == 0 || inner.n > 2 * 255)
        return false;
    out = arena_alloc(a, inner.n);
    for (size_t i = 0; i < inner.n; i++) {
        char c = inner.p[i];

        if (is_quoted && c == '\\') {
            if (++i == inner.n || (inner.p[i] != '"' && inner.p[i] != '\\'))
                return false;
            c = inner.p[i];
        } else if (is_quoted && c == '"') {
            return false;
        }
        if (c < 0x21 || c > 0x7e)
            return false;
        out[n++] = c;
    }
    *key = (struct str){ out, n };
    return n <= 255;
}

bool field_user_id(struct str value)
{
    if (value.n == 0 || value.n > TEXT_ID_MAX)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < 0x20 || value.p[i] > 0x7e)
            return false;
    }
    return true;
}

static bool is_hex(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
    }
    return true;
}

/* A tag as RFC 9110 writes it. *is_ours: a number, which is what our tags are. */
static bool parse_tag(struct str item, bool *is_weak, bool *is_ours, uint64_t *tag)
{
    *is_weak = str_starts_with(item, STR("W/"));
    if (*is_weak) {
        item.p += 2;
        item.n -= 2;
    }
    if (item.n < 2 || item.p[0] != '"' || item.p[item.n - 1] != '"' ||
        memchr(item.p + 1, '"', item.n - 2))
        return false;
    *is_ours = str_to_u64(media_unquoted(item), tag);
    return true;
}

bool field_if_match(struct str value, struct command *c)
{
    struct str item;
    unsigned n = 0;

    if (str_eq(str_trim(value), STR("*"))) {
        c->if_match = IF_MATCH_ANY;
        return true;
    }
    while (field_next_item(&value, &item)) {
        bool is_weak, is_ours;
        uint64_t tag;

        if (++n > IF_MATCH_LIST_MAX || !parse_tag(item, &is_weak, &is_ours, &tag))
            return false;
        if (is_ours && !is_weak) /* If-Match compares strongly */
            c->if_match_list[c->n_if_match++] = tag;
    }
    c->if_match = IF_MATCH_LIST;
    return n > 0;
}

bool field_none_match_hits(struct str value, uint64_t tag)
{
    struct str item;

    if (str_eq(str_trim(value), STR("*")))
        return true;
    while (field_next_item(&value, &item)) {
        bool is_weak, is_ours;
        uint64_t got;

        if (parse_tag(item, &is_weak, &is_ours, &got) && is_ours && got == tag)
            return true;
    }
    return false;
}

bool field_duration(struct str value, int64_t max_ms, int64_t *ms)
{
    static const struct {
        struct str unit;
        int64_t ms;
    } units[] = { { { "ms", 2 }, 1 },      { { "s", 1 }, 1000 },     { { "m", 1 }, 60000 },
                  { { "h", 1 }, 3600000 }, { { "d", 1 }, 86400000 }, { { "", 0 }, 1000 } };
    size_t digits = 0;
    uint64_t n;

    while (digits < value.n && value.p[digits] >= '0' && value.p[digits] <= '9')
        digits++;
    if (!str_to_u64((struct str){ value.p, digits }, &n))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!str_eq((struct str){ value.p + digits, value.n - digits }, units[i].unit))
            continue;
        if (n > (uint64_t)(max_ms / units[i].ms))
            return false;
        *ms = (int64_t)n * units[i].ms;
        return true;
    }
    return false;
}

/* ---- positions ------------------------------------------------------------------------------- */

bool field_position(struct str value, struct str *epoch, uint64_t *position)
{
    const char *dot = value.n ? memchr(value.p, '.', value.n) : NULL;

    *epoch = STR_NONE;
    if (dot) {
        *epoch = (struct str){ value.p, (size_t)(dot - value.p) };
        value = (struct str){ dot + 1, value.n - epoch->n - 1 };
        if (epoch->n == 0 || epoch->n > API_EPOCH_MAX || !is_hex(*epoch))
            return false;
    }
    return str_to_u64(value, position);
}
