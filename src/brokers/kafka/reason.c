#include "reason.h"
#include "orderly/base/check.h"
#include <stdarg.h>
#include <stdio.h>

static void make_line(char *why)
{
    for (char *p = why; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

void reason_write(char *why, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vsnprintf(why, BROKER_WHY_MAX, format, list);
    va_end(list);
    make_line(why);
}

/* Of what comes as a mere loss of the connection. */
static const char *tls_reason(const char *theirs)
{
    if (strstr(theirs, "SSL routines") || strstr(theirs, "SSL handshake"))
        return "TLS fails";
    if (strstr(theirs, "connecting to a SSL listener?"))
        return "it may want TLS, which kafka+tls:// asks for";
    if (strstr(theirs, "ssl://") && strstr(theirs, "/bootstrap: Disconnected"))
        return "it may offer no TLS";
    return "";
}

void reason_write_foreign(char *why, const char *what, const char *theirs)
{
    const char *tls = what[0] ? "" : tls_reason(theirs);
    /* "… failed: Connection refused (after 0ms in state CONNECT, 3 identical error(s) suppressed)" */
    const char *end = strstr(theirs, " (after ");
    int n = end ? (int)(end - theirs) : (int)strnlen(theirs, BROKER_WHY_MAX);

    reason_write(why, "%s%s%.*s", tls[0] ? tls : what, tls[0] || what[0] ? ": " : "", n, theirs);
}

const char *reason_of(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return "it does not let us in";
    case RD_KAFKA_RESP_ERR__SSL:
        return "TLS fails";
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        return "the group is not permitted";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return "the topic is not permitted";
    default:
        return "";
    }
}

bool reason_is_of_mechanism(const char *why)
{
    return strstr(why, "supported mechanisms") != NULL;
}

void reason_write_new(char *why, const struct broker_config *config, const char *theirs)
{
    const struct {
        const char *property, *option;
        struct str path;
    } files[] = {
        { "ssl.ca.location", "tls_ca", config->tls_ca },
        { "ssl.certificate.location", "tls_certificate", config->tls_certificate },
        { "ssl.key.location", "tls_key", config->tls_key },
    };

    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (files[i].path.n && strstr(theirs, files[i].property)) {
            reason_write(why, "%s '%s': %s", files[i].option, files[i].path.p, theirs);
            return;
        }
    reason_write(why, "%s", theirs);
}
