#include "json_changes.h"
#include "orderly/base/check.h"

static struct str rest_from(struct str s, size_t n)
{
    REQUIRE(n <= s.n);
    return (struct str){ s.p + n, s.n - n };
}

/* Length of the string, its quotes included, that the text begins with. */
static size_t string_len(struct str s)
{
    size_t n = 1;

    while (n < s.n && s.p[n] != '"')
        n += s.p[n] == '\\' ? 2 : 1;
    REQUIRE(n < s.n);
    return n + 1;
}

/* Length of the value that the text begins with. */
static size_t value_len(struct str s)
{
    unsigned depth = 0;
    size_t n = 0;

    while (n < s.n) {
        char c = s.p[n];

        if (depth == 0 && (c == ',' || c == '}'))
            break;
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        n += c == '"' ? string_len(rest_from(s, n)) : 1;
    }
    return n;
}

/* Takes a member off what is left of an object. False: there is none. */
static bool take_member(struct str *object, struct str *name, struct str *value)
{
    size_t n;

    if (object->n == 0 || object->p[0] == '}')
        return false;
    *object = rest_from(*object, 1); /* '{' or ',' */
    if (object->n == 0 || object->p[0] != '"')
        return false;
    n = string_len(*object);
    *name = (struct str){ object->p + 1, n - 2 };
    *object = rest_from(*object, n + 1);
    n = value_len(*object);
    *value = (struct str){ object->p, n };
    *object = rest_from(*object, n);
    return true;
}

bool json_changes_next(struct json_changes *c, struct json_change *out)
{
    while (take_member(&c->after, &out->name, &out->after)) {
        struct str name;

        if (!take_member(&c->before, &name, &out->before))
            out->before = STR_NONE;
        else
            REQUIRE(str_eq(name, out->name));
        if (!str_eq(out->before, out->after))
            return true;
    }
    return false;
}
