/* amqp://host[:port][,host[:port]…][/vhost] */
#ifndef ORDERLY_BROKERS_RABBITMQ_ADDRESS_H
#define ORDERLY_BROKERS_RABBITMQ_ADDRESS_H
#include "orderly/base/str.h"
#include <stdbool.h>

#define ADDRESS_HOSTS_MAX 8
#define ADDRESS_HOST_MAX 254 /* a DNS name, or an address without its brackets; with the NUL */

struct address_host {
    char name[ADDRESS_HOST_MAX];
    char port[6];
    struct lookup *late; /* lookup.h */
};

struct address {
    struct address_host hosts[ADDRESS_HOSTS_MAX];
    unsigned n_hosts;
    char vhost[256]; /* `/` where the URL names none, or the empty one */
    bool is_tls;
};

/* False: why (BROKER_WHY_MAX) says what is wrong. */
bool address_parse(struct address *a, struct str url, char *why);
#endif
