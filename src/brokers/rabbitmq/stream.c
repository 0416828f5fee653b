#include "stream.h"
#include "lookup.h"
#include "orderly/base/check.h"
#include "reason.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t stream_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The newest of OpenSSL's errors, and forgets the rest. */
static const char *tls_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return text ? text : "unknown error";
}

/* ---- TLS: context */

/* OpenSSL's own way is to ask whoever sits before the terminal, and to wait for him. */
static int no_passphrase(char *out, int size, int is_to_write, void *ctx)
{
    (void)out;
    (void)size;
    (void)is_to_write;
    (void)ctx;
    return -1;
}

SSL_CTX *stream_tls_context(const struct broker_config *config, char *why)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (!context) {
        reason_write(why, "TLS: %s", tls_reason());
        return NULL;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        reason_write(why, "TLS 1.2: %s", tls_reason());
    } else if (config->tls_ca.n
                   ? SSL_CTX_load_verify_locations(context, config->tls_ca.p, NULL) != 1
                   : SSL_CTX_set_default_verify_paths(context) != 1) {
        reason_write(why, "the CA certificates in '%s': %s",
                     config->tls_ca.n ? config->tls_ca.p : "the system's place", tls_reason());
    } else if (config->tls_certificate.n &&
               SSL_CTX_use_certificate_chain_file(context, config->tls_certificate.p) != 1) {
        reason_write(why, "the certificate in '%s': %s", config->tls_certificate.p, tls_reason());
    } else if (config->tls_key.n &&
               SSL_CTX_use_PrivateKey_file(context, config->tls_key.p, SSL_FILETYPE_PEM) != 1) {
        reason_write(why, "the key in '%s': %s", config->tls_key.p, tls_reason());
    } else if (config->tls_certificate.n && SSL_CTX_check_private_key(context) != 1) {
        reason_write(why, "the key in '%s' is not the certificate's: %s", config->tls_key.p,
                     tls_reason());
    } else {
        return context;
    }
    SSL_CTX_free(context);
    return NULL;
}

/* ---- to connect */

/* Waits for events until the deadline; false: there were none. */
static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd p = { .fd = fd, .events = events };
    int64_t left;

    while ((left = deadline_ms - stream_now_ms()) > 0) {
        int rc = poll(&p, 1, left > 60000 ? 60000 : (int)left);

        if (rc > 0)
            return true;
        if (rc < 0 && errno != EINTR)
            return false;
    }
    return false;
}

/* 0, or the error's number. */
static int finish_connect(int fd, int64_t deadline_ms)
{
    int code = 0;
    socklen_t n = sizeof(code);

    if (errno != EINPROGRESS && errno != EINTR)
        return errno;
    if (!wait_for(fd, POLLOUT, deadline_ms))
        return ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) == 0 ? code : errno;
}

static int connect_one(const struct addrinfo *to, int64_t deadline_ms)
{
    int fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    int code = 0, on = 1;

    if (fd < 0)
        return -1;
    if (connect(fd, to->ai_addr, to->ai_addrlen) != 0)
        code = finish_connect(fd, deadline_ms);
    /* What is written is whole buffers, so nothing is gained by waiting for more of it. */
    if (code == 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        code = errno;
    if (code == 0)
        return fd;
    close(fd);
    errno = code;
    return -1;
}

static bool connect_any(struct stream *s, struct address_host *host, int64_t deadline_ms)
{
    struct addrinfo *all = lookup_addresses(host, deadline_ms, s->why);
    char text[128];
    int n = 0, rc;

    if (!all)
        return false;
    for (const struct addrinfo *a = all; a; a = a->ai_next)
        n++;
    for (const struct addrinfo *a = all; a && s->fd < 0; a = a->ai_next, n--) {
        int64_t now_ms = stream_now_ms();

        errno = 0;
        s->fd = connect_one(a, now_ms + (deadline_ms - now_ms) / n);
    }
    rc = errno;
    freeaddrinfo(all);
    if (s->fd < 0)
        reason_write(s->why, "%s", strerror_r(rc, text, sizeof(text)));
    return s->fd >= 0;
}

static bool names_host(SSL *tls, const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), name) == 1;
    SSL_set_hostflags(tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(tls, name) == 1 && SSL_set_tlsext_host_name(tls, name) == 1;
}

