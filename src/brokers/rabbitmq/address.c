#include "address.h"
#include "reason.h"

#define PORT "5672"
#define PORT_TLS "5671"

static struct str split(struct str *rest, char at)
{
    const char *p = rest->n ? memchr(rest->p, at, rest->n) : NULL;
    struct str head = *rest;

    if (!p) {
        *rest = STR_NONE;
        return head;
    }
    head.n = (size_t)(p - rest->p);
    *rest = (struct str){ p + 1, rest->n - head.n - 1 };
    return head;
}

static bool copy(char *to, size_t max, struct str from)
{
    if (from.n == 0 || from.n >= max)
        return false;
    memcpy(to, from.p, from.n);
    to[from.n] = '\0';
    return true;
}

static bool parse_host(struct address_host *h, struct str text, const char *port)
{
    struct str name, rest = text;
    uint64_t number;

    if (text.n && text.p[0] == '[') {
        rest = (struct str){ text.p + 1, text.n - 1 };
        name = split(&rest, ']');
        if (rest.n && rest.p[0] != ':')
            return false;
        if (rest.n)
            rest = (struct str){ rest.p + 1, rest.n - 1 };
    } else {
        name = split(&rest, ':');
    }
    if (rest.n == 0)
        rest = str_of(port);
    return str_to_u64(rest, &number) && number >= 1 && number <= 65535 &&
           copy(h->port, sizeof(h->port), rest) && copy(h->name, sizeof(h->name), name);
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_vhost(struct address *a, struct str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '%') {
            int high = text.n - i > 2 ? hex_of(text.p[i + 1]) : -1;
            int low = text.n - i > 2 ? hex_of(text.p[i + 2]) : -1;

            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '/' || c == '?' || c == '#') {
            return false;
        }
        if (n == sizeof(a->vhost) - 1)
            return false;
        a->vhost[n++] = c;
    }
    if (n == 0)
        a->vhost[n++] = '/';
    a->vhost[n] = '\0';
    return true;
}

bool address_parse(struct address *a, struct str url, char *why)
{
    static const struct str plain = { "amqp://", 7 }, tls = { "amqps://", 8 };
    struct str rest = url, hosts;

    *a = (struct address){ .is_tls = str_starts_with(url, tls) };
    if (!a->is_tls && !str_starts_with(url, plain)) {
        reason_write(why, "its URL does not begin with amqp:// or amqps://");
        return false;
    }
    rest.p += a->is_tls ? tls.n : plain.n;
    rest.n -= a->is_tls ? tls.n : plain.n;
    hosts = split(&rest, '/');
    do {
        struct str host = split(&hosts, ',');

        if (a->n_hosts == ADDRESS_HOSTS_MAX) {
            reason_write(why, "its URL names more than %d hosts", ADDRESS_HOSTS_MAX);
            return false;
        }
        if (!parse_host(&a->hosts[a->n_hosts++], host, a->is_tls ? PORT_TLS : PORT)) {
            reason_write(why, "'" STR_FMT "' is no host:port", STR_ARG(host));
            return false;
        }
    } while (hosts.n);
    if (!parse_vhost(a, rest)) {
        reason_write(why, "'" STR_FMT "' is no vhost; write a slash in it as %%2f", STR_ARG(rest));
        return false;
    }
    return true;
}
