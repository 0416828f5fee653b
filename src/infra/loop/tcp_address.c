#include "orderly/infra/loop/tcp.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#define HOST_TEXT_MAX 46 /* INET6_ADDRSTRLEN */

static bool parse_port(struct str text, uint16_t *port)
{
    uint64_t v;

    if (!str_to_u64(text, &v) || v > UINT16_MAX)
        return false;
    *port = (uint16_t)v;
    return true;
}

/* Splits at the last colon; brackets round an IPv6 address are taken off. */
static bool split(struct str text, struct str *host, struct str *port)
{
    const char *colon = text.n > 0 ? memrchr(text.p, ':', text.n) : NULL;

    if (colon == NULL)
        return false;
    *host = (struct str){ text.p, (size_t)(colon - text.p) };
    *port = (struct str){ colon + 1, text.n - host->n - 1 };
    if (host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']') {
        *host = (struct str){ host->p + 1, host->n - 2 };
        return true;
    }
    return host->n > 0 && memchr(host->p, ':', host->n) == NULL;
}

static bool is_ipv4_loopback(const void *address)
{
    return *(const uint8_t *)address == 127;
}

enum err tcp_address_parse(struct str text, struct tcp_address *out)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)&out->sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->sa;
    struct str host, port_text;
    char name[HOST_TEXT_MAX];
    uint16_t port;

    *out = (struct tcp_address){ 0 };
    if (!split(text, &host, &port_text) || !parse_port(port_text, &port))
        return ERR_INVALID;
    if (str_eq(host, STR("localhost")))
        host = STR("127.0.0.1");
    if (str_eq(host, STR("*"))) {
        host = STR("::");
        out->is_any = true;
    }
    if (host.n >= sizeof(name))
        return ERR_INVALID;
    memcpy(name, host.p, host.n);
    name[host.n] = '\0';
    if (inet_pton(AF_INET, name, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        out->is_loopback = is_ipv4_loopback(&in4->sin_addr);
        return ERR_OK;
    }
    if (inet_pton(AF_INET6, name, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        out->is_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
                           (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) &&
                            is_ipv4_loopback(in6->sin6_addr.s6_addr + 12));
        return ERR_OK;
    }
    return ERR_INVALID;
}

void tcp_address_format(const struct tcp_address *a, char out[TCP_ADDRESS_TEXT_MAX])
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
    char name[HOST_TEXT_MAX] = "?";

    if (a->sa.ss_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, name, sizeof(name));
        (void)snprintf(out, TCP_ADDRESS_TEXT_MAX, "[%s]:%u", name, ntohs(in6->sin6_port));
    } else {
        (void)inet_ntop(AF_INET, &in4->sin_addr, name, sizeof(name));
        (void)snprintf(out, TCP_ADDRESS_TEXT_MAX, "%s:%u", name, ntohs(in4->sin_port));
    }
}
