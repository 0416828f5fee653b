#include "orderly/base/check.h"
#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *kind, const char *expr, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s failed: %s\n", file, line, kind, expr);
    abort();
}
