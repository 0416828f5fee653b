#include "access.h"
#include "orderly/base/mem.h"
#include <stdio.h>
#include <string.h>

static const struct {
    struct str name;
    enum role role;
} roles_by_name[] = {
    { { "customer", 8 }, ROLE_CUSTOMER },
    { { "context", 7 }, ROLE_CONTEXT },
    { { "operator", 8 }, ROLE_OPERATOR },
};

static struct str role_name(enum role role)
{
    for (size_t i = 0; i < ARRAY_LEN(roles_by_name); i++) {
        if (roles_by_name[i].role == role)
            return roles_by_name[i].name;
    }
    UNREACHABLE("role");
}

static void hash_token(struct digest32 *out, struct str token)
{
    struct str parts[] = { STR("orderly token"), token };

    digest32_of(out, parts, ARRAY_LEN(parts));
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct str take_until(struct str *rest, char end_a, char end_b, char end_c)
{
    size_t n = 0;
    struct str taken;

    while (n < rest->n && rest->p[n] != end_a && rest->p[n] != end_b && rest->p[n] != end_c)
        n++;
    taken = (struct str){ rest->p, n };
    rest->p += n;
    rest->n -= n;
    return taken;
}

static struct str take_word(struct str *rest)
{
    while (rest->n && is_blank(*rest->p)) {
        rest->p++;
        rest->n--;
    }
    return take_until(rest, ' ', '\t', '\r');
}

static bool token_is_valid(struct str token)
{
    if (token.n == 0 || token.n > ACCESS_TOKEN_BYTES_MAX)
        return false;
    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] < 0x21 || token.p[i] > 0x7e)
            return false;
    }
    return true;
}

/* NULL: fine; else what is wrong with the line. */
static const char *parse_line(struct access *a, struct str line)
{
    struct str role = take_word(&line), token = take_word(&line), name = take_word(&line);
    struct access_token *t = &a->tokens[a->n_tokens];

    if (role.n == 0 || role.p[0] == '#')
        return NULL;
    if (a->n_tokens == ACCESS_TOKENS_MAX)
        return "is one token too many";
    *t = (struct access_token){ .role = ROLE_CUSTOMER };
    for (size_t i = 0;; i++) {
        if (i == ARRAY_LEN(roles_by_name))
            return "does not start with customer, context or operator";
        if (str_eq(role, roles_by_name[i].name)) {
            t->role = roles_by_name[i].role;
            break;
        }
    }
    if (!token_is_valid(token))
        return "has no valid token";
    if (name.n && name.p[0] != '#' && !text_id_parse(name, &t->name))
        return "has a name that is not 1 to 64 of A-Z a-z 0-9 . _ : -";
    hash_token(&t->hash, token);
    a->n_tokens++;
    return NULL;
}

enum err access_parse(struct access *a, struct str text, char why[ACCESS_WHY_MAX])
{
    struct access next = *a;
    unsigned n = 0;

    next.n_tokens = 0;
    while (text.n) {
        struct str line = take_until(&text, '\n', '\n', '\n');
        const char *fault = parse_line(&next, line);

        n++;
        if (fault) {
            snprintf(why, ACCESS_WHY_MAX, "line %u %s", n, fault);
            return ERR_INVALID;
        }
        if (text.n) {
            text.p++;
            text.n--;
        }
    }
    if (next.n_tokens == 0) {
        snprintf(why, ACCESS_WHY_MAX, "there is no token in it");
        return ERR_INVALID;
    }
    next.is_on = true;
    *a = next;
    return ERR_OK;
}

enum err access_load(struct access *a, const char *path, char why[ACCESS_WHY_MAX])
{
    char *text = mem_alloc(ACCESS_FILE_MAX);
    size_t n = 0;
    enum err e = secret_file_read(path, text, ACCESS_FILE_MAX, &n, why);

