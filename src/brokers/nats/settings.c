#include "settings.h"
#include "connection.h"
#include <limits.h>
#include <stdio.h>

/* A TLS connection may wait for this long in a write, and is lost then; without TLS nothing waits. Less
 * than what an end has time for, and more than a busy server goes without reading (two seconds were
 * seen). */
#define WRITE_DEADLINE_MS 5000

bool settings_want_tls(const struct broker_config *c)
{
    return str_starts_with(c->url, STR("tls://"));
}

static bool is_name(struct str s)
{
    if (s.n == 0 || s.n > SETTINGS_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

static unsigned count_servers(struct str address)
{
    unsigned n = address.n > 0;

    for (size_t i = 0; i < address.n; i++)
        n += address.p[i] == ',';
    return n;
}

bool settings_are_valid(const struct broker_config *c, char *why)
{
    bool names_files = c->tls_ca.n || c->tls_certificate.n || c->tls_key.n;
    unsigned servers = count_servers(c->address);

    if (servers == 0 || servers > SETTINGS_SERVERS_MAX)
        connection_why(why, "the URL names %u servers; 1 to %d are possible", servers,
                       SETTINGS_SERVERS_MAX);
    else if (!is_name(c->channel))
        connection_why(why, "the channel names a stream: 1 to %d letters, digits, - and _",
                       SETTINGS_NAME_MAX);
    else if (c->n_listens && !is_name(c->group))
        connection_why(why, "the group names consumers: 1 to %d letters, digits, - and _",
                       SETTINGS_NAME_MAX);
    else if (!c->tls_certificate.n != !c->tls_key.n)
        connection_why(why, "the client's certificate and its key come together, or not at all");
    else if (names_files && !settings_want_tls(c))
        connection_why(why, "there are files for TLS, but the URL does not ask for it by tls://");
    else if ((c->user.n != 0) + (c->token.n != 0) + (c->credentials.n != 0) > 1)
        connection_why(why, "a user, a token or a credentials file: only one can be used");
    else
        return true;
    return false;
}

/* The first that fails says its option, and its file. */
static natsStatus set_access(natsOptions *o, const struct broker_config *c, const char **what,
                             const char **file)
{
    natsStatus s = NATS_OK;

    if (c->user.n) {
        *what = "user and password";
        s = natsOptions_SetUserInfo(o, c->user.p, c->password.p);
    } else if (c->token.n) {
        *what = "token";
        s = natsOptions_SetToken(o, c->token.p);
    } else if (c->credentials.n) {
        *what = "credentials_file";
        *file = c->credentials.p;
        s = natsOptions_SetUserCredentialsFromFiles(o, c->credentials.p, NULL);
    }
    if (s == NATS_OK && settings_want_tls(c)) {
        *what = "TLS";
        s = natsOptions_SetSecure(o, true);
    }
    if (s == NATS_OK && c->tls_ca.n) {
        *what = "tls_ca";
        *file = c->tls_ca.p;
        s = natsOptions_LoadCATrustedCertificates(o, c->tls_ca.p);
    }
    if (s == NATS_OK && c->tls_certificate.n) {
        *what = "tls_certificate or tls_key";
        *file = c->tls_certificate.p;
        s = natsOptions_LoadCertificatesChain(o, c->tls_certificate.p, c->tls_key.p);
    }
    return s;
}

static natsStatus set_manner(natsOptions *o, const struct broker_config *c, int timeout_ms)
{
    int servers = (int)count_servers(c->address);
    natsStatus s = natsOptions_SetTimeout(o, timeout_ms > servers ? timeout_ms / servers : 1);

    if (s == NATS_OK && c->name.n)
        s = natsOptions_SetName(o, c->name.p);
    if (s == NATS_OK) /* the relay does it, and knows what to send again */
        s = natsOptions_SetAllowReconnect(o, false);
    if (s == NATS_OK)
        s = natsOptions_SetIgnoreDiscoveredServers(o, true);
    if (s == NATS_OK) /* no thread that writes */
        s = natsOptions_SetSendAsap(o, true);
    if (s == NATS_OK)
        s = natsOptions_SetIOBufSize(o, SETTINGS_IO_BYTES);
    if (s == NATS_OK)
        s = natsOptions_SetWriteDeadline(o, WRITE_DEADLINE_MS);
    if (s == NATS_OK)
        s = natsOptions_SetPingInterval(o, CONNECTION_PING_MS);
    /* The library would close the socket on another thread; connection_serve judges silence. */
    if (s == NATS_OK)
        s = natsOptions_SetMaxPingsOut(o, INT_MAX / 2);
    return s;
}

natsOptions *settings_options(const struct broker_config *c, int timeout_ms, char *why)
{
    const char *what = "options", *file = "";
    natsOptions *o = NULL;
    natsStatus s = natsOptions_Create(&o);

    if (s == NATS_OK)
        s = set_manner(o, c, timeout_ms);
    if (s == NATS_OK)
        s = set_access(o, c, &what, &file);
    if (s == NATS_OK)
        return o;
    connection_why(why, "%s%s%s%s: %s", what, file[0] ? " '" : "", file, file[0] ? "'" : "",
                   connection_detail(s));
    natsOptions_Destroy(o);
    return NULL;
}
