#include "orderly/infra/relay/relay_url.h"
#include "orderly/base/check.h"

static const struct {
    const char *scheme, *tls;
} schemes[RELAY_KINDS] = {
#define X(name, text, scheme, tls) [RELAY_##name] = { scheme, tls },
    RELAY_KIND_MAP(X)
#undef X
};

static const char *find(struct str s, const char *what)
{
    return s.n ? memmem(s.p, s.n, what, strlen(what)) : NULL;
}

static struct str before(struct str s, const char *at)
{
    return (struct str){ s.p, (size_t)(at - s.p) };
}

static struct str behind(struct str s, const char *at)
{
    return (struct str){ at, s.n - (size_t)(at - s.p) };
}

static bool set_kind(struct str scheme, struct relay_url *out)
{
    for (unsigned k = 0; k < RELAY_KINDS; k++) {
        out->is_tls = str_eq_nocase(scheme, str_of(schemes[k].tls));
        if (out->is_tls || str_eq_nocase(scheme, str_of(schemes[k].scheme))) {
            out->kind = (enum relay_kind)k;
            return true;
        }
    }
    return false;
}

/* One host: what names and addresses are made of, and a port of digits. */
static bool host_is_fine(struct str host)
{
    bool is_v6 = host.n && host.p[0] == '[';
    const char *port = NULL;
    uint64_t number;

    if (is_v6) {
        const char *end = memchr(host.p, ']', host.n);

        if (!end || end == host.p + 1)
            return false;
        if (end + 1 < host.p + host.n)
            port = end + 1;
    } else {
        port = host.n ? memchr(host.p, ':', host.n) : NULL;
        if (host.n == 0 || port == host.p)
            return false;
    }
    for (size_t i = 0; i < host.n; i++) {
        unsigned char c = (unsigned char)host.p[i];

        if (c <= ' ' || c >= 0x7f || strchr("/?#@\"'\\%", c))
            return false;
    }
    if (!port)
        return true;
    return *port == ':' && str_to_u64(behind(host, port + 1), &number) && number >= 1 &&
           number <= 65535;
}

static bool address_is_fine(struct str address)
{
    do {
        const char *comma = find(address, ",");
        struct str host = comma ? before(address, comma) : address;

        if (!host_is_fine(host))
            return false;
        address = comma ? behind(address, comma + 1) : STR_NONE;
        if (comma && address.n == 0)
            return false;
    } while (address.n);
    return true;
}

const char *relay_url_parse(struct str url, struct relay_url *out)
{
    const char *at = find(url, "://");
    struct str rest;

    *out = (struct relay_url){ 0 };
    if (!at)
        return "must be SCHEME://HOST[:PORT], such as nats://127.0.0.1:4222";
    if (!set_kind(before(url, at), out))
        return "must start with nats://, tls://, kafka://, kafka+tls://, amqp:// or amqps://";
    rest = behind(url, at + 3);
    at = find(rest, "/");
    if (at) {
        out->path = behind(rest, at + 1);
        rest = before(rest, at);
    }
    at = find(rest, "@");
    if (at) {
        out->user = before(rest, at);
        rest = behind(rest, at + 1);
        if (find(out->user, ":"))
            return "a password does not belong into a URL, where everybody on the host can read "
                   "it; relay.K.password_file names a file with it, or the variable "
                   "ORDERLY_RELAY_K_PASSWORD holds it";
        if (!out->user.n)
            return "the user before '@' is missing";
    }
    if (!address_is_fine(rest))
        return "must name HOST or HOST:PORT (1 to 65535), several with commas between";
    if (out->path.n && out->kind != RELAY_RABBITMQ)
        return "nothing may stand behind HOST:PORT";
    out->address = rest;
    return NULL;
}

bool relay_url_next(struct str *list, struct str *url)
{
    size_t end = 0;

    *list = str_trim(*list);
    if (!list->n)
        return false;
    while (end < list->n) {
        const char *comma = memchr(list->p + end, ',', list->n - end);
        struct str next;

        if (!comma) {
            end = list->n;
            break;
        }
        end = (size_t)(comma - list->p);
        next = behind(*list, comma + 1);
        comma = find(next, ",");
        if (comma)
            next = before(next, comma);
        if (find(next, "://") || !str_trim(next).n)
            break;
        end++;
    }
    *url = str_trim((struct str){ list->p, end });
    list->p += end < list->n ? end + 1 : end;
    list->n -= end < list->n ? end + 1 : end;
    return true;
}

const char *relay_url_list_check(struct str list)
{
    const char *why = NULL;
    struct relay_url parsed;
    struct str url;

    while (!why && relay_url_next(&list, &url))
        why = relay_url_parse(url, &parsed);
    return why;
}