    if (e == ERR_OK)
        e = access_parse(a, (struct str){ text, n }, why);
    explicit_bzero(text, ACCESS_FILE_MAX);
    mem_free(text);
    return e;
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool bearer_of(struct str authorization, struct str *token)
{
    struct str scheme = STR("Bearer ");

    if (authorization.n <= scheme.n ||
        !str_eq_nocase((struct str){ authorization.p, scheme.n }, scheme))
        return false;
    *token = str_trim((struct str){ authorization.p + scheme.n, authorization.n - scheme.n });
    return token_is_valid(*token);
}

static struct text_id caller_of(enum role role, const struct text_id *name)
{
    struct text_id caller = { .n = 0 };
    struct str r = role_name(role);
    size_t rest;

    memcpy(caller.s, r.p, r.n);
    caller.n = (uint8_t)r.n;
    if (name && name->n) {
        caller.s[caller.n++] = ':';
        rest = sizeof(caller.s) - caller.n;
        rest = name->n < rest ? name->n : rest;
        memcpy(caller.s + caller.n, name->s, rest);
        caller.n = (uint8_t)(caller.n + rest);
    }
    return caller;
}

enum access_result access_check(struct access *a, struct str authorization, unsigned roles,
                                enum role *role, struct text_id *caller)
{
    const struct access_token *found = NULL;
    struct digest32 hash;
    struct str token;

    *role = ROLE_OPERATOR;
    *caller = (struct text_id){ .n = 0 };
    if (roles == ROLE_ANYBODY)
        return ACCESS_FINE;
    if (!a->is_on) {
        *caller = caller_of(ROLE_OPERATOR, NULL);
        return ACCESS_FINE;
    }
    if (authorization.n == 0)
        return ACCESS_NO_TOKEN;
    if (!bearer_of(authorization, &token))
        return ACCESS_BAD_TOKEN;
    hash_token(&hash, token);
    for (unsigned i = 0; i < a->n_tokens; i++) { /* always all of them */
        if (digest32_eq_const_time(&hash, &a->tokens[i].hash))
            found = &a->tokens[i];
    }
    if (!found)
        return ACCESS_BAD_TOKEN;
    *role = found->role;
    *caller = caller_of(found->role, &found->name);
    return (found->role & (roles | ROLE_OPERATOR)) ? ACCESS_FINE : ACCESS_FORBIDDEN;
}

bool access_count_failure(struct access *a, enum access_result result, int64_t now_ms)
{
    if (result == ACCESS_FORBIDDEN)
        a->forbidden++;
    else if (result == ACCESS_NO_TOKEN)
        a->missing++;
    else
        a->refused++;
    if (result != ACCESS_BAD_TOKEN) /* only guesses are slowed */
        return false;
    if (now_ms - a->window_ms >= 1000) {
        a->window_ms = now_ms;
        a->in_window = 0;
    }
    return ++a->in_window > ACCESS_FAILURES_AT_ONCE;
}

bool access_delay(struct access *a)
{
    if (a->delayed >= ACCESS_DELAYED_MAX)
        return false;
    a->delayed++;
    return true;
}

void access_undelay(struct access *a)
{
    REQUIRE(a->delayed > 0);
    a->delayed--;
}

/* Compared as text; the default ports may be left out. */
static struct str without_default_port(struct str host, struct str port)
{
    if (host.n > port.n && str_eq((struct str){ host.p + host.n - port.n, port.n }, port))
        host.n -= port.n;
    return host;
}

bool access_origin_is_fine(struct str origin, struct str host, const struct str *origins,
                           unsigned n_origins)
{
    struct str http = STR("http://"), https = STR("https://");

    for (unsigned i = 0; i < n_origins; i++) {
        if (str_eq_nocase(origin, origins[i]))
            return true;
    }
    if (origin.n > https.n && str_eq_nocase((struct str){ origin.p, https.n }, https))
        return str_eq_nocase(
            without_default_port((struct str){ origin.p + https.n, origin.n - https.n },
                                 STR(":443")),
            without_default_port(host, STR(":443")));
    if (origin.n > http.n && str_eq_nocase((struct str){ origin.p, http.n }, http))
        return str_eq_nocase(
            without_default_port((struct str){ origin.p + http.n, origin.n - http.n }, STR(":80")),
            without_default_port(host, STR(":80")));
    return false;
}
