#include "reason.h"
#include "orderly/infra/relay/broker.h"
#include <stdarg.h>
#include <stdio.h>

void reason_write(char *why, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vsnprintf(why, BROKER_WHY_MAX, format, list);
    va_end(list);
    for (char *p = why; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}
