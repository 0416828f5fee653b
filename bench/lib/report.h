/* What a load found out, as one JSON object on a stream: made for a driver that reads it, and still
 * readable. Times are milliseconds unless their name ends in _s. */
#ifndef BENCH_LIB_REPORT_H
#define BENCH_LIB_REPORT_H
#include "load.h"
#include <stdio.h>

void report_print(FILE *out, const struct load_options *options, const struct load_result *result);
#endif
