#include "conn.h"

bool host_is_allowed(const struct http_config *config, struct str name)
{
    static const struct str own[] = { { "localhost", 9 }, { "127.0.0.1", 9 }, { "[::1]", 5 } };

    if (!config->checks_host)
        return true;
    for (unsigned i = 0; i < ARRAY_LEN(own); i++)
        if (str_eq_nocase(name, own[i]))
            return true;
    for (unsigned i = 0; i < config->n_hosts; i++)
        if (str_eq_nocase(name, config->hosts[i]))
            return true;
    return false;
}
