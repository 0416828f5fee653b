#include "orderly/infra/inbound/media.h"
#include "orderly/base/check.h"
#include <string.h>

/* Splits "a;b;c" at the first ';'. */
struct str media_take_parameter(struct str *rest)
{
    const char *semicolon;
    size_t n, used;
    struct str part;

    if (!rest->n)
        return STR_NONE;
    semicolon = memchr(rest->p, ';', rest->n);
    n = semicolon ? (size_t)(semicolon - rest->p) : rest->n;
    used = semicolon ? n + 1 : n;
    part = str_trim((struct str){ rest->p, n });
    rest->p += used;
    rest->n -= used;
    return part;
}

struct str media_unquoted(struct str s)
{
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        return (struct str){ s.p + 1, s.n - 2 };
    return s;
}

bool media_has_suffix(struct str type, struct str suffix)
{
    return type.n > suffix.n &&
           str_eq_nocase((struct str){ type.p + type.n - suffix.n, suffix.n }, suffix);
}

/* Of the parameters behind a media type. */
static bool names_no_charset_but_utf8(struct str rest)
{
    while (rest.n) {
        struct str parameter = media_take_parameter(&rest);
        struct str charset = STR("charset=");

        if (parameter.n >= charset.n &&
            str_eq_nocase((struct str){ parameter.p, charset.n }, charset)) {
            struct str name =
                media_unquoted((struct str){ parameter.p + charset.n, parameter.n - charset.n });

            if (!str_eq_nocase(name, STR("utf-8")) && !str_eq_nocase(name, STR("utf8")))
                return false;
        }
    }
    return true;
}

bool media_says_json(struct str value)
{
    struct str rest = value, type = media_take_parameter(&rest);
    const char *slash = type.n ? memchr(type.p, '/', type.n) : NULL;
    struct str kind;

    if (!slash || slash == type.p)
        return false;
    kind = (struct str){ slash + 1, type.n - (size_t)(slash + 1 - type.p) };
    return (str_eq_nocase(kind, STR("json")) || media_has_suffix(kind, STR("+json"))) &&
           names_no_charset_but_utf8(rest);
}

bool media_is_json(struct str value)
{
    struct str application = STR("application/");

    return value.n > application.n &&
           str_eq_nocase((struct str){ value.p, application.n }, application) &&
           media_says_json(value);
}

struct str media_type_of(struct str content_type)
{
    return media_take_parameter(&content_type);
}

static bool is_hex(struct str s, bool *is_zero)
{
    *is_zero = true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        *is_zero = *is_zero && c == '0';
    }
    return true;
}

bool traceparent_is_valid(struct str value)
{
    static const struct {
        size_t at, n;
        bool may_be_zero;
    } parts[] = { { 0, 2, true }, { 3, 32, false }, { 36, 16, false }, { 53, 2, true } };
    bool is_version_0 = value.n >= 55 && memcmp(value.p, "00", 2) == 0;

    if (value.n < 55 || value.n > 256 || (is_version_0 && value.n > 55))
        return false;
    if (memcmp(value.p, "ff", 2) == 0 || (value.n > 55 && value.p[55] != '-'))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        bool is_zero;

        if (!is_hex((struct str){ value.p + parts[i].at, parts[i].n }, &is_zero) ||
            (is_zero && !parts[i].may_be_zero))
            return false;
        if (i > 0 && value.p[parts[i].at - 1] != '-')
            return false;
    }
    for (size_t i = 55; i < value.n; i++) {
        if (value.p[i] < 0x21 || value.p[i] > 0x7e)
            return false;
    }
    return true;
}
