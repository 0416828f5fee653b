#include "opening.h"
#include "connection.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_DEFAULT "4222"
#define SCHEME "nats://"

/* ---- why a server does not take a connection ---------------------------------------------------- */

struct host {
    char name[256], port[16];
};

/* host, host:port, [v6] or [v6]:port; others were refused before they came here. */
static bool take_apart(struct str server, struct host *out)
{
    const char *end = server.p + server.n, *name = server.p, *name_end, *port;

    if (server.n && *name == '[') {
        name++;
        name_end = memchr(name, ']', (size_t)(end - name));
        port = name_end ? name_end + 1 : NULL;
    } else {
        name_end = server.n ? memchr(name, ':', server.n) : NULL;
        name_end = name_end ? name_end : end;
        port = name_end;
    }
    if (!name_end || (size_t)(name_end - name) >= sizeof(out->name) ||
        (size_t)(end - port) >= sizeof(out->port))
        return false;
    (void)snprintf(out->name, sizeof(out->name), "%.*s", (int)(name_end - name), name);
    (void)snprintf(out->port, sizeof(out->port), "%.*s", (int)(end - port), port);
    if (out->port[0] == ':')
        memmove(out->port, out->port + 1, strlen(out->port));
    if (!out->port[0])
        (void)snprintf(out->port, sizeof(out->port), PORT_DEFAULT);
    return true;
}

/* 0: it is taken. */
static int connect_error(const struct addrinfo *a, int64_t until_ms)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), code = 0;
    socklen_t size = sizeof(code);
    struct pollfd p = { fd, POLLOUT, 0 };

    if (fd < 0)
        return errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
        code = errno;
    if (code == EINPROGRESS) {
        int64_t left = until_ms - connection_now();

        if (poll(&p, 1, left > 0 ? (int)left : 0) <= 0)
            code = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0)
            code = errno;
    }
    (void)close(fd);
    return code;
}

static void write_connect_error(char *why, int code)
{
    char text[128];

    if (code == 0)
        connection_why(why, "it did not take the connection");
    else if (code == ECONNREFUSED)
        connection_why(why, "Connection refused"); /* the system's words, as of the others */
    else if (code == ETIMEDOUT)
        connection_why(why, "it does not answer");
    else
        connection_why(why, "it can't be reached: %s", strerror_r(code, text, sizeof(text)));
}

/* The library says the same for a name that nobody knows and for a port where nobody listens. */
static void find_out(struct str server, int64_t until_ms, char *why)
{
    const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    struct host host;
    int code;

    if (!take_apart(server, &host)) {
        connection_why(why, "this is no host");
        return;
    }
    code = getaddrinfo(host.name, host.port, &wanted, &list);
    if (code) {
        connection_why(why, "its name can't be resolved: %s", gai_strerror(code));
        return;
    }
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        code = connect_error(a, until_ms);
        if (code == 0)
            break;
    }
    freeaddrinfo(list);
    write_connect_error(why, code);
}

static void write_reason(natsStatus s, struct str server, bool is_tls, int64_t until_ms, char *why)
{
    const char *detail = connection_detail(s);

    switch (s) {
    case NATS_NO_SERVER:
        find_out(server, until_ms, why);
        break;
    case NATS_TIMEOUT:
        connection_why(why, "it does not answer");
        break;
    case NATS_CONNECTION_CLOSED:
    case NATS_IO_ERROR:
        connection_why(why, "it closes the connection");
        break;
    case NATS_CONNECTION_AUTH_FAILED:
        connection_why(why, "it does not let us in: %s", detail);
        break;
    case NATS_SECURE_CONNECTION_WANTED:
        connection_why(why, "TLS fails: it offers none");
        break;
    case NATS_SECURE_CONNECTION_REQUIRED:
        connection_why(why, "it wants TLS, which tls:// asks for");
        break;
    case NATS_PROTOCOL_ERROR:
        /* With TLS 1.3 a server judges our certificate when the handshake is over for us. */
        if (strcmp(detail, "Expected 'PONG', got ''") == 0)
            connection_why(
                why, "it closes the connection%s",
                is_tls ? " behind the handshake of TLS: it may want another tls_certificate" : "");
        else
            connection_why(why, "%s", detail);
        break;
    case NATS_SSL_ERROR:
        connection_why(why, "TLS fails: %s", detail);
        break;
    default:
        connection_why(why, "%s", detail);
        break;
    }
}

/* ---- one after the other ----------------------------------------------------------------------- */

static struct str take_server(struct str *address)
{
    const char *comma = address->n ? memchr(address->p, ',', address->n) : NULL;
    struct str server = { address->p, comma ? (size_t)(comma - address->p) : address->n };
    size_t taken = server.n + (comma != NULL);

    address->p += taken;
    address->n -= taken;
    return server;
}

static natsStatus try_one(const struct opening *o, struct str server, natsConnection **out)
{
    char *url = mem_alloc(sizeof(SCHEME) + server.n);
    natsStatus s;

    (void)snprintf(url, sizeof(SCHEME) + server.n, SCHEME STR_FMT, STR_ARG(server));
    s = natsOptions_SetURL(o->options, url);
    if (s == NATS_OK)
        s = natsConnection_Connect(out, o->options);
    mem_free(url);
    return s;
}

natsConnection *opening_try(const struct opening *o, char *why)
{
    int64_t until_ms = connection_now() + o->timeout_ms;
    struct str left = o->address;
    bool is_one = !left.n || !memchr(left.p, ',', left.n);
    natsConnection *nc = NULL;
    struct buf all = { 0 };

    why[0] = '\0';
    while (left.n && !nc && !o->is_given_up(o->ctx)) {
        struct str server = take_server(&left);
        char reason[BROKER_WHY_MAX];
        natsStatus s = try_one(o, server, &nc);

        if (s == NATS_OK)
            break;
        write_reason(s, server, o->is_tls, until_ms, reason);
        if (all.n)
            buf_printf(&all, "; ");
        if (!is_one)
            buf_printf(&all, STR_FMT ": ", STR_ARG(server));
        buf_printf(&all, "%s", reason);
    }
    if (!nc)
        connection_why(why, STR_FMT, STR_ARG(buf_str(&all)));
    buf_deinit(&all);
    return nc;
}
