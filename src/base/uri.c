#include "orderly/base/uri.h"
#include <string.h>

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* unreserved, sub-delims and whole escapes, and what else the part may hold. */
static bool holds_only(struct str s, const char *also)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
                return false;
            i += 2;
        } else if (!is_alpha(c) && !is_digit(c) &&
                   (c == 0 || (!strchr("-._~!$&'()*+,;=", c) && !strchr(also, c)))) {
            return false;
        }
    }
    return true;
}

/* Takes what stands before the first of the marks off s; all of it where there is none. */
static struct str take_until(struct str *s, const char *marks)
{
    size_t n = 0;
    struct str part;

    while (n < s->n && (s->p[n] == 0 || !strchr(marks, s->p[n])))
        n++;
    part = (struct str){ s->p, n };
    s->p += n;
    s->n -= n;
    return part;
}

static bool is_scheme(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alpha(s.p[i]) &&
            (i == 0 || (!is_digit(s.p[i]) && s.p[i] != '+' && s.p[i] != '-' && s.p[i] != '.')))
            return false;
    }
    return s.n > 0;
}

/* [userinfo "@"] host [":" port] */
static bool is_authority(struct str s)
{
    const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;
    struct str user = { s.p, at ? (size_t)(at - s.p) : 0 };
    struct str host;

    if (at) {
        s.n -= user.n + 1;
        s.p = at + 1;
    }
    if (s.n && s.p[0] == '[') {
        host = take_until(&s, "]");
        if (s.n == 0 || host.n < 3 || !holds_only((struct str){ host.p + 1, host.n - 1 }, ":"))
            return false;
        s.p++;
        s.n--;
    } else if (!holds_only(take_until(&s, ":"), "")) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (i == 0 ? s.p[i] != ':' : !is_digit(s.p[i]))
            return false;
    }
    return holds_only(user, ":");
}

bool uri_is_reference(struct str s)
{
    struct str rest = s, scheme = take_until(&rest, ":/?#");

    if (rest.n && rest.p[0] == ':') { /* else a first segment would look like a scheme */
        if (!is_scheme(scheme))
            return false;
        s = (struct str){ rest.p + 1, rest.n - 1 };
    }
    if (str_starts_with(s, STR("//"))) {
        s = (struct str){ s.p + 2, s.n - 2 };
        if (!is_authority(take_until(&s, "/?#")))
            return false;
    }
    if (!holds_only(take_until(&s, "?#"), "/:@"))
        return false;
    if (s.n && s.p[0] == '?' && !holds_only(take_until(&s, "#"), "/:@?"))
        return false;
    return s.n == 0 || holds_only((struct str){ s.p + 1, s.n - 1 }, "/:@?");
}
