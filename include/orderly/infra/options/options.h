/* What the operator chose: flags, `ORDERLY_…` environment, a configuration file, and what holds
 * where nothing was said, in this order of precedence.
 *
 * One table (src/infra/options/table.c) names every option with its type, range and help; flags,
 * `--set key=value`, variables and file lines are four ways to the same rows, and `--help` is made
 * from them. The values that hold where nothing was said are those of the layers themselves
 * (app_config_default, http_limits_set_defaults), so that they are written down once.
 *
 * Pure but for reading the configuration file. No secret is a flag or a line of the file: they are in
 * files of their own, or, those of relays, in the environment.
 */
#ifndef ORDERLY_INFRA_OPTIONS_OPTIONS_H
#define ORDERLY_INFRA_OPTIONS_OPTIONS_H
#include "orderly/app/app.h"
#include "orderly/app/log.h"
#include "orderly/base/buf.h"
#include "orderly/infra/http/limits.h"
#include "orderly/infra/relay/relay_options.h"
#include "orderly/infra/render/cloud_event.h"
#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_TEXT_MAX 1024
#define OPTIONS_PATH_MAX 4096

enum options_store { OPTIONS_STORE_LMDB, OPTIONS_STORE_MEMORY };

struct options {
    char listen[OPTIONS_TEXT_MAX];
    char names[OPTIONS_TEXT_MAX]; /* lists: see options_list */
    char origins[OPTIONS_TEXT_MAX];
    char cloud_source[CLOUD_SOURCE_MAX + 1];
    char cloud_type_prefix[CLOUD_TYPE_PREFIX_MAX + 1];
    char relay[OPTIONS_TEXT_MAX]; /* URLs of brokers; the list of relays.h */
    char relay_modules[OPTIONS_PATH_MAX];
    struct relay_options relays[RELAY_KINDS];
    char token_file[OPTIONS_PATH_MAX];
    char config[OPTIONS_PATH_MAX];
    bool demo;
    int64_t drain_ms;
    enum log_level log_level;
    enum options_store store;
    char data[OPTIONS_PATH_MAX]; /* directory of the durable store */
    uint64_t store_bytes_max;    /* 0: as the disk allows */
    uint64_t memory_events_max;
    struct app_config app;
    struct http_limits http;
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP,   /* --help was asked for */
    OPTIONS_USAGE,  /* the command line is wrong */
    OPTIONS_CONFIG, /* a variable or the file is wrong */
};

/* Reads everything, and says everything that is wrong at once.
 *
 * args: what follows the command's name. env: NULL-terminated "NAME=value" lines.
 * complaints: one line for each fault, with its source, its key and what would be allowed.
 * warnings: names of ORDERLY_… variables that are no option, separated by blanks. They are no
 * fault, because the platforms that servers run on set such names themselves.
 * Both may hold something already. On OPTIONS_USAGE and OPTIONS_CONFIG *o is of no use. */
enum options_result options_read(struct options *o, unsigned n_args, char *const *args,
                                 char *const *env, struct buf *complaints, struct buf *warnings);

void options_set_defaults(struct options *o);

/* The flags and settings, grouped, with what holds where nothing is said. */
void options_print_help(struct buf *out);

/* Splits a list at its commas; the items are views into it, trimmed, and never empty. Returns how
 * many, at most max. */
#define OPTIONS_LIST_MAX 32
unsigned options_list(const char *text, struct str *items, unsigned max);
#endif