static bool shake_hands(struct stream *s, const struct address_host *host, SSL_CTX *context,
                        int64_t deadline_ms)
{
    s->tls = SSL_new(context);
    if (!s->tls || SSL_set_fd(s->tls, s->fd) != 1 || !names_host(s->tls, host->name)) {
        reason_write(s->why, "TLS: %s", tls_reason());
        return false;
    }
    for (;;) {
        int rc, code;

        ERR_clear_error();
        rc = SSL_connect(s->tls);
        if (rc == 1)
            return true;
        code = SSL_get_error(s->tls, rc);
        if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) {
            if (wait_for(s->fd, code == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_ms))
                continue;
            reason_write(s->why, "TLS: no answer in time");
        } else if (SSL_get_verify_result(s->tls) != X509_V_OK) {
            reason_write(s->why, "its certificate is not accepted: %s",
                         X509_verify_cert_error_string(SSL_get_verify_result(s->tls)));
        } else {
            reason_write(s->why, "TLS: %s",
                         ERR_peek_error() ? tls_reason() : "the connection was closed");
        }
        return false;
    }
}

bool stream_open(struct stream *s, struct address_host *host, SSL_CTX *context, int64_t deadline_ms)
{
    *s = (struct stream){ .fd = -1, .why = s->why };
    if (!connect_any(s, host, deadline_ms))
        return false;
    if (context && !shake_hands(s, host, context, deadline_ms)) {
        stream_close(s);
        return false;
    }
    return true;
}

/* ---- to read and write */

static ssize_t ended(struct stream *s, const char *why)
{
    reason_write(s->why, "%s", why);
    return -1;
}

static ssize_t tls_result(struct stream *s, int rc, bool *wants_other, int other, int own)
{
    int code = SSL_get_error(s->tls, rc), number = errno;
    char text[128];

    if (code == own)
        return 0;
    if (code == other) {
        *wants_other = true;
        return 0;
    }
    if (code == SSL_ERROR_ZERO_RETURN)
        return ended(s, "the broker closed the connection");
    if (code == SSL_ERROR_SYSCALL && number)
        return ended(s, strerror_r(number, text, sizeof(text)));
    reason_write(s->why, "TLS: %s", ERR_peek_error() ? tls_reason() : "the connection was closed");
    return -1;
}

static int as_int(size_t n)
{
    return n > INT32_MAX ? INT32_MAX : (int)n;
}

ssize_t stream_read(struct stream *s, void *p, size_t n)
{
    char text[128];
    ssize_t rc;

    if (s->tls) {
        s->read_wants_room = false;
        ERR_clear_error();
        errno = 0;
        rc = SSL_read(s->tls, p, as_int(n));
        return rc > 0 ? rc
                      : tls_result(s, (int)rc, &s->read_wants_room, SSL_ERROR_WANT_WRITE,
                                   SSL_ERROR_WANT_READ);
    }
    rc = recv(s->fd, p, n, 0);
    if (rc > 0)
        return rc;
    if (rc == 0)
        return ended(s, "the broker closed the connection");
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return ended(s, strerror_r(errno, text, sizeof(text)));
}

ssize_t stream_write(struct stream *s, const void *p, size_t n)
{
    char text[128];
    ssize_t rc;

    if (s->tls) {
        s->write_wants_data = false;
        ERR_clear_error();
        errno = 0;
        rc = SSL_write(s->tls, p, as_int(n));
        return rc > 0 ? rc
                      : tls_result(s, (int)rc, &s->write_wants_data, SSL_ERROR_WANT_READ,
                                   SSL_ERROR_WANT_WRITE);
    }
    rc = send(s->fd, p, n, MSG_NOSIGNAL);
    if (rc >= 0)
        return rc;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return ended(s, strerror_r(errno, text, sizeof(text)));
}

short stream_events(const struct stream *s, bool has_output)
{
    short events = POLLIN;

    if ((has_output && !s->write_wants_data) || s->read_wants_room)
        events |= POLLOUT;
    return events;
}

void stream_close(struct stream *s)
{
    if (s->tls) {
        /* One attempt, so that the broker does not take it for a cut; its answer is not waited for. */
        ERR_clear_error();
        (void)SSL_shutdown(s->tls);
        ERR_clear_error();
        SSL_free(s->tls);
        s->tls = NULL;
    }
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}
